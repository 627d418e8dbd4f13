"""One folder of everything that goes wrong with files, through the code that reads real data.

Each file gets a status and a reason; nothing is replaced in silence, and the good ones are done.
"""

import numpy as np
import pandas as pd
import pytest
from media import rotate, write_sound, write_video
from PIL import Image

from mcxlib import pipeline
from mcxlib.config import load
from mcxlib.data import faces
from mcxlib.data.demo import render_person

N = 4
CONFIG = {"crop_size": 72, "input_size": 64, "frame_count": N}


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The crop table of the folder, by file name."""
    home = tmp_path_factory.mktemp("bad")
    real, fake = home / "videos/mine/real", home / "videos/mine/fake"
    for folder in (real, fake):
        folder.mkdir(parents=True)
    person = list(render_person((5,), frames=N))
    size = (320, 240)
    h264 = {"options": {"crf": "18"}}

    write_video(real / "good.mp4", N, size, frames=person, **h264)
    write_video(real / "Zürich 2 (Kopie).mp4", N, size, frames=person, **h264)
    write_video(real / "one frame.mp4", 1, size, frames=person, **h264)
    write_video(
        *(real / "hevc.mp4", N, size, "libx265"),
        options={"x265-params": "log-level=none"},
        frames=person,
    )
    write_video(real / "ten bits.mp4", N, size, pixels="yuv420p10le", frames=person, **h264)
    odd = [np.ascontiguousarray(f[:239, :319]) for f in person]
    write_video(real / "odd.mkv", N, (319, 239), "ffv1", "yuv444p", frames=odd)
    # Lies on its side in the file; the display matrix sets it upright.
    turned = [np.ascontiguousarray(np.rot90(f, 1)) for f in person]
    rotate(write_video(real / "rotated.mp4", N, (240, 320), frames=turned, **h264), 90)

    (fake / "zero bytes.mp4").write_bytes(b"")
    (fake / "no video.mp4").write_bytes(b"nothing of the kind" * 99)
    whole = write_video(fake / "cut.mp4", N, size, frames=person, **h264)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    half = write_video(fake / "half.mkv", N, size, frames=person, codec="ffv1", pixels="yuv444p")
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    write_sound(fake / "sound.mp4")
    empty = [np.full_like(person[0], 127)] * N
    write_video(fake / "nobody.mp4", N, size, frames=empty)

    save(real / "grey.png", person[0].mean(2).astype(np.uint8))
    save(real / "sixteen.png", (person[0].mean(2) * 257).astype(np.uint16))
    alpha = np.dstack([person[0], np.full((240, 320), 255, np.uint8)])
    save(real / "alpha.png", alpha)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(real / "exif.jpg", turned[0], exif=exif, quality=95)
    save(fake / "cut.png", person[0])
    (fake / "cut.png").write_bytes((fake / "cut.png").read_bytes()[:3000])
    Image.new("RGB", (8200, 8200)).save(fake / "huge.png")
    for i, frame in enumerate(person):
        save(fake / f"frames/{i}.png", frame)
    (fake / "frames/2.png").write_bytes(b"")
    (home / "outside.mp4").write_bytes((real / "good.mp4").read_bytes())
    (fake / "link.mp4").symlink_to(home / "outside.mp4")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATA", "RUNS", "VIDEOS"):
            patch.setenv(f"MCX_{name}", str(home / name.lower()))
        config = load("paper", **CONFIG)
        crops = pipeline.ensure_crops(config, "mine", workers=2)
        left_out = pipeline.left_out(config, "mine")
        folder = pipeline.crop_folder(config, "mine")
    assert left_out.to_numpy().tolist() == [
        ["fake/link.mp4", "a link that leaves the data set's folder"]
    ]
    crops["name"] = crops["video_id"].str.split("/").str[1]
    return crops.set_index("name"), folder


@pytest.mark.parametrize(
    ("name", "note"),
    [
        *(("good", ""), ("Zürich 2 (Kopie)", ""), ("hevc", ""), ("odd", "")),
        ("ten bits", "reduced to 8 bits from yuv420p10le"),
        ("rotated", "rotated by 270 degrees, as the file says"),
    ],
)
def test_unusual_videos_are_read(table, name, note):
    rows = table[0].loc[name]
    assert rows["status"].tolist() == ["ok"] * N
    assert set(rows["note"]) == {note}


@pytest.mark.parametrize(
    ("name", "note"),
    [
        *(("one frame", ""), ("grey", "greyscale"), ("alpha", "opaque alpha channel dropped")),
        ("sixteen", "greyscale; 16 bits reduced to 8"),
        ("exif", "EXIF orientation applied"),
    ],
)
def test_unusual_images_are_one_frame(table, name, note):
    row = table[0].loc[name]
    assert isinstance(row, pd.Series)
    assert row["status"] == "ok"
    assert row["note"] == note


@pytest.mark.parametrize("name", ["hevc", "ten bits", "rotated", "odd", "grey", "exif"])
def test_the_face_is_where_it_is_in_the_good_file(table, name):
    rows, _ = table
    boxes = rows.set_index("frame_index", append=True)[["x1", "y1", "x2", "y2"]]
    assert np.abs(boxes.loc[(name, 0)] - boxes.loc[("good", 0)]).max() < 12


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("zero bytes", "the file is empty (0 bytes)"),
        ("no video", "not a readable video"),
        ("cut.mp4", "not a readable video"),
        ("sound", "no video stream"),
    ],
)
def test_unreadable_videos_say_why(table, name, reason):
    row = table[0].loc[name]
    assert (row["status"], row["frame_index"], row["row"]) == ("unreadable", -1, -1)
    assert reason in row["note"]
    assert name.removesuffix(".mp4") in row["note"]


@pytest.mark.parametrize(
    ("name", "reason"), [("cut.png", "not a readable image"), ("huge", "8200 x 8200 pixels")]
)
def test_unreadable_images_say_why(table, name, reason):
    row = table[0].loc[name]
    assert row["status"] == "unreadable"
    assert reason in row["note"]


def test_what_can_be_read_of_a_broken_video_is_used(table):
    rows, folder = table
    half = rows.loc["half"]
    statuses = half["status"].tolist()
    good = statuses.count("ok")
    assert 0 < good < N
    assert statuses == ["ok"] * good + ["unreadable"]
    assert "half.mkv: cut short, it ends at" in half["note"].iloc[-1]
    assert "of the 0.16 s it states" in half["note"].iloc[-1]
    assert len(np.load(folder / "fake/half.npy")) == good
    frames = rows.loc["frames"]
    assert frames["status"].tolist() == ["ok", "ok", "unreadable", "ok"]
    assert frames["row"].tolist() == [0, 1, -1, 2]


def test_nobody_there_is_not_an_error(table):
    assert table[0].loc["nobody", "status"].tolist() == ["no_face"] * N


def test_the_report_counts_all_of_it(table):
    rows, _ = table
    counts = faces.report(rows.reset_index(drop=True))
    assert counts["videos"] == 20
    assert counts["unreadable videos"] == 4
    assert counts["no face"] == N
    assert len(faces.left_out(rows)) >= 8
