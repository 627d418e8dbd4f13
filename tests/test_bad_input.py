"""One folder of everything that goes wrong with files, through the code that reads real data.

Each file gets a status and a reason; nothing is replaced in silence, and the good ones are done.
"""

import os

import numpy as np
import pandas as pd
import pytest
from media import rotate, write_sound, write_video
from PIL import Image

from mcxlib.data.faces.extract import crop_videos
from mcxlib.data.faces.report import left_out, report
from mcxlib.data.video.kinds import junk, kind
from mcxlib.settings.data import DataConfig
from mcxlib.synthetic import render_person

N = 4
CONFIG = DataConfig(crop_size=72, frame_count=N)


def videos_in(folder):
    """A manifest of what is a video by its kind: a file, or a folder of frames."""
    found = [p for p in sorted(folder.iterdir()) if not junk(p.name) and (p.is_dir() or kind(p))]
    stems = [p.stem for p in found]
    return pd.DataFrame(
        {
            "dataset": "mine",
            # Two files that differ in their suffix only keep it in their name.
            "video_id": [p.name if stems.count(p.stem) > 1 else p.stem for p in found],
            "path": [p.name for p in found],
            "split": "test",
            "bytes": [p.stat().st_size for p in found],
        }
    )


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The crop table of the folder, by file name."""
    home = tmp_path_factory.mktemp("bad")
    at = home / "videos"
    at.mkdir()
    person = list(render_person((5,), frames=N))
    size = (320, 240)
    h264 = {"options": {"crf": "18"}}

    write_video(at / "good.mp4", N, size, frames=person, **h264)
    write_video(at / "Zürich 2 (Kopie).mp4", N, size, frames=person, **h264)
    write_video(at / "one frame.mp4", 1, size, frames=person, **h264)
    write_video(
        *(at / "hevc.mp4", N, size, "libx265"),
        options={"x265-params": "log-level=none"},
        frames=person,
    )
    write_video(at / "ten bits.mp4", N, size, pixels="yuv420p10le", frames=person, **h264)
    odd = [np.ascontiguousarray(f[:239, :319]) for f in person]
    write_video(at / "odd.mkv", N, (319, 239), "ffv1", "yuv444p", frames=odd)
    # Lies on its side in the file; the display matrix sets it upright.
    turned = [np.ascontiguousarray(np.rot90(f, 1)) for f in person]
    rotate(write_video(at / "rotated.mp4", N, (240, 320), frames=turned, **h264), 90)

    (at / "zero bytes.mp4").write_bytes(b"")
    (at / "no video.mp4").write_bytes(b"nothing of the kind" * 99)
    whole = write_video(at / "cut.mp4", N, size, frames=person, **h264)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    half = write_video(at / "half.mkv", N, size, frames=person, codec="ffv1", pixels="yuv444p")
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    write_sound(at / "sound.mp4")
    empty = [np.full_like(person[0], 127)] * N
    write_video(at / "nobody.mp4", N, size, frames=empty)

    save(at / "grey.png", person[0].mean(2).astype(np.uint8))
    save(at / "sixteen.png", (person[0].mean(2) * 257).astype(np.uint16))
    alpha = np.dstack([person[0], np.full((240, 320), 255, np.uint8)])
    save(at / "alpha.png", alpha)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(at / "exif.jpg", turned[0], exif=exif, quality=95)
    save(at / "cut.png", person[0])
    (at / "cut.png").write_bytes((at / "cut.png").read_bytes()[:3000])
    Image.new("RGB", (8200, 8200)).save(at / "huge.png")
    for i, frame in enumerate(person):
        save(at / f"frames/{i}.png", frame)
    (at / "frames/2.png").write_bytes(b"")
    save(at / "frames/._0.png", person[0])
    (at / "frames/Thumbs.db").write_bytes(b"litter")
    data = (at / "exif.jpg").read_bytes()
    (at / "last byte.jpg").write_bytes(data[:-1])
    (at / "half.jpg").write_bytes(data[: len(data) // 3])
    write_video(at / "stream.ts", 12, size, frames=person * 3, **h264)
    (at / "stream").write_bytes((at / "stream.ts").read_bytes())
    os.mkfifo(at / "pipe.mp4")
    (at / "list.mp4").write_text("ffconcat version 1.0\nfile good.mp4\n")
    (at / "program.ts").write_text("export const x: number = 3;\n")
    save(at / "tiny.png", np.zeros((2, 2, 3), np.uint8))

    crops = crop_videos(videos_in(at), at, home / "crops", CONFIG, workers=2)
    crops["name"] = crops["video_id"]
    return crops.set_index("name"), home / "crops"


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
        (
            "last byte",
            "EXIF orientation applied; cut short: its end is missing, its rows are all there",
        ),
    ],
)
def test_unusual_images_are_one_frame(table, name, note):
    row = table[0].loc[name]
    assert isinstance(row, pd.Series)
    assert row["status"] == "ok"
    assert row["note"] == note


@pytest.mark.parametrize("name", ["stream", "stream.ts"])
def test_containers_are_told_by_their_content(table, name):
    rows = table[0].loc[name]
    assert rows["status"].tolist() == ["ok"] * N
    assert "program" not in table[0].index


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
        ("pipe", "a named pipe, not a file"),
        ("list", "its content is none of the kinds of video that are read"),
    ],
)
def test_unreadable_videos_say_why(table, name, reason):
    row = table[0].loc[name]
    assert (row["status"], row["frame_index"], row["row"]) == ("unreadable", -1, -1)
    assert reason in row["note"]
    assert name.removesuffix(".mp4") in row["note"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cut.png", "not a readable image (cut short: the first "),
        ("half.jpg", "not a readable image (cut short: the first "),
        ("huge", "8200 x 8200 pixels"),
    ],
)
def test_unreadable_images_say_why(table, name, reason):
    row = table[0].loc[name]
    assert row["status"] == "unreadable"
    assert reason in row["note"]


def test_what_can_be_read_of_a_broken_video_is_used(table):
    rows, folder = table
    half = rows.loc["half.mkv"]
    statuses = half["status"].tolist()
    good = statuses.count("ok")
    assert 0 < good < N
    assert statuses == ["ok"] * good + ["unreadable"]
    assert "half.mkv: cut short, it ends at" in half["note"].iloc[-1]
    assert "of the 0.16 s it states" in half["note"].iloc[-1]
    assert len(np.load(folder / "half.mkv.npy")) == good
    frames = rows.loc["frames"]
    assert frames["status"].tolist() == ["ok", "ok", "unreadable", "ok"]
    assert frames["row"].tolist() == [0, 1, -1, 2]


def test_nobody_there_is_not_an_error(table):
    assert table[0].loc["nobody", "status"].tolist() == ["no_face"] * N


def test_a_frame_too_small_for_a_face_says_so(table):
    row = table[0].loc["tiny"]
    assert row["status"] == "no_face"
    assert row["note"] == "2 x 2 px are too few for a face of at least 20 px"


def test_the_report_counts_all_of_it(table):
    rows, _ = table
    counts = report(rows.reset_index(drop=True))
    assert counts["videos"] == 27
    assert counts["unreadable videos"] == 6
    # cut.png, half.jpg, huge.png, one of frames/, and the row for what half.mkv lacks
    assert counts["unreadable frames"] == 5
    assert counts["no face"] == N + 1
    assert counts["failed frames"] == 0
    assert counts["pictures cut short"] == 1
    assert len(left_out(rows)) == 6 + 5 + 2
