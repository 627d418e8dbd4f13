"""Faces: every frame asked for has a row and a status, crops are what their rule says, and a
stopped or repeated run does nothing twice."""

import numpy as np
import pandas as pd
import pytest
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
        "frames asked": 7,
        "faces found": 5,
        "no face": 1,
        "unreadable": 1,
        "videos affected": ["broken", "gap"],
    }


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


def test_authors_crop_is_facenets_own(done):
    frame = render_person((6,), frames=2)[0]
    box = (100.0, 60.0, 200.0, 190.0)
    expected = extract_face(Image.fromarray(frame), np.array(box), image_size=512, margin=120)
    crop = faces.crop_face(frame, box, "authors", 512)
    np.testing.assert_array_equal(crop, expected.permute(1, 2, 0).numpy().astype(np.uint8))


def test_largest_of_two_faces_is_taken():
    one = render_person((7,), frames=2)[0]
    small = render_person((8,), width=160, height=120, frames=2)[0]
    frame = np.full((240, 500, 3), 100, np.uint8)
    frame[:, :320] = one
    frame[60:180, 330:490] = small
    face = faces.FaceFinder(0.9)(frame)
    assert face.box[2] < 320
