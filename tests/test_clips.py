"""Clips: which frames they are of, aligned crops, and a detector of them trained and scored."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import log_loss
from training import fit

from mcxlib import config, detectors, pipeline, weights
from mcxlib.answer import command, report
from mcxlib.answer.judge import Judge, Options
from mcxlib.data.crops import storage
from mcxlib.data.crops.clips import clips
from mcxlib.data.crops.dataset import CropDataset
from mcxlib.data.crops.rows import join
from mcxlib.data.faces.align import TEMPLATE, Smoother, aligned, similarity
from mcxlib.data.faces.choice import Face
from mcxlib.data.faces.contract import SMOOTH, contract, contract_difference
from mcxlib.data.faces.crop import crop_face
from mcxlib.data.faces.extract import crop_videos
from mcxlib.data.faces.finder import FaceFinder
from mcxlib.data.video import scenes
from mcxlib.detectors import lipforensics
from mcxlib.detectors.clips import clip_of
from mcxlib.engine.score import score_rows
from mcxlib.figures import mined
from mcxlib.files import read_json
from mcxlib.runs import RunFolder
from mcxlib.settings import matrix
from mcxlib.synthetic import render_person
from mcxlib.synthetic.clip import plan_clip, render_frame
from mcxlib.synthetic.encode import write_video
from mcxlib.synthetic.person import depth
from mcxlib.weights.export import export


def frames_of(*videos: tuple[str, int, list[int]]) -> pd.DataFrame:
    """Rows of crops: (video, face, frames), the crops of a video in one file."""
    rows = [
        {"dataset": "X", "video_id": video, "face": face, "frame_index": frame, "file": video}
        for video, face, frames in videos
        for frame in frames
    ]
    table = pd.DataFrame(rows)
    return table.assign(row=table.groupby("video_id").cumcount())


class TestWhichFrames:
    def test_windows_by_hand(self):
        rows = frames_of(("a", 0, [0, 1, 2, 3, 4, 5, 6]), ("b", 0, [4, 5, 6]))
        found = clips(rows, 3, 2)
        assert found.rows["row"].tolist() == [(0, 1, 2), (2, 3, 4), (4, 5, 6), (0, 1, 2)]
        assert found.rows["frame_index"].tolist() == [0, 2, 4, 4]
        assert (found.padded, found.left_out, found.words()) == (0, 0, "")

    def test_short_videos_are_mirrored_in_time_and_said(self):
        found = clips(frames_of(("a", 0, [0, 1, 2, 3, 4]), ("b", 0, [7, 8, 9])), 5, 5)
        assert found.rows["row"].tolist() == [(0, 1, 2, 3, 4), (0, 1, 2, 1, 0)]
        assert found.words() == "1 of 2 clips are shorter and padded by reflection"

    def test_thirty_one_frames_of_thirty_two(self):
        """The last but one frame once more; by NumPy's own reflection of the times."""
        rows = frames_of(("a", 0, list(range(31))))
        expected = np.pad(np.arange(31), (0, 1), "reflect")
        assert clips(rows, 32, 1).rows["row"].tolist() == [tuple(expected)]
        assert expected[-1] == 29

    def test_a_gap_ends_a_clip_and_what_is_left_is_counted(self):
        rows = frames_of(("a", 0, [0, 1, 2, 3, 6, 7, 8]))
        found = clips(rows, 4, 4)
        assert found.rows["row"].tolist() == [(0, 1, 2, 3)]
        assert (found.padded, found.left_out) == (0, 3)
        assert found.words() == "3 frames are in no clip"

    def test_two_people_are_two_clips(self):
        rows = frames_of(("a", 0, [0, 1, 2]), ("a", 1, [0, 1, 2]))
        found = clips(rows, 3, 1).rows
        assert found[["face", "row"]].values.tolist() == [[0, (0, 1, 2)], [1, (3, 4, 5)]]

    def test_rows_in_any_order(self):
        rows = frames_of(("a", 0, [0, 1, 2, 3])).iloc[[2, 0, 3, 1]].reset_index(drop=True)
        assert clips(rows, 4, 1).rows["row"].tolist() == [(0, 1, 2, 3)]

    def test_frames_far_apart_are_refused(self):
        with pytest.raises(ValueError, match=r"no two of these 3 crops.*frame_rule=first"):
            clips(frames_of(("a", 0, [0, 10, 20])), 3, 1)

    def test_single_frames_stay_what_they_are(self):
        rows = frames_of(("a", 0, [0, 5]))
        assert clips(rows, 1, 1).rows is rows


@pytest.mark.parametrize("suffix", [storage.RAW, storage.COMPRESSED])
def test_frames_of_a_clip_share_place_and_flip(tmp_path, suffix):
    """Frame k is frame 0 plus k: any part of the clip keeps that."""
    first = np.random.default_rng(0).integers(0, 100, (20, 20, 3)).astype(np.uint8)
    with storage.writing(tmp_path / f"v{suffix}", 20) as append:
        for k in range(6):
            append(first + np.uint8(k))
    rows = frames_of(("v", 0, list(range(6)))).assign(file=f"v{suffix}", class_index=1)
    data = CropDataset(clips(rows, 3, 1).rows, tmp_path, 16, augment=True, seed=3)
    images, labels = data.__getitems__([0, 3, 1])
    assert images.shape == (3, 3, 3, 16, 16)
    assert images.dtype == torch.uint8
    assert labels.tolist() == [1, 1, 1]
    for start, clip in zip([0, 3, 1], images.int(), strict=True):
        assert torch.equal(clip[1], clip[0] + 1)
        assert torch.equal(clip[2], clip[0] + 2)
        plain = clip[0].permute(1, 2, 0).numpy() - start
        parts = [
            first[y : y + 16, x : x + 16][:, ::flip]
            for y in range(5)
            for x in range(5)
            for flip in (1, -1)
        ]
        assert any(np.array_equal(plain, part) for part in parts)


def test_real_and_fake_weigh_alike_over_batches():
    """By scikit-learn's log loss with the weights of five equally frequent classes."""
    torch.manual_seed(0)
    settings = config.load("test", detector="lipforensics").model.model_dump()
    model = detectors.build("lipforensics", **settings).eval()
    images, labels = torch.rand(6, 8, 3, 72, 72), torch.tensor([0, 1, 2, 3, 4, 4])
    with torch.no_grad():
        losses = model.losses(images, labels)
        probability = model.fake_score(model(images)).numpy()
    weights_of = np.where(labels > 0, 5 / 8, 5 / 2)
    expected = log_loss(labels > 0, probability, sample_weight=weights_of, normalize=False) / 6
    assert losses["total"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["total"] == losses["fake"] + losses["real"]
    # A real one and four fakes, one of each class, come to the same.
    assert weights_of[0] == pytest.approx(weights_of[1:5].sum())


class TestAlignment:
    def test_similarity_by_least_squares(self):
        """x' = a x - b y + c, y' = b x + a y + d, solved by NumPy."""
        rng = np.random.default_rng(0)
        points, target = rng.random((5, 2)) * 50, rng.random((5, 2)) * 90
        left = [[x, -y, 1, 0] for x, y in points] + [[y, x, 0, 1] for x, y in points]
        a, b, c, d = np.linalg.lstsq(np.array(left), target.T.ravel(), rcond=None)[0]
        np.testing.assert_allclose(similarity(points, target), [[a, -b, c], [b, a, d]], atol=1e-9)

    @pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (1.6, 0.3), (0.5, -0.4), (3.2, 0.1)])
    def test_a_turned_and_scaled_face_gives_the_same_crop(self, scale, angle):
        """A smooth picture, moved so that its points lie elsewhere: the crop is that picture."""
        y, x = np.mgrid[:64, :64] / 64
        waves = (np.sin(7 * x + 3 * y), np.cos(5 * y - 2 * x), np.sin(6 * x * y))
        face = np.stack([127 + 90 * wave for wave in waves], -1).astype(np.uint8)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = np.array([31.5, 31.5])
        move = np.concatenate([turn, (150 - turn @ centre)[:, None]], 1)
        frame = cv2.warpAffine(face, move, (300, 300), borderMode=cv2.BORDER_REPLICATE)
        points = (TEMPLATE * 64 - 0.5) @ turn.T + move[:, 2]
        crop = aligned(frame, points, 64)
        assert crop.shape == (64, 64, 3)
        inner = np.s_[6:-6, 6:-6]
        difference = np.abs(crop[inner].astype(int) - face[inner].astype(int))
        assert difference.mean() < 2
        assert difference.max() < 14

    def test_points_that_are_one_are_refused(self):
        with pytest.raises(ValueError, match="no face's"):
            aligned(np.zeros((50, 50, 3), np.uint8), np.full((5, 2), 20.0), 32)

    def test_means_of_the_last_frames(self):
        smoother, face = Smoother(), Face((0, 0, 10, 10), 1.0)
        points = np.arange(20.0)[:, None, None] * np.ones((20, 5, 2))
        found = [smoother(points[i], face, i)[0, 0] for i in range(20)]
        expected = [np.mean(range(max(0, i - SMOOTH + 1), i + 1)) for i in range(20)]
        np.testing.assert_allclose(found, expected)
        assert smoother(points[5], face, 25)[0, 0] == 5, "after a gap, afresh"
        other = Face((30, 30, 40, 40), 1.0)
        assert smoother(points[7], other, 26)[0, 0] == 7, "another face's place, afresh"

    def test_the_mouth_is_where_the_detector_looks(self):
        np.testing.assert_allclose(lipforensics.MOUTH, TEMPLATE[3:].mean(0), atol=5e-4)
        width = TEMPLATE[4, 0] - TEMPLATE[3, 0]
        assert 1.5 < lipforensics.MOUTH_SHARE / width < 2.5

    @pytest.mark.parametrize("detection", ["exact", "fast", "tracked"])
    def test_points_where_the_drawing_has_them(self, detection):
        """Eyes and corners of the mouth, as near as the plain call with ``landmarks=True``."""
        ours, theirs = [], []
        finder = FaceFinder(0.9, detection)
        for seed in ((5,), (7,)):
            finder.reset()
            clip = plan_clip((*seed, 0), (*seed, 1), 4, 320, 240)
            person = clip.person
            x = np.array([-1, 1, 0, 0]) * person.eye_x + np.array([0, 0, -1, 1]) * person.mouth_w
            y = np.array([person.eye_y] * 2 + [person.mouth_y] * 2)
            for index, state in enumerate(clip.states):
                true = np.stack(state.pose.project(x, y, depth(person, x, y)), 1)
                frame = render_frame(clip, index)
                face = finder(frame, index)[0]
                points = finder.points(frame, face)[[0, 1, 3, 4]]
                plain = finder.mtcnn.detect(frame, landmarks=True)[2][0][[0, 1, 3, 4]]
                ours.append((points - true) / face.side)
                theirs.append((plain.astype(float) - true) / face.side)
        off, plain_off = (np.sqrt(np.mean(np.square(part))) for part in (ours, theirs))
        assert off < 0.03
        assert off < 1.2 * plain_off

    def test_other_places_say_what_they_cannot_do(self):
        with pytest.raises(ValueError, match="set faces to largest"):
            config.load("demo", detector="ftcn", faces="all")
        with pytest.raises(ValueError, match="points of a face"):
            crop_face(np.zeros((9, 9, 3), np.uint8), (0, 0, 9, 9), "aligned", 8)

    def test_contracts_of_other_crops_are_what_they_were(self):
        loose = contract(config.load("demo").data)
        assert "points" not in loose
        other = contract(config.load("demo", detector="ftcn").data)
        assert "points" in contract_difference(loose, other)


@pytest.fixture(scope="module")
def drawn():
    """Frames of a drawn person."""
    return list(render_person((5,), frames=6))


def test_cut_out_of_a_video_the_points_stay(drawn, tmp_path):
    """Found anew in the crops, by facenet-pytorch, they lie where the template has them."""
    _, manifest = video_of(drawn, tmp_path)
    data = config.load("demo", detector="ftcn", crop_size=160, input_size=96).data
    rows = crop_videos(manifest, tmp_path, tmp_path / "crops", data, workers=1)
    assert rows["status"].tolist() == ["ok"] * 6
    assert read_json(tmp_path / "crops/contract.json")["points"] == "5, mean of 12 frames"
    stored = storage.open_crops(tmp_path / "crops/a.npy")
    finder = FaceFinder(0.9, "exact")
    found = [finder.mtcnn.detect(np.array(crop), landmarks=True)[2][0] for crop in stored]
    assert np.abs(np.mean(found, 0) - TEMPLATE * 160).max() < 8
    clip = clips(join(rows, manifest), 4, 2).rows
    assert clip["row"].tolist() == [(0, 1, 2, 3), (2, 3, 4, 5)]


UNKNOWN = {"is_fake": False, "manipulation": "real", "target_id": "", "donor_id": ""}

SETTINGS = {
    "ftcn": {"detector": "ftcn", "clip_frames": 8},
    "lipforensics": {
        "detector": "lipforensics", "clip_frames": 4, "clip_stride": 2, "mouth": 24, "shown": 20,
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=list(SETTINGS))
def trained(request, crop_tables, tmp_path_factory):
    """A detector of clips, trained on bright corners in four frames a video."""
    folder = tmp_path_factory.mktemp("run")
    more = {"epochs": 2, "frame_count": 4} | SETTINGS[request.param]
    made, history = fit(crop_tables, folder, **more)
    return made, history, RunFolder(folder)


def test_training_scores_clips_and_says_what_was_padded(trained, crop_tables, capfd):
    made, history, folder = trained
    assert history["total"].notna().all()
    model, settings, card = weights.load(folder.weights)
    assert card.detector == made.detector
    rows, crops = crop_tables
    test = rows[rows["split"] == "test"]
    table = score_rows(model, test, crops, settings)
    assert len(table) == test["video_id"].nunique() == 10, "one clip a video"
    padded = made.detector == "ftcn"
    assert ("10 of 10 clips are shorter" in table.attrs["clips"]) == padded
    assert table["fake_score"].between(0, 1).all()
    assert table.attrs["flop"] > 0
    # One clip alone, by the network itself.
    data = CropDataset(clips(test, *clip_of(type(model), settings.model)).rows, crops, 36)
    images, _ = data.__getitems__([7])
    with torch.no_grad():
        expected = model(images.float() / 255).sigmoid().item()
    assert table["fake_score"].iloc[7] == pytest.approx(expected, abs=1e-5)


def test_pairs_of_clips_are_mined_by_their_features(trained, crop_tables):
    """As notebook 02 shows them."""
    made, _, folder = trained
    rows, crops = crop_tables
    training = pipeline.items(made, rows[rows["split"] == "train"])
    batch = training.groupby("class_index").head(3).reset_index(drop=True)
    images, labels = CropDataset(batch, crops, 36).__getitems__(list(range(len(batch))))
    model = weights.load(folder.weights).model
    pairs = mined.mine(model, images / 255, batch)
    with torch.no_grad():
        features = model.features(images / 255)
    near = torch.cdist(features, features).fill_diagonal_(torch.inf)
    near[labels[:, None] == labels] = torch.inf
    others = pairs[pairs["kind"] == "another class"]
    assert dict(zip(others["first"], others["second"], strict=True)) == dict(
        enumerate(near.argmin(1).tolist())
    )


def test_batch_size_and_workers_change_no_bit(trained, crop_tables):
    _, _, folder = trained
    model, settings, _ = weights.load(folder.weights)
    rows, crops = crop_tables
    test = rows[rows["split"] == "test"]
    one = score_rows(model, test, crops, settings)
    other = score_rows(model, test, crops, settings, batch_size=24, loader_workers=1)
    pd.testing.assert_frame_equal(one, other)


def video_of(frames, folder, name="a"):
    """A video, and its manifest of one row."""
    write_video(folder / f"{name}.mp4", frames, 25, 18)
    about = {"dataset": "d", "video_id": name, "path": f"{name}.mp4", "split": "test"}
    manifest = pd.DataFrame([about | {"bytes": (folder / f"{name}.mp4").stat().st_size}])
    return folder / f"{name}.mp4", manifest.assign(**UNKNOWN)


@pytest.fixture(scope="module")
def two_people():
    """Twelve frames of two drawn people side by side, (12, 240, 480, 3)."""
    return np.concatenate([render_person((seed,), 240, 240, 12) for seed in (1, 2)], axis=2)


def test_one_video_has_the_scores_of_the_tables(trained, two_people, tmp_path):
    """Cut, made clips of and scored as a data set of one video is."""
    _, _, folder = trained
    video, manifest = video_of(two_people[:, :, :240], tmp_path)
    with Judge(folder.weights) as judges:
        judged = judges(video)
        # Twelve frames are too few for four clips apart: as many as there is room for.
        stride = max(1, (12 - judges.clip) // 3)
    model, settings, _ = weights.load(folder.weights)
    model.settings = model.settings.model_copy(update={"clip_stride": stride})
    cut = settings.data.model_copy(update={"frame_rule": "first", "frame_count": 12})
    crops = crop_videos(manifest, tmp_path, tmp_path / "crops", cut, workers=1)
    table = score_rows(model, join(crops, manifest), tmp_path / "crops", settings)
    (person,) = judged.answer.people
    assert [clip.frame for clip in person.clips] == table["frame_index"].tolist()
    assert [clip.fake_score for clip in person.clips] == pytest.approx(
        table["fake_score"].tolist(), abs=1e-5
    )
    assert {clip.frames for clip in person.clips} == {judges.clip}
    assert person.score.value == pytest.approx(table["fake_score"].mean(), abs=1e-5)
    np.testing.assert_array_equal(judged.crops[1], storage.open_crops(tmp_path / "crops/a.npy"))
    # Each frame's, the mean of the clips that it is in; by hand.
    by_frame = pd.DataFrame(
        [(clip.frame + i, clip.fake_score) for clip in person.clips for i in range(clip.frames)]
    )
    assert {face.frame: face.fake_score for face in person.faces} == pytest.approx(
        by_frame.groupby(0)[1].mean().to_dict()
    )
    assert judged.answer.options["max_frames"] == 4 * judges.clip
    assert len(person.clips) >= 4
    assert "bootstrap" in person.score.how


def test_two_people_have_clips_of_their_own(trained, two_people, tmp_path):
    _, _, folder = trained
    video, _ = video_of(two_people, tmp_path)
    with Judge(folder.weights) as judges:
        judged = judges(video)
        alone = [
            judges(video_of(part, tmp_path, f"alone{i}")[0]).answer.people[0]
            for i, part in enumerate(np.split(two_people, 2, axis=2))
        ]
    answer = judged.answer
    people = sorted(answer.people, key=lambda person: person.faces[0].box[0])
    assert len(people) == 2
    for person, same in zip(people, alone, strict=True):
        assert [clip.frame for clip in person.clips] == [clip.frame for clip in same.clips]
        # Encoded and found anew, in another frame: nearly the same.
        assert person.score.value == pytest.approx(same.score.value, abs=0.02)
    count = sum(len(person.clips) for person in people)
    assert f", {count} clips, " in command.text(answer)
    assert any("clip begins with frame number" in line for line in answer.evidence)
    page = report.html(judged)
    pictured = {int(frame) for frame in re.findall(r'alt="Face of person \d in frame (\d+)', page)}
    assert pictured <= {clip.frame for person in people for clip in person.clips}
    assert len(pictured) >= 4
    assert "The score of a face is the mean of the clips that it is in" in page
    assert json.loads(answer.model_dump_json())["people"][0]["clips"][0]["frame"] == 0


def test_short_and_interrupted_sightings(trained, two_people, tmp_path, monkeypatch):
    _, _, folder = trained
    one = two_people[:, :, :240]
    nobody = np.full_like(one[0], 128)
    with Judge(folder.weights) as judges:
        frames = judges.clip
        short, _ = video_of(one[: frames - 1], tmp_path, "short")
        answer = judges(short).answer
        if frames == 8:
            (person,) = answer.people
            assert [(clip.frame, clip.frames) for clip in person.clips] == [(0, 7)]
            assert answer.verdict == "uncertain"
            assert any("1 clip of a person seen for fewer than 8" in t for t in answer.limitations)
            assert any("Fewer than four clips have no interval" in t for t in answer.limitations)
        else:
            assert "too short" in answer.reason, "three frames are too few to judge a person"
        # Else each frame of nobody would be a cut, and end the person.
        monkeypatch.setattr(scenes, "is_cut", lambda *_: False)
        odd = [frame if i % 2 == 0 else nobody for i, frame in enumerate(one)]
        answer = judges(video_of(odd, tmp_path, "odd")[0]).answer
        assert "no two are consecutive" in answer.reason
        gap = [*one[:frames], nobody, *one[frames : frames + 2]]
        answer = judges(video_of(gap, tmp_path, "gap")[0]).answer
        (person,) = answer.people
        assert [(clip.frame, clip.frames) for clip in person.clips] == [(0, frames)]
        assert [face.frame for face in person.faces] == list(range(frames))
        assert [(left.what, left.count) for left in answer.not_judged] == [
            ("frame", 1), ("face", 2)
        ]  # fmt: skip


def test_a_picture_is_no_clip(trained, two_people, tmp_path):
    _, _, folder = trained
    Image.fromarray(two_people[0]).save(tmp_path / "a.png")
    with Judge(folder.weights) as judges:
        answer = judges(tmp_path / "a.png").answer
    assert answer.verdict is None
    assert f"clips of {judges.clip} consecutive frames" in answer.reason


def test_frames_that_are_no_clips_cannot_be_asked_for(trained):
    _, _, folder = trained
    with pytest.raises(ValueError, match=r"--every takes frames apart"):
        Judge(folder.weights, Options(every=5))
    with pytest.raises(ValueError, match=r"clips of [84] frames, and max_frames 3 are fewer"):
        Judge(folder.weights, Options(max_frames=3))


@pytest.mark.parametrize("to", ["onnx", "torch"])
def test_export_takes_clips(trained, to, tmp_path):
    """What is written was compared with the network before it got its name."""
    made, _, folder = trained
    about = export(folder.weights, to, tmp_path / {"onnx": "a.onnx", "torch": "a.pt2"}[to])
    assert about["input"]["frames"] == made.model.clip_frames
    assert about["input"]["layout"].startswith("batch, frames, 3")


def test_the_study_of_robustness_knows_which_detectors_it_leaves_out():
    of_clips = {name for name in detectors.modules() if detectors.find(name).frames_per_item > 1}
    assert set(matrix.CLIPS) == of_clips
    assert not of_clips & {row.detector for row in matrix.harmed("demo", full=True)}
    assert of_clips <= {row.detector for row in matrix.rows("demo", full=True)}
