"""Faces: every frame asked for has a row and a status, crops are what their rule says, and a
stopped or repeated run does nothing twice."""

import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import extract_face
from PIL import Image

from mcxlib.config import load
from mcxlib.data import faces
from mcxlib.data.demo import render_person
from mcxlib.data.demo.encode import write_video
from mcxlib.files import read_json

CONFIG = load("test", frame_rule="first", frame_count=3)


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
    return folder, faces.crop_videos(manifest, root, folder, CONFIG, workers=2)


def test_every_frame_asked_for_has_a_status(done):
    _, table = done
    assert list(table) == list(faces.COLUMNS)
    status = {v: part["status"].tolist() for v, part in table.groupby("video_id")}
    assert status == {
        "good": ["ok"] * 3,
        "gap": ["ok", "no_face", "ok"],
        "broken": ["unreadable"],
    }
    assert faces.report(table) == {
        "videos": 3,
        "frames asked": 6,
        "faces found": 5,
        "no face": 1,
        "unreadable frames": 0,
        "unreadable videos": 1,
        "videos without any face": 1,
    }
    left_out = faces.left_out(table).set_index("video_id")
    assert left_out.loc["gap", ["status", "frames"]].tolist() == ["no_face", 1]
    assert "broken.mp4: not a readable video" in left_out.loc["broken", "note"]


def test_the_report_lies_beside_the_crops(done):
    folder, table = done
    report = read_json(folder.with_name("crops.report.json"))
    assert {k: v for k, v in report.items() if k != "left out"} == faces.report(table)
    assert [entry["video_id"] for entry in report["left out"]] == ["broken", "gap"]


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
    again = faces.crop_videos(
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
    again = faces.crop_videos(grown, root, folder, CONFIG, workers=1)
    changed = {p.name for p, t in stamps.items() if p.stat().st_mtime_ns != t}
    assert changed == {"gap.npy"}
    pd.testing.assert_frame_equal(
        again.drop(columns="source_bytes"), table.drop(columns="source_bytes")
    )
    faces.crop_videos(manifest, root, folder, CONFIG, workers=1)


def test_another_choice_of_videos_adds_to_the_table(videos, tmp_path):
    """A second protocol on the same data set: nothing done twice, nothing lost."""
    root, manifest = videos
    folder = tmp_path / "crops"
    first = manifest.assign(split=["test", "", "", ""])
    faces.crop_videos(first, root, folder, CONFIG, workers=1)
    stamp = (folder / "good.npy").stat().st_mtime_ns
    second = manifest.assign(split=["", "", "test", ""])
    table = faces.crop_videos(second, root, folder, CONFIG, workers=1)
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
from mcxlib.config import load
from mcxlib.data import faces
original = faces.videos.length
def dies(path):
    if path.name == "fatal":
        os.kill(os.getpid(), signal.SIGKILL)
    return original(path)
faces.videos.length = dies
if __name__ == "__main__":
    faces.START_METHOD = "fork"
    table = faces.crop_videos(
        pd.read_parquet({str(tmp_path / "manifest.parquet")!r}), {str(root)!r}, {str(folder)!r},
        load("test", frame_rule="first", frame_count=3), workers=2,
    )
"""
    everything.to_parquet(tmp_path / "manifest.parquet")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    table = pd.read_parquet(tmp_path / "crops.parquet").set_index("video_id")
    assert table.loc["fatal", "status"] == "unreadable"
    assert "the process that read it died" in table.loc["fatal", "note"]
    assert (table.loc["good", "status"] == "ok").all()
    assert len(table.loc["gap"]) == 3
    assert not list(folder.glob(".at-work-*"))


def test_a_full_disk_loses_nothing(videos, tmp_path):
    """The limit on a file's size stands in for the disk's end: the system refuses to write on."""
    root, manifest = videos
    folder = tmp_path / "crops"
    manifest.to_parquet(tmp_path / "manifest.parquet")
    code = f"""
import resource
import pandas as pd
from mcxlib.config import load
from mcxlib.data import faces
manifest = pd.read_parquet({str(tmp_path / "manifest.parquet")!r})
config = load("test", frame_rule="first", frame_count=3)
faces.START_METHOD = "fork"  # of this process, with its limits
if __name__ == "__main__":
    # The broken video first: it is done, its few bytes fit.
    faces.crop_videos(manifest.iloc[[2]], {str(root)!r}, {str(folder)!r}, config, workers=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    faces.crop_videos(manifest, {str(root)!r}, {str(folder)!r}, config, workers=1)
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
    assert not list(folder.rglob(".tmp-*"))
    # With room again it goes on, and the video that was done is not done again.
    stamp = (folder / "broken.json").stat().st_mtime_ns
    table = faces.crop_videos(manifest, root, folder, CONFIG, workers=1)
    assert (table["status"] == "ok").sum() == 5
    assert (folder / "broken.json").stat().st_mtime_ns == stamp


def test_crops_of_another_contract_are_refused(done, videos):
    root, manifest = videos
    with pytest.raises(ValueError, match=r"crop_size: 72 stored, 80 wanted"):
        faces.crop_videos(manifest, root, done[0], load("test", **{
            "frame_rule": "first", "frame_count": 3, "crop_size": 80}))  # fmt: skip


def test_contract_names_what_decides_a_crop(done):
    stored = read_json(done[0] / "contract.json")
    assert stored == faces.contract(CONFIG)
    assert stored["frame_rule"] == "first"
    assert stored["colour_order"] == "RGB"
    other = stored | {"detector": "another"}
    assert faces.contract_difference(other, stored) == "detector: 'another' stored, 'MTCNN' wanted"


def test_loose_crop_by_hand():
    """A 20 px box in a ramp: the square has side 26 around the box's centre, here uncut."""
    frame = np.zeros((100, 120, 3), np.uint8)
    frame[..., 0] = np.arange(120)[None, :]
    frame[..., 1] = np.arange(100)[:, None]
    crop = faces.crop_face(frame, (40, 30, 60, 50), "loose", 26)
    np.testing.assert_array_equal(crop[..., 0], np.tile(np.arange(37, 63), (26, 1)))
    np.testing.assert_array_equal(crop[..., 1], np.tile(np.arange(27, 53)[:, None], (1, 26)))


def test_loose_crop_repeats_the_edge_outside_the_frame():
    frame = np.full((50, 50, 3), 9, np.uint8)
    frame[0] = 200
    crop = faces.crop_face(frame, (10, -10, 40, 20), "loose", 39)
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
        np.testing.assert_array_equal(faces.crop_face(frame, box, "loose", side), expected)


def test_whole_frames_are_only_resized():
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(faces.crop_face(frame, (0, 0, 64, 64), "whole", 64), frame)
    small = faces.crop_face(frame, (0, 0, 64, 64), "whole", 32)
    means = frame.reshape(32, 2, 32, 2, 3).astype(float).mean((1, 3))
    assert np.abs(small - means).max() <= 0.5


def test_authors_crop_is_facenets_own(done):
    frame = render_person((6,), frames=2)[0]
    box = (100.0, 60.0, 200.0, 190.0)
    expected = extract_face(Image.fromarray(frame), np.array(box), image_size=512, margin=120)
    crop = faces.crop_face(frame, box, "authors", 512)
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
        found = faces.FaceFinder(0.9, detection)(two_people)
        assert found[0].box[2] < 320
    assert len(faces.FaceFinder(0.9, "fast", "all")(two_people)) == 2


def test_exact_is_the_plain_call(two_people):
    boxes, probabilities = MTCNN(keep_all=True).detect(two_people)
    kept = sorted(
        (tuple(b) for b, p in zip(boxes, probabilities, strict=True) if p > 0.9),
        key=lambda b: -(b[2] - b[0]) * (b[3] - b[1]),
    )
    found = faces.FaceFinder(0.9, "exact")(two_people)
    np.testing.assert_allclose([f.box for f in found], kept, atol=0.01)  # of a pixel


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
    exact, fast = faces.FaceFinder(0.9, "exact"), faces.FaceFinder(0.9, "fast")
    for frame in frames:
        wanted, found = exact(frame)[:1], fast(frame)[:1]
        assert len(wanted) == len(found)
        if wanted:
            assert overlap(wanted[0].box, found[0].box) > 0.9
    assert not exact(frames[3])


def test_all_faces_have_rows_of_their_own(two_people, tmp_path):
    PIL_image = Image.fromarray(two_people)
    (tmp_path / "v").mkdir()
    PIL_image.save(tmp_path / "v/0.png")
    manifest = pd.DataFrame(
        {"dataset": "d", "video_id": ["v"], "path": ["v"], "split": ["test"], "bytes": [1]}
    )
    config = load("test", faces="all", frame_rule="first", frame_count=3)
    table = faces.crop_videos(manifest, tmp_path, tmp_path / "crops", config, workers=1)
    assert table[["frame_index", "face", "row", "status"]].values.tolist() == [
        [0, 0, 0, "ok"],
        [0, 1, 1, "ok"],
    ]
    assert np.load(tmp_path / "crops/v.npy").shape == (2, 72, 72, 3)
    assert faces.report(table)["frames asked"] == 1
