"""Sampling rules by hand; decoding real files, good and bad, with every frame accounted for."""

import math
import os
import socket
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media import faststart, hide_frame, recut, rotate, write_sound, write_video
from PIL import Image

from mcxlib.data.video import container, decode, kinds
from mcxlib.data.video.container import UnreadableVideo
from mcxlib.data.video.length import frame_total, length
from mcxlib.data.video.reader import read_frames
from mcxlib.data.video.sampling import frame_indices


@pytest.mark.parametrize(
    ("rule", "count", "step", "total", "expected"),
    [
        ("first", 3, 10, 8, [0, 1, 2]),
        ("first", 30, 10, 4, [0, 1, 2, 3]),
        ("every", 3, 10, 100, [0, 10, 20]),
        ("every", 9, 10, 25, [0, 10, 20]),
        ("even", 4, 10, 8, [1, 3, 5, 7]),
        ("even", 3, 10, 24, [4, 12, 20]),
        ("even", 5, 10, 2, [0, 1]),
        ("first", 5, 1, 0, []),
    ],
)
def test_rules_by_hand(rule, count, step, total, expected):
    assert frame_indices(rule, count, step, total) == expected


def test_unknown_rule_lists_the_valid_ones():
    with pytest.raises(ValueError, match="'last'; valid: first, every, even"):
        frame_indices("last", 1, 1, 1)


def images(path, indices):
    return {frame.index: frame.image for frame in read_frames(path, indices)}


def test_the_frames_asked_for_are_the_ones_that_come(tmp_path):
    path = write_video(tmp_path / "a b ü.mp4")
    assert frame_total(path) == 20
    got = images(path, [0, 3, 19])
    assert list(got) == [0, 3, 19]
    for index, image in got.items():
        assert image.shape == (64, 96, 3)
        assert image.dtype == np.uint8
        assert abs(image.mean() - 10 - 8 * index) < 3


def test_frames_beyond_the_end_say_so(tmp_path):
    got = list(read_frames(write_video(tmp_path / "v.mp4", n=4), [2, 3, 4, 9]))
    assert [frame.image is None for frame in got] == [False, False, True, True]
    assert "v.mp4: the video ends after 4 frames" in got[3].problem
    assert got[0].problem == ""


GOPS = {"g": "6", "bf": "2", "sc_threshold": "0"}


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.mp4", "libx264", GOPS),
        ("v.mkv", "libx264", GOPS),
        ("v.mp4", "libx264", GOPS | {"x264-params": "open-gop=1"}),
        ("v.mp4", "libx265", {"x265-params": "keyint=6:bframes=2:log-level=none"}),
        ("v.avi", "mpeg4", {"g": "6"}),
        # H.264 in AVI: without times of display, a frame sought is not the frame counted.
        ("v.avi", "libx264", GOPS),
        ("v.ts", "libx264", GOPS),
        ("v.mp4", "libx264", {"g": "10", "x264-params": "intra-refresh=1"}),
        ("v.webm", "libvpx", {"g": "6", "deadline": "realtime"}),
    ],
)
def test_sought_frames_are_those_of_decoding_everything(tmp_path, name, codec, options):
    path = write_video(tmp_path / name, n=30, codec=codec, options=options)
    with av.open(str(path)) as opened:
        reference = [f.to_ndarray(format="rgb24") for f in opened.decode(video=0)]
    assert len(reference) == frame_total(path) == 30
    for indices in ([0, 10, 20], [29], [5, 6, 7, 23], [11, 12, 24]):
        got = images(path, indices)
        assert list(got) == indices
        for index in indices:
            np.testing.assert_array_equal(got[index], reference[index])


def test_hidden_frames_do_not_count(tmp_path):
    """VP8 has packets that are decoded but never shown."""
    options = {"g": "6", "deadline": "realtime"}
    whole = write_video(tmp_path / "whole.webm", n=30, codec="libvpx", options=options)
    path = hide_frame(whole, tmp_path / "v.webm", after=3)
    with av.open(str(path)) as opened:
        reference = [f.to_ndarray(format="rgb24") for f in opened.decode(video=0)]
    with av.open(str(path)) as opened:
        assert sum(1 for p in opened.demux(video=0) if p.size) == 31
    assert len(reference) == frame_total(path) == 30
    for index, image in images(path, [2, 4, 10, 29]).items():
        np.testing.assert_array_equal(image, reference[index])


def test_seeking_skips_what_lies_between(tmp_path, monkeypatch):
    """Key frames at 0, 10 and 20: two frames cost three decodings, not twenty-two."""
    path = write_video(
        tmp_path / "v.mp4", n=30, options={"g": "10", "bf": "0", "sc_threshold": "0"}
    )
    decoded = []

    def counting(packet):
        frames = packet.decode()
        decoded.extend(frame.pts for frame in frames)
        return frames

    monkeypatch.setattr(decode, "decoded", counting)
    got = images(path, [0, 21])
    assert abs(got[21].mean() - 10 - 8 * 21) < 3
    assert len(decoded) == 3  # 0; then 20 and 21
    decoded.clear()
    images(path, [0, 1, 2])
    assert len(decoded) == 3
    decoded.clear()
    images(path, [23, 24])  # no key frame lies between them
    assert len(decoded) == 5


def test_frames_that_an_edit_list_leaves_out_do_not_count(tmp_path):
    """Key frames at 0, 6, ...; shown from frame 8 on."""
    whole = write_video(tmp_path / "whole.mp4", n=30, options=GOPS)
    path = recut(whole, tmp_path / "v.mp4", first=8)
    assert frame_total(path) == 22
    for indices in (list(range(22)), [0, 3, 21]):
        got = images(path, indices)
        for index, image in got.items():
            assert abs(image.mean() - 10 - 8 * (index + 8)) < 3


def test_indices_that_are_not_ascending_are_refused(tmp_path):
    for indices in ([3, 1], [2, 2], [-1, 0]):
        with pytest.raises(ValueError, match="must be ascending and not negative"):
            read_frames(tmp_path / "v.mp4", indices)


def test_variable_frame_rate_counts_frames_not_time(tmp_path):
    stamps = [0, 4, 8, 50, 52, 100, 104, 300, 301, 302, 400, 404]
    path = write_video(
        tmp_path / "v.mkv", n=12, stamps=stamps, options={"g": "4", "sc_threshold": "0"}
    )
    got = images(path, [0, 3, 7, 11])
    for index, image in got.items():
        assert abs(image.mean() - 10 - 8 * index) < 3


def test_truncated_video_accounts_for_every_frame(tmp_path):
    path = write_video(tmp_path / "v.mkv", n=20)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    got = images(path, list(range(20)))
    assert list(got) == list(range(20))
    readable = [i for i, image in got.items() if image is not None]
    assert 0 < len(readable) < 20
    assert readable == list(range(len(readable)))
    sparse = images(path, [0, 19])
    assert sparse[0] is not None
    assert sparse[19] is None


def test_frames_cut_off_are_missed_not_made_up(tmp_path):
    """An MP4 file whose index comes first states 30 frames, of which the last third is gone."""
    whole = write_video(tmp_path / "whole.mp4", n=30, options=GOPS, noise=60)
    path = faststart(whole, tmp_path / "v.mp4")
    with av.open(str(path)) as opened:
        packet = [p for p in opened.demux(video=0) if p.size][20]
        inside = packet.pos + packet.size * 4 // 5  # enough for a decoder to make up the rest
    path.write_bytes(path.read_bytes()[:inside])
    assert frame_total(path) == 30
    reference = images(whole, list(range(30)))
    for indices in (list(range(30)), [0, 7, 14, 29]):
        got = list(read_frames(path, indices))
        assert [frame.index for frame in got] == indices
        assert got[0].image is not None
        assert got[-1].image is None
        for frame in got:
            assert (frame.image is None) == bool(frame.problem)
            if frame.image is not None:
                np.testing.assert_array_equal(frame.image, reference[frame.index])


@pytest.mark.parametrize("step", [1, 4])
def test_damage_costs_frames_up_to_the_next_key_frame(tmp_path, step):
    path = write_video(tmp_path / "v.mp4", n=30, options=GOPS | {"bf": "0"})
    reference = images(path, list(range(30)))
    with av.open(str(path)) as opened:
        packet = [p for p in opened.demux(video=0) if p.size][14]
        start, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[start : start + size] = b"\xff" * size
    path.write_bytes(bytes(data))
    got = images(path, list(range(0, 30, step)))
    assert [i for i, image in got.items() if image is None] == [
        i for i in range(0, 30, step) if 14 <= i < 18
    ]
    for index, image in got.items():
        if image is not None:
            np.testing.assert_array_equal(image, reference[index])


def test_a_file_cut_short_says_so(tmp_path):
    path = write_video(tmp_path / "v.mkv", n=40, noise=60)
    assert length(path) == (40, "")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, problem = length(path)
    assert 0 < frames < 40
    assert "v.mkv: cut short" in problem
    assert "of the 1.60 s" in problem


def test_mp4_without_its_index_is_unreadable(tmp_path):
    path = write_video(tmp_path / "v.mp4", n=20)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(UnreadableVideo, match=r"v\.mp4: not a readable video"):
        frame_total(path)
    assert all("not a readable video" in frame.problem for frame in read_frames(path, [0, 1]))


@pytest.mark.parametrize(
    ("content", "named"), [(b"", "empty"), (b"not a video" * 50, "not a readable video")]
)
def test_unreadable_files_are_named(tmp_path, content, named):
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableVideo, match=named):
        frame_total(path)


def test_missing_sound_only_and_cover_picture(tmp_path):
    with pytest.raises(UnreadableVideo, match="no such file"):
        frame_total(tmp_path / "gone.mp4")
    with pytest.raises(UnreadableVideo, match="no video stream"):
        frame_total(write_sound(tmp_path / "sound.mp4"))
    with pytest.raises(UnreadableVideo, match="only sound and a cover picture"):
        frame_total(write_sound(tmp_path / "song.mp3", "libmp3lame", cover=b""))


def test_a_cover_picture_before_the_video_is_passed_over(tmp_path):
    picture = np.full((64, 96, 3), 200, np.uint8)
    path = write_video(tmp_path / "v.mp4", n=6, cover=picture)
    assert frame_total(path) == 6
    assert abs(images(path, [5])[5].mean() - 50) < 3


def test_one_frame(tmp_path):
    path = write_video(tmp_path / "v.mp4", n=1)
    assert frame_total(path) == 1
    for rule in ("first", "every", "even"):
        indices = frame_indices(rule, 30, 10, frame_total(path))
        assert [i for i, image in images(path, indices).items() if image is not None] == [0]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied_as_opencv_applies_it(tmp_path, degrees):
    picture = np.full((64, 96, 3), 40, np.uint8)
    picture[:20, :30] = (230, 60, 60)  # which corner it lands in tells the direction
    path = rotate(write_video(tmp_path / "v.mp4", n=2, frames=[picture] * 2), degrees)
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    done, expected = capture.read()
    assert done
    (frame, _) = read_frames(path, [0, 1])
    assert frame.image.shape == expected.shape == ((64, 96, 3) if degrees == 180 else (96, 64, 3))
    difference = frame.image.astype(int) - expected[..., ::-1]
    assert np.abs(difference).mean() < 3
    assert frame.note == f"rotated by {360 - degrees} degrees, as the file says"


def test_mirrored_by_the_display_matrix(tmp_path):
    picture = np.full((64, 96, 3), 40, np.uint8)
    picture[:20, :30] = 220
    path = rotate(write_video(tmp_path / "v.mp4", n=1, frames=[picture]), (-1, 0, 0, 1))
    (frame,) = read_frames(path, [0])
    assert frame.image[5, -5].mean() > 200
    assert frame.image[5, 5].mean() < 60
    assert frame.note == "mirrored, as the file says"


@pytest.mark.parametrize(
    ("angle", "note"),
    [
        (30, "display matrix of 30 degrees not applied"),
        (45, "display matrix of 45 degrees not applied"),
        (-45, "display matrix of 45 degrees not applied"),
        (3, "display matrix of 3 degrees not applied"),
        (
            -80,
            "rotated by 90 degrees, as the file says; "
            "display matrix of 80 degrees applied to the nearest quarter turn",
        ),
        (
            170,
            "rotated by 180 degrees, as the file says; "
            "display matrix of 170 degrees applied to the nearest quarter turn",
        ),
        (0.01, ""),  # an encoder's rounding
        (90.01, "rotated by 270 degrees, as the file says"),
    ],
)
def test_angles_between_quarter_turns_are_named(tmp_path, angle, note):
    """Turned clockwise by ``angle``; the notes count a turn that was made the other way round."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    path = rotate(write_video(tmp_path / "v.mp4", n=1), (cos, sin, -sin, cos))
    (frame,) = read_frames(path, [0])
    assert frame.note == note
    assert frame.image.shape == ((96, 64, 3) if "by 90" in note or "270" in note else (64, 96, 3))


@pytest.mark.parametrize(
    ("codec", "pixels", "note"),
    [
        ("ffv1", "gray", "greyscale"),
        ("ffv1", "yuva420p", "alpha dropped"),
        ("ffv1", "yuv420p", ""),
    ],
)
def test_notes_of_what_is_not_plain_colour(tmp_path, codec, pixels, note):
    path = write_video(tmp_path / "v.mkv", n=2, codec=codec, pixels=pixels)
    (frame,) = read_frames(path, [1])
    assert frame.note == note
    assert abs(frame.image.mean() - 18) < 3


@pytest.mark.parametrize(
    ("codec", "pixels", "size"),
    [
        ("ffv1", "yuv444p", (95, 63)),
        ("libx264", "yuv444p", (95, 63)),
        ("mjpeg", "yuvj420p", (33, 17)),
    ],
)
def test_odd_sizes(tmp_path, codec, pixels, size):
    path = write_video(tmp_path / "v.mkv", n=3, size=size, codec=codec, pixels=pixels)
    got = images(path, [0, 2])
    assert got[2].shape == (size[1], size[0], 3)
    assert abs(got[2].mean() - 26) < 3


@pytest.mark.parametrize(
    ("codec", "deep"), [("libx264", "yuv420p10le"), ("libx265", "yuv420p10le")]
)
def test_ten_bits_look_like_eight(tmp_path, codec, deep):
    options = {"crf": "4"} | ({"x265-params": "log-level=none"} if codec == "libx265" else {})
    colours = np.zeros((64, 96, 3), np.uint8)
    colours[..., 0] = np.linspace(20, 230, 96)
    colours[..., 1] = np.linspace(230, 20, 64)[:, None]
    colours[..., 2] = 90
    by_depth = []
    for name, pixels in (("8.mp4", "yuv420p"), ("10.mp4", deep)):
        path = write_video(
            tmp_path / name, n=3, codec=codec, pixels=pixels, options=options, frames=[colours] * 3
        )
        by_depth.append(list(read_frames(path, [0, 1, 2])))
    for eight, ten in zip(*by_depth, strict=True):
        difference = eight.image.astype(float) - ten.image
        assert np.abs(difference).mean() < 2
        assert np.abs(difference.mean(axis=(0, 1))).max() < 1
        assert "reduced to 8 bits" in ten.note
        assert eight.note == ""


def test_huge_frames_are_refused_from_the_header(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", n=2)
    monkeypatch.setattr(container, "MAX_PIXELS", 96 * 64 - 1)
    with pytest.raises(UnreadableVideo, match=r"96 x 64 pixels are larger than the 6143 allowed"):
        frame_total(path)
    (frame,) = read_frames(path, [0])
    assert "96 x 64" in frame.problem


def test_folders_of_images_and_single_images(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in (0, 2, 9, 10):
        Image.fromarray(np.full((8, 8, 3), i * 10, np.uint8)).save(folder / f"f{i}.png")
    (folder / "f11.png").write_bytes(b"broken")
    assert frame_total(folder) == 5
    got = list(read_frames(folder, [1, 2, 3, 4, 5]))
    assert [f.image.max() if f.image is not None else None for f in got] == [
        *(20, 90, 100),
        *(None, None),
    ]
    assert "f11.png: not a readable image" in got[3].problem
    assert "there are 5 images" in got[4].problem
    assert frame_total(folder / "f9.png") == 1
    assert images(folder / "f9.png", [0])[0].max() == 90
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableVideo, match="holds no image"):
        frame_total(tmp_path / "empty")
    (frame,) = read_frames(tmp_path / "empty", [0])
    assert "holds no image" in frame.problem


def test_litter_beside_frames_is_passed_over(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((8, 8, 3), i * 10, np.uint8)).save(folder / f"{i:03}.png")
    litter = (".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini", "Desktop.ini", "._000.png")
    for name in (*litter, ".tmp-host-1-0a1b2c3d.png", "notes.txt", "timestamps"):
        (folder / name).write_bytes(b"no picture")
    (folder / "@eaDir").mkdir()
    assert length(folder) == (3, "")
    got = list(read_frames(folder, [0, 1, 2]))
    assert [(frame.image.max(), frame.note) for frame in got] == [(0, ""), (10, ""), (20, "")]


def test_frames_without_a_suffix_are_known_by_their_content(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((8, 8, 3), i * 10, np.uint8)).save(folder / str(i), format="PNG")
    assert frame_total(folder) == 3
    assert [frame.image.max() for frame in read_frames(folder, [1, 2])] == [10, 20]
    assert images(folder / "2", [0])[0].max() == 20


def test_what_is_no_file_is_named_and_never_opened(tmp_path):
    """Opening a pipe would wait for a writer that never comes."""
    for name in ("v.mp4", "v.ts", "v.png", "v"):
        os.mkfifo(tmp_path / name)
        (frame,) = read_frames(tmp_path / name, [0])
        assert frame.problem == f"{tmp_path / name}: a named pipe, not a file"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.mp4"))
        with pytest.raises(UnreadableVideo, match=r"s\.mp4: a socket, not a file"):
            length(tmp_path / "s.mp4")
    (tmp_path / "d.mp4").symlink_to("/dev/zero")
    with pytest.raises(UnreadableVideo, match=r"d\.mp4: a device, not a file"):
        length(tmp_path / "d.mp4")
    (tmp_path / "l.mp4").symlink_to(tmp_path / "l.mp4")
    (frame,) = read_frames(tmp_path / "l.mp4", [0])
    assert "l.mp4: " in frame.problem
    folder = tmp_path / "frames"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "0.png")
    os.mkfifo(folder / "1.png")
    good, bad = read_frames(folder, [0, 1])
    assert good.image is not None
    assert "1.png: a named pipe, not a file" in bad.problem


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.8,\n{}\n#EXT-X-ENDLIST\n"
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n"
)
LISTS = {
    "concat": ("v.mp4", "ffconcat version 1.0\nfile {}\n"),
    "hls": ("v.m3u8", HLS),
    "sdp": ("v.avi", SDP),
}


@pytest.mark.parametrize("kind", LISTS)
def test_files_that_open_other_files_are_refused(tmp_path, kind):
    """FFmpeg itself, asked without a list of what to open, follows the first two."""
    write_video(tmp_path / "other.ts", n=20)
    name, text = LISTS[kind]
    path = tmp_path / name
    path.write_text(text.format("other.ts"))
    if kind != "sdp":
        with av.open(str(path)) as container:
            assert container.format.name == kind
            assert sum(1 for _ in container.decode(video=0)) == 20
    with pytest.raises(UnreadableVideo, match=r"its content is none of the kinds of video"):
        length(path)
    (frame,) = read_frames(path, [0])
    assert "not a readable video" in frame.problem


def test_sequences_of_images_are_not_looked_for(tmp_path):
    """FFmpeg takes a number's pattern in a name for the files it stands for."""
    for i in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"f{i}.jpg")
    with av.open(str(tmp_path / "f%d.jpg")) as container:
        assert container.format.name == "image2"
    (frame,) = read_frames(tmp_path / "f%d.jpg", [0])
    assert frame.problem.endswith("no such file")
    (tmp_path / "f%d.jls").write_bytes(b"x")
    with pytest.raises(UnreadableVideo, match="not a readable video"):
        length(tmp_path / "f%d.jls")


def test_a_name_is_no_protocol(tmp_path, monkeypatch):
    write_video(tmp_path / "v.mp4", n=2).rename(tmp_path / "concat:v.mp4")
    monkeypatch.chdir(tmp_path)
    assert frame_total(Path("concat:v.mp4")) == 2


def test_pictures_in_a_containers_clothes_are_refused(tmp_path):
    """AVIF is MP4's relative. Photographs in it may come in tiles, each of which looks whole."""
    Image.new("RGB", (64, 64)).save(tmp_path / "p.avif")
    (tmp_path / "p.avif").rename(tmp_path / "p.mp4")
    with pytest.raises(UnreadableVideo, match=r"p\.mp4: a picture \(avif\), not a video"):
        length(tmp_path / "p.mp4")


@pytest.mark.parametrize(
    ("name", "codec", "demuxer"),
    [
        ("v.ts", "libx264", "mpegts"),
        ("v.mts", "libx264", "mpegts"),
        ("v.m2ts", "mpeg2video", "mpegts"),
        ("v.3gp", "libx264", "mov"),
        ("v.ogv", "libvpx", "ogg"),
        ("v.asf", "wmv2", "asf"),
        ("v.vob", "mpeg2video", "mpeg"),
        ("v.mxf", "mpeg2video", "mxf"),
        ("v.gif", "gif", "gif"),
    ],
)
def test_containers_of_every_sort_with_and_without_their_suffix(tmp_path, name, codec, demuxer):
    pixels = "rgb8" if codec == "gif" else "yuv420p"
    path = write_video(tmp_path / name, n=12, codec=codec, pixels=pixels)
    plain = tmp_path / "without suffix"
    plain.write_bytes(path.read_bytes())
    dated = tmp_path / "clip 2024.06"
    dated.write_bytes(path.read_bytes())
    for file in (path, plain, dated):
        with container.open_video(file) as opened:
            assert opened.format.name.startswith(demuxer)
            reference = [f.to_ndarray(format="rgb24") for f in opened.decode(video=0)]
        assert kinds.kind(file) == "video"
        assert len(reference) == frame_total(file) == 12
        got = images(file, [0, 5, 11])
        for index, image in got.items():
            np.testing.assert_array_equal(image, reference[index])
            assert abs(image.mean() - 10 - 8 * index) < 8
