"""Faces: every frame asked for has a row and a status, crops are what their rule says, and a
stopped or repeated run does nothing twice."""

import math
import os
import socket
import subprocess
import sys
import time
from importlib.metadata import version

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import extract_face
from media import rotate
from media import write_video as write_plain
from PIL import Image

from mcxlib.data.crops.dataset import CropDataset
from mcxlib.data.faces import worker
from mcxlib.data.faces.choice import Face, take
from mcxlib.data.faces.contract import COLUMNS, STATUSES, contract, contract_difference
from mcxlib.data.faces.crop import crop_face
from mcxlib.data.faces.extract import crop_videos
from mcxlib.data.faces.finder import FaceFinder
from mcxlib.data.faces.report import left_out, report
from mcxlib.files import read_json
from mcxlib.settings.data import CROP_FIELDS, DataConfig
from mcxlib.synthetic import render_person
from mcxlib.synthetic.encode import write_video

CONFIG = DataConfig(crop_size=72, frame_rule="first", frame_count=3)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A good video, one whose second frame shows nobody, a broken one, and an unused one."""
    root = tmp_path_factory.mktemp("videos")
    person = list(render_person((5,), frames=3))
    empty = np.full_like(person[0], 127)
    write_video(root / "good.mp4", person, 25, 18)
    write_video(root / "gap.mp4", [person[0], empty, person[2]], 25, 18)
    (root / "broken.mp4").write_bytes(b"nothing")
    write_video(root / "unused.mp4", person[:2], 25, 18)
    names = ["good", "gap", "broken", "unused"]
    manifest = pd.DataFrame(
        {
            "dataset": "d",
            "video_id": names,
            "path": [f"{n}.mp4" for n in names],
            "split": ["train", "test", "test", ""],
            "bytes": [(root / f"{n}.mp4").stat().st_size for n in names],
        }
    )
    return root, manifest


@pytest.fixture(scope="module")
def done(videos, tmp_path_factory):
    root, manifest = videos
    folder = tmp_path_factory.mktemp("out") / "crops"
    return folder, crop_videos(manifest, root, folder, CONFIG, workers=2)


def test_every_frame_asked_for_has_a_status(done):
    _, table = done
    assert list(table) == list(COLUMNS)
    status = {v: part["status"].tolist() for v, part in table.groupby("video_id")}
    assert status == {
        "good": ["ok"] * 3,
        "gap": ["ok", "no_face", "ok"],
        "broken": ["unreadable"],
    }
    assert report(table) == {
        "videos": 3,
        "frames asked": 6,
        "faces found": 5,
        "no face": 1,
        "unreadable frames": 0,
        "failed frames": 0,
        "unreadable videos": 1,
        "videos without any face": 1,
        "frames with several faces": 0,
        "videos in which the largest face switches": 0,
        "videos with a display matrix not applied in full": 0,
        "pictures cut short": 0,
    }
    bad = left_out(table).set_index("video_id")
    assert bad.loc["gap", ["status", "frames"]].tolist() == ["no_face", 1]
    assert "broken.mp4: not a readable video" in bad.loc["broken", "note"]


def test_the_report_lies_beside_the_crops(done):
    folder, table = done
    stored = read_json(folder.with_name("crops.report.json"))
    assert {k: v for k, v in stored.items() if k != "left out"} == report(table)
    assert [entry["video_id"] for entry in stored["left out"]] == ["broken", "gap"]


def test_crops_lie_where_their_rows_say(done, videos):
    folder, table = done
    ok = table[table["status"] == "ok"]
    for row in ok.itertuples():
        crop = np.load(folder / row.file)[row.row]
        assert crop.shape == (CONFIG.crop_size, CONFIG.crop_size, 3)
        assert crop.dtype == np.uint8
    first = ok[ok["video_id"] == "gap"]
    assert first["row"].tolist() == [0, 1]
    pd.testing.assert_frame_equal(pd.read_parquet(folder.with_suffix(".parquet")), table)


def test_a_second_run_does_nothing_and_a_stopped_one_goes_on(done, videos):
    root, manifest = videos
    folder, table = done
    stamps = {p: p.stat().st_mtime_ns for p in folder.rglob("*.np*")}
    (folder / "good.json").unlink()
    counts = []
    again = crop_videos(
        manifest, root, folder, CONFIG, workers=1, progress=lambda d, n: counts.append((d, n))
    )
    assert counts == [(2, 3), (3, 3)]
    pd.testing.assert_frame_equal(again, table)
    changed = {p.name for p, t in stamps.items() if p.stat().st_mtime_ns != t}
    assert changed == {"good.npy"}


def test_a_video_whose_file_changed_is_cut_again(done, videos):
    root, manifest = videos
    folder, table = done
    stamps = {p: p.stat().st_mtime_ns for p in folder.rglob("*.npy")}
    grown = manifest.assign(bytes=manifest["bytes"] + (manifest["video_id"] == "gap"))
    again = crop_videos(grown, root, folder, CONFIG, workers=1)
    changed = {p.name for p, t in stamps.items() if p.stat().st_mtime_ns != t}
    assert changed == {"gap.npy"}
    pd.testing.assert_frame_equal(
        again.drop(columns="source_bytes"), table.drop(columns="source_bytes")
    )
    crop_videos(manifest, root, folder, CONFIG, workers=1)


def test_shards_share_the_videos_and_a_call_without_one_joins_them(done, videos, tmp_path):
    root, manifest = videos
    folder = tmp_path / "crops"
    parts = [
        crop_videos(manifest, root, folder, CONFIG, workers=1, shard=(n, 4)) for n in (1, 2, 3, 4)
    ]
    assert [part["video_id"].unique().tolist() for part in parts] == [
        *(["good"], ["gap"], ["broken"]),
        [],  # three videos are used, and there are four shards
    ]
    assert not folder.with_name("crops.parquet").exists()
    cut = {f: f.stat().st_mtime_ns for f in folder.rglob("*.npy")}
    pd.testing.assert_frame_equal(crop_videos(manifest, root, folder, CONFIG, workers=1), done[1])
    assert {f: f.stat().st_mtime_ns for f in folder.rglob("*.npy")} == cut
    assert len(cut) == 2


def test_compressed_crops_have_the_same_pixels_and_may_lie_beside_others(done, videos, tmp_path):
    root, manifest = videos
    folder = tmp_path / "crops"
    crop_videos(manifest.iloc[[0]], root, folder, CONFIG, workers=1)
    table = crop_videos(manifest, root, folder, CONFIG, workers=1, compress=True)
    assert sorted(set(table["file"])) == ["", "gap.arrow", "good.npy"]  # what is done stays
    pd.testing.assert_frame_equal(table.drop(columns="file"), done[1].drop(columns="file"))
    cut = done[1][done[1]["status"] == "ok"].assign(class_index=0)
    ours = table[table["status"] == "ok"].assign(class_index=0)
    plain, compressed = CropDataset(cut, done[0], 64), CropDataset(ours, folder, 64)
    everything = list(range(len(cut)))
    assert torch.equal(plain.__getitems__(everything)[0], compressed.__getitems__(everything)[0])


def test_another_choice_of_videos_adds_to_the_table(videos, tmp_path):
    """A second protocol on the same data set: nothing done twice, nothing lost."""
    root, manifest = videos
    folder = tmp_path / "crops"
    first = manifest.assign(split=["test", "", "", ""])
    crop_videos(first, root, folder, CONFIG, workers=1)
    stamp = (folder / "good.npy").stat().st_mtime_ns
    second = manifest.assign(split=["", "", "test", ""])
    table = crop_videos(second, root, folder, CONFIG, workers=1)
    assert set(table["video_id"]) == {"broken"}
    assert set(pd.read_parquet(tmp_path / "crops.parquet")["video_id"]) == {"broken", "good"}
    assert (folder / "good.npy").stat().st_mtime_ns == stamp


def test_a_video_that_kills_its_reader_is_named_and_the_rest_is_done(videos, tmp_path):
    """By a signal, as in a faulty decoder, or when the system has no memory left."""
    root, manifest = videos
    fatal = manifest.iloc[[0]].assign(video_id="fatal", path="fatal")
    everything = pd.concat([manifest, fatal], ignore_index=True)
    folder = tmp_path / "crops"
    code = f"""
import os, signal, sys
import pandas as pd
from mcxlib.data.faces import extract
from mcxlib.data.video import length
from mcxlib.settings.data import DataConfig
original = length.length
def dies(path):
    if path.name == "fatal":
        os.kill(os.getpid(), signal.SIGKILL)
    return original(path)
length.length = dies
if __name__ == "__main__":
    extract.START_METHOD = "fork"
    table = extract.crop_videos(
        pd.read_parquet({str(tmp_path / "manifest.parquet")!r}), {str(root)!r}, {str(folder)!r},
        DataConfig(crop_size=72, frame_count=3), workers=2,
    )
"""
    everything.to_parquet(tmp_path / "manifest.parquet")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    table = pd.read_parquet(tmp_path / "crops.parquet").set_index("video_id")
    assert table.loc["fatal", "status"] == "unreadable"
    assert "the process that read it died" in table.loc["fatal", "note"]
    assert (table.loc["good", "status"] == "ok").all()
    assert len(table.loc["gap"]) == 3
    assert not list(folder.rglob(".*"))


def test_a_full_disk_loses_nothing(videos, tmp_path):
    """The limit on a file's size stands in for the disk's end: the system refuses to write on."""
    root, manifest = videos
    folder = tmp_path / "crops"
    manifest.to_parquet(tmp_path / "manifest.parquet")
    code = f"""
import resource
import pandas as pd
from mcxlib.data.faces import extract
from mcxlib.settings.data import DataConfig
manifest = pd.read_parquet({str(tmp_path / "manifest.parquet")!r})
config = DataConfig(crop_size=72, frame_count=3)
extract.START_METHOD = "fork"  # of this process, with its limits
if __name__ == "__main__":
    # The broken video first: it is done, its few bytes fit.
    extract.crop_videos(manifest.iloc[[2]], {str(root)!r}, {str(folder)!r}, config, workers=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    extract.crop_videos(manifest, {str(root)!r}, {str(folder)!r}, config, workers=1)
"""
    failed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert failed.returncode != 0
    last = failed.stderr.strip().splitlines()[-1]
    assert "OutOfSpace: 1 of 3 videos are done and kept" in last
    assert "GiB free" in last
    assert (folder / "broken.json").is_file()
    assert not list(folder.glob("good*"))
    assert not list(folder.rglob(".*"))
    # With room again it goes on, and the video that was done is not done again.
    stamp = (folder / "broken.json").stat().st_mtime_ns
    table = crop_videos(manifest, root, folder, CONFIG, workers=1)
    assert (table["status"] == "ok").sum() == 5
    assert (folder / "broken.json").stat().st_mtime_ns == stamp


def test_crops_of_another_contract_are_refused(done, videos):
    root, manifest = videos
    with pytest.raises(ValueError, match=r"crop_size: 72 stored, 80 wanted"):
        crop_videos(manifest, root, done[0], CONFIG.model_copy(update={"crop_size": 80}))


LOOSE = {
    "detector": "MTCNN",
    "facenet_pytorch": version("facenet-pytorch"),
    "detection": "fast",
    "min_probability": 0.9,
    "faces": "largest",
    "crop_rule": "loose",
    "loose_factor": 1.3,
    "crop_size": 512,
    "colour_order": "RGB",
    "frame_rule": "first",
    "frame_count": 30,
    "frame_step": None,
}
AUTHORS = {"crop_rule": "authors", "loose_factor": None, "min_probability": 0.98}
WHOLE = dict.fromkeys(
    ("detector", "facenet_pytorch", "detection", "min_probability", "faces", "loose_factor")
)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, LOOSE),
        # What decides no crop is not in it.
        ({"preset": "paper", "compression": "c40", "protocol": "official", "draw_seed": 3}, LOOSE),
        ({"frame_rule": "every"}, LOOSE | {"frame_rule": "every", "frame_step": 10}),
        ({"frame_rule": "even", "frame_step": 3}, LOOSE | {"frame_rule": "even"}),
        (
            {"crop_rule": "authors", "detection": "exact", "faces": "all"},
            LOOSE | AUTHORS | {"detection": "exact", "faces": "all"},
        ),
        ({"crop_rule": "seferbekov"}, LOOSE | {"crop_rule": "seferbekov", "loose_factor": None}
            | {"min_probability": 0.8}),
        ({"crop_rule": "whole", "crop_size": 450}, LOOSE | WHOLE | {"crop_rule": "whole"}
            | {"crop_size": 450}),
    ],
)  # fmt: skip
def test_contract_is_what_finished_runs_have_stored(settings, expected):
    assert contract(DataConfig(**settings)) == expected


def test_contract_names_what_decides_a_crop(done):
    stored = read_json(done[0] / "contract.json")
    assert stored == contract(CONFIG)
    assert set(CROP_FIELDS) <= set(stored)
    other = stored | {"detector": "another"}
    assert contract_difference(other, stored) == "detector: 'another' stored, 'MTCNN' wanted"


def test_loose_crop_by_hand():
    """A 20 px box in a ramp: the square has side 26 around the box's centre, here uncut."""
    frame = np.zeros((100, 120, 3), np.uint8)
    frame[..., 0] = np.arange(120)[None, :]
    frame[..., 1] = np.arange(100)[:, None]
    crop = crop_face(frame, (40, 30, 60, 50), "loose", 26)
    np.testing.assert_array_equal(crop[..., 0], np.tile(np.arange(37, 63), (26, 1)))
    np.testing.assert_array_equal(crop[..., 1], np.tile(np.arange(27, 53)[:, None], (1, 26)))


def test_loose_crop_repeats_the_edge_outside_the_frame():
    frame = np.full((50, 50, 3), 9, np.uint8)
    frame[0] = 200
    crop = crop_face(frame, (10, -10, 40, 20), "loose", 39)
    # Side 39 around (25, 5): 14 rows above the frame, then the frame's first row, then the rest.
    assert (crop[:15] == 200).all()
    assert (crop[15:] == 9).all()


def test_loose_crop_of_a_box_outside_the_frame():
    """OpenCV's border function on the whole frame gives the same as on the part that is needed."""
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for box in [(-30, -20, 10, 20), (70, 50, 100, 80), (-5, -5, 90, 70), (30, 20, 50, 40)]:
        side = round(1.3 * max(box[2] - box[0], box[3] - box[1]))
        left = round((box[0] + box[2] - 1.3 * max(box[2] - box[0], box[3] - box[1])) / 2)
        top = round((box[1] + box[3] - 1.3 * max(box[2] - box[0], box[3] - box[1])) / 2)
        padded = cv2.copyMakeBorder(frame, 200, 200, 200, 200, cv2.BORDER_REPLICATE)
        expected = padded[top + 200 : top + 200 + side, left + 200 : left + 200 + side]
        np.testing.assert_array_equal(crop_face(frame, box, "loose", side), expected)


def test_whole_frames_are_only_resized():
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop_face(frame, (0, 0, 64, 64), "whole", 64), frame)
    small = crop_face(frame, (0, 0, 64, 64), "whole", 32)
    means = frame.reshape(32, 2, 32, 2, 3).astype(float).mean((1, 3))
    assert np.abs(small - means).max() <= 0.5


def undistorted(frame, box, size):
    """Seferbekov's faces from their description: pixel rows and columns taken one by one."""
    x1, y1, x2, y2 = (int(v) for v in box)
    rows = [y for y in range(y1 - (y2 - y1) // 3, y2 + (y2 - y1) // 3) if 0 <= y < frame.shape[0]]
    columns = [
        x for x in range(x1 - (x2 - x1) // 3, x2 + (x2 - x1) // 3) if 0 <= x < frame.shape[1]
    ]
    face = frame[np.ix_(rows, columns)]
    scale = size / max(face.shape[:2])
    height, width = int(face.shape[0] * scale + 1e-9), int(face.shape[1] * scale + 1e-9)
    how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    square = np.zeros((size, size, 3), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = cv2.resize(
        face, (width, height), None, 0, 0, how
    )
    return square


@pytest.mark.parametrize("size", [40, 97, 380])
def test_seferbekovs_crop_is_not_square_inside_and_black_outside(size):
    frame = np.random.default_rng(0).integers(1, 256, (120, 160, 3), dtype=np.uint8)
    for box in [
        (40, 30, 80, 90),
        (40.9, 30.9, 100.2, 60.1),
        (-20, -10, 30, 50),
        (120, 60, 170, 130),
    ]:
        crop = crop_face(frame, box, "seferbekov", size)
        np.testing.assert_array_equal(crop, undistorted(frame, box, size))
    outside = crop_face(frame, (300, 300, 340, 340), "seferbekov", size)
    assert outside.shape == (size, size, 3)


def test_authors_crop_is_facenets_own(done):
    frame = render_person((6,), frames=2)[0]
    box = (100.0, 60.0, 200.0, 190.0)
    expected = extract_face(Image.fromarray(frame), np.array(box), image_size=512, margin=120)
    crop = crop_face(frame, box, "authors", 512)
    np.testing.assert_array_equal(crop, expected.permute(1, 2, 0).numpy().astype(np.uint8))


@pytest.fixture(scope="module")
def two_people():
    one = render_person((7,), frames=2)[0]
    small = render_person((8,), width=160, height=120, frames=2)[0]
    frame = np.full((240, 500, 3), 100, np.uint8)
    frame[:, :320] = one
    frame[60:180, 330:490] = small
    return frame


def test_largest_of_two_faces_is_taken(two_people):
    for detection in ("exact", "fast"):
        found = FaceFinder(0.9, detection)(two_people)
        assert found[0].box[2] < 320
    assert len(FaceFinder(0.9, "fast", "all")(two_people)) == 2


def test_exact_is_the_plain_call(two_people):
    boxes, probabilities = MTCNN(keep_all=True).detect(two_people)
    kept = sorted(
        (tuple(b) for b, p in zip(boxes, probabilities, strict=True) if p > 0.9),
        key=lambda b: -(b[2] - b[0]) * (b[3] - b[1]),
    )
    found = FaceFinder(0.9, "exact")(two_people)
    np.testing.assert_allclose([f.box for f in found], kept, atol=0.01)  # of a pixel


def test_the_choice_among_faces_by_hand():
    left, right = Face((0, 0, 40, 50), 0.99), Face((60, 0, 90, 30), 0.95)
    grown, apart = Face((55, 0, 110, 60), 0.9), Face((200, 0, 300, 90), 0.9)
    several, another = "2 faces, the largest taken", "another person than in the frame before"
    assert take([], "largest", left) == ([], [])
    assert take([left], "largest", None) == ([left], [])
    assert take([left, right], "largest", None) == ([left], [several])
    assert take([left, right], "all", right) == ([left, right], [])
    # The right one has become the largest, and the left one is still there.
    assert take([grown, left], "largest", left) == ([grown], [several, another])
    assert take([grown, left], "largest", right) == ([grown], [several])
    # It may also have moved: nobody is where it was.
    assert take([apart], "largest", left) == ([apart], [])
    assert take([apart, right], "largest", left) == ([apart], [several])
    # Boxes that touch have no part in common.
    assert not left.meets(Face((40, 0, 50, 50), 0.9))
    assert left.meets(Face((39, 49, 99, 99), 0.9))


def overlap(a, b):
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, wide) * max(0, high)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_fast_finds_what_exact_finds():
    """Also when the face jumps in size between frames, and when there was none."""
    big = render_person((9,), 480, 360, frames=3)
    far = np.full_like(big[0], 110)
    far[100:190, 180:300] = cv2.resize(big[2], (120, 90), interpolation=cv2.INTER_AREA)
    frames = [far, big[0], big[1], np.full_like(big[0], 127), big[1], far, far]
    exact, fast = FaceFinder(0.9, "exact"), FaceFinder(0.9, "fast")
    for frame in frames:
        wanted, found = exact(frame)[:1], fast(frame)[:1]
        assert len(wanted) == len(found)
        if wanted:
            assert overlap(wanted[0].box, found[0].box) > 0.9
    assert not exact(frames[3])


def test_faces_too_small_to_matter_are_not_looked_for_and_the_others_stay():
    frame = render_person((9,), 480, 360, frames=1)[0]
    near = np.full((360, 640, 3), 110, np.uint8)
    near[:, :480] = frame
    near[20:80, 520:600] = cv2.resize(frame, (80, 60), interpolation=cv2.INTER_AREA)
    every = FaceFinder(0.9, "fast", "all")(near)
    assert [face.side < 0.2 * 360 for face in every] == [False, True]
    (large,) = FaceFinder(0.9, "fast", "all", smallest=0.2)(near)
    assert overlap(large.box, every[0].box) > 0.9


def test_all_faces_have_rows_of_their_own(two_people, tmp_path):
    PIL_image = Image.fromarray(two_people)
    (tmp_path / "v").mkdir()
    PIL_image.save(tmp_path / "v/0.png")
    manifest = pd.DataFrame(
        {"dataset": "d", "video_id": ["v"], "path": ["v"], "split": ["test"], "bytes": [1]}
    )
    config = DataConfig(crop_size=72, faces="all", frame_count=3)
    table = crop_videos(manifest, tmp_path, tmp_path / "crops", config, workers=1)
    assert table[["frame_index", "face", "row", "status"]].values.tolist() == [
        [0, 0, 0, "ok"],
        [0, 1, 1, "ok"],
    ]
    assert np.load(tmp_path / "crops/v.npy").shape == (2, 72, 72, 3)
    assert report(table)["frames asked"] == 1
    assert report(table)["frames with several faces"] == 1
    assert set(table["note"]) == {""}


def manifest_of(root, *names):
    return pd.DataFrame(
        {
            "dataset": "d",
            "video_id": [name.rsplit(".", 1)[0] for name in names],
            "path": list(names),
            "split": "test",
            "bytes": [(root / name).stat().st_size for name in names],
        }
    )


def test_another_person_than_before_is_said_and_counted(tmp_path):
    """Two people; the larger one of the first two frames is the smaller one of the third."""
    people = [render_person((n,), frames=1)[0] for n in (7, 9)]

    def frame(large):
        canvas = np.full((240, 640, 3), 100, np.uint8)
        for number, person in enumerate(people):
            half = canvas[:, 320 * number :][:, :320]
            if number == large:
                half[:] = person
            else:
                half[48:192, 64:256] = cv2.resize(person, (192, 144), interpolation=cv2.INTER_AREA)
        return canvas

    (tmp_path / "two").mkdir()
    for number, large in enumerate((0, 0, 1)):
        Image.fromarray(frame(large)).save(tmp_path / f"two/{number}.png")
    table = crop_videos(
        manifest_of(tmp_path, "two"), tmp_path, tmp_path / "crops", CONFIG, workers=1
    )
    assert table["status"].tolist() == ["ok"] * 3
    assert (table["x1"] > 320).tolist() == [False, False, True]
    several = "2 faces, the largest taken"
    assert table["note"].tolist() == [
        several,
        several,
        f"{several}; another person than in the frame before",
    ]
    counts = report(table)
    assert counts["frames with several faces"] == 3
    assert counts["videos in which the largest face switches"] == 1


@pytest.mark.parametrize("detection", ["exact", "fast"])
def test_frames_too_small_for_a_face_are_said_and_the_rest_is_done(videos, tmp_path, detection):
    person = next(iter(render_person((5,), frames=1)))
    Image.fromarray(person).save(tmp_path / "good.png")
    Image.new("RGB", (2, 2)).save(tmp_path / "tiny.png")
    Image.new("RGB", (640, 19)).save(tmp_path / "below.png")
    Image.new("RGB", (640, 20)).save(tmp_path / "flat.png")
    write_plain(tmp_path / "thin.mkv", n=2, size=(16, 640), codec="ffv1", pixels="yuv444p")
    manifest = manifest_of(tmp_path, "tiny.png", "thin.mkv", "below.png", "flat.png", "good.png")
    config = CONFIG.model_copy(update={"detection": detection})
    table = crop_videos(manifest, tmp_path, tmp_path / "crops", config, workers=1)
    few = "px are too few for a face of at least 20 px"
    assert table[["video_id", "status", "note"]].values.tolist() == [
        ["tiny", "no_face", f"2 x 2 {few}"],
        ["thin", "no_face", f"16 x 640 {few}"],
        ["thin", "no_face", f"16 x 640 {few}"],
        ["below", "no_face", f"640 x 19 {few}"],
        ["flat", "no_face", ""],
        ["good", "ok", ""],
    ]


class Fails:
    """A detector that finds the whole frame, and does something else with the second one."""

    def __init__(self, second):
        self.second, self.count = second, 0

    def reset(self):
        self.count = 0

    def __call__(self, frame, index):
        self.count += 1
        return self.second() if self.count == 2 else [Face((0.0, 0.0, 96.0, 64.0), 1.0)]


def crash():
    raise RuntimeError("expected a non-empty list\nC++ trace\n of many lines")


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (crash, "RuntimeError: expected a non-empty list"),
        (lambda: [Face((math.nan, 0.0, 5.0, 5.0), 1.0)], "ValueError: cannot convert float NaN"),
        (lambda: {}[0], "KeyError: 0"),
        (lambda: next(iter(())), "StopIteration"),
    ],
)
def test_what_one_frame_raises_is_its_status(tmp_path, monkeypatch, second, reason):
    """In the detector, or in cutting out what it found."""
    path = write_plain(tmp_path / "v.mkv", n=3, codec="ffv1", pixels="yuv420p10le")
    monkeypatch.setattr(worker, "_finder", Fails(second))
    video = {"dataset": "d", "video_id": "v", "bytes": 1}
    rows = worker.process(path, tmp_path, video, contract(CONFIG), ".tmp-x-1-0a1b2c3d")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    assert table["status"].tolist() == ["ok", "failed", "ok"]
    assert set(table["status"]) <= set(STATUSES)
    assert table["row"].tolist() == [0, -1, 1]
    assert len(np.load(tmp_path / "v.npy")) == 2
    note = table["note"][1]
    assert note.startswith(f"reduced to 8 bits from yuv420p10le; {path}: frame 1: {reason}")
    assert "\n" not in note
    assert read_json(tmp_path / "v.json") == rows
    assert report(table)["failed frames"] == 1
    assert left_out(table)["status"].tolist() == ["failed"]


@pytest.mark.parametrize("place", ["length", "frames"])
def test_what_reading_raises_is_the_videos_status(tmp_path, monkeypatch, place):
    path = write_plain(tmp_path / "v.mp4", n=3)

    def frames(path, indices):
        yield from original(path, indices[:1])
        raise ZeroDivisionError("a decoder's fault")

    from mcxlib.data.video import length, reader

    original = reader.read_frames
    if place == "length":
        monkeypatch.setattr(length, "length", lambda path: 1 / 0)
    else:
        monkeypatch.setattr(reader, "read_frames", frames)
    monkeypatch.setattr(worker, "_finder", Fails(list))
    video = {"dataset": "d", "video_id": "v", "bytes": 1}
    rows = worker.process(path, tmp_path, video, contract(CONFIG), ".tmp-x-1-0a1b2c3d")
    status = [(row["frame_index"], row["status"]) for row in rows]
    if place == "length":
        assert status == [(-1, "unreadable")]
        assert rows[0]["note"] == f"{path}: ZeroDivisionError: division by zero"
    else:
        assert status == [(0, "ok"), (1, "unreadable"), (2, "unreadable")]
        assert rows[2]["note"] == f"{path}: ZeroDivisionError: a decoder's fault"


def test_oddities_of_files_stand_in_the_rows_and_the_report(tmp_path):
    """Frames that are crops already, so that no detector is asked."""
    os.mkfifo(tmp_path / "pipe.mp4")
    cos = math.cos(math.radians(45))
    rotate(write_plain(tmp_path / "turned.mp4", n=2), (cos, cos, -cos, cos))
    write_plain(tmp_path / "stream.ts", n=12)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile stream.ts\n")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[:-1])
    manifest = manifest_of(tmp_path, "turned.mp4", "cut.jpg", "pipe.mp4", "list.mp4", "stream.ts")
    config = DataConfig(crop_size=64, crop_rule="whole", frame_count=3)
    table = crop_videos(manifest, tmp_path, tmp_path / "crops", config, workers=1)
    angle = "display matrix of 45 degrees not applied"
    refused = "not a readable video (its content is none of the kinds of video that are read)"
    assert table[["video_id", "status", "note"]].values.tolist() == [
        ["turned", "ok", angle],
        ["turned", "ok", angle],
        ["cut", "ok", "cut short: its end is missing, its rows are all there"],
        ["pipe", "unreadable", f"{tmp_path}/pipe.mp4: a named pipe, not a file"],
        ["list", "unreadable", f"{tmp_path}/list.mp4: {refused}"],
        *[["stream", "ok", ""]] * 3,
    ]
    counts = report(table)
    assert counts["videos with a display matrix not applied in full"] == 1
    assert counts["pictures cut short"] == 1
    assert counts["unreadable videos"] == 2


def test_other_writers_unfinished_files_are_left_alone(videos, tmp_path):
    root, manifest = videos
    folder = tmp_path / "crops"
    (folder / "sub").mkdir(parents=True)
    here, mine = socket.gethostname(), os.getpid()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kept = [
        f".tmp-{here}-{mine}-0a1b2c3d.npy",
        f".tmp-{here}-{mine}-0a1b2c3d.77",  # says which video a process is at
        "sub/.tmp-elsewhere-1-0a1b2c3d.npy",
        ".tmp-abcdefgh.json",
    ]
    gone = [f"sub/.tmp-{here}-{ended.pid}-0a1b2c3d.npy", ".tmp-hgfedcba.json"]
    for name in (*kept, *gone):
        (folder / name).write_text("good")
    before = time.time() - 2 * 86400
    os.utime(folder / gone[1], (before, before))
    crop_videos(manifest.iloc[[2]], root, folder, CONFIG, workers=1)
    hidden = {f.relative_to(folder).as_posix() for f in folder.rglob(".*")}
    assert hidden == set(kept)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("mcxlib.data.faces.contract", ("pandas", "numpy")),
        ("mcxlib.data.faces.report", ()),
        ("mcxlib.data.faces.extract", ()),
        ("mcxlib.data.crops.rows", ()),
    ],
)
def test_tables_and_contracts_need_no_network_library(module, heavy):
    names = ("torch", "torchvision", "cv2", "av", "timm", "facenet_pytorch", "scipy", *heavy)
    code = f"import sys, {module}; print([m for m in {names} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
