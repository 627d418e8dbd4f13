"""Sampling rules by hand; decoding real files, good and broken, with every frame accounted for."""

import av
import numpy as np
import pytest

from mcxlib.data.video import UnreadableVideo, frame_indices, frame_total, read_frames


def write_video(path, n=20, size=(96, 64), codec="libx264", audio_only=False):
    """Frame i is a noisy grey of 10 i: its number can be read back from its mean brightness."""
    noise = np.random.default_rng(0).integers(-3, 4, (size[1], size[0], 3))
    with av.open(str(path), "w") as container:
        if audio_only:
            stream = container.add_stream("aac", rate=16000)
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 16000), np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate = 16000
        else:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
        if audio_only:
            container.mux(stream.encode(frame))
        else:
            for i in range(n):
                grey = (10 + 10 * i + np.roll(noise, 7 * i, axis=1)).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    return path


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


def test_the_frames_asked_for_are_the_ones_that_come(tmp_path):
    path = write_video(tmp_path / "a b ü.mp4")
    assert frame_total(path) == 20
    got = dict(read_frames(path, [0, 3, 19]))
    assert list(got) == [0, 3, 19]
    for index, frame in got.items():
        assert frame.shape == (64, 96, 3)
        assert frame.dtype == np.uint8
        assert abs(frame.mean() - 10 - 10 * index) < 3


def test_frames_beyond_the_end_come_as_none(tmp_path):
    got = dict(read_frames(write_video(tmp_path / "v.mp4", n=4), [2, 3, 4, 9]))
    assert [got[i] is None for i in (2, 3, 4, 9)] == [False, False, True, True]


def test_truncated_video_accounts_for_every_frame(tmp_path):
    path = write_video(tmp_path / "v.mkv", n=20)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    got = dict(read_frames(path, list(range(20))))
    assert list(got) == list(range(20))
    readable = [i for i, frame in got.items() if frame is not None]
    assert 0 < len(readable) < 20
    assert readable == list(range(len(readable)))


@pytest.mark.parametrize(
    ("content", "named"), [(b"", "empty"), (b"not a video" * 50, "not a readable video")]
)
def test_unreadable_files_are_named(tmp_path, content, named):
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableVideo, match=named):
        frame_total(path)


def test_missing_and_audio_only(tmp_path):
    with pytest.raises(UnreadableVideo, match="no such file"):
        frame_total(tmp_path / "gone.mp4")
    with pytest.raises(UnreadableVideo, match="no video stream"):
        frame_total(write_video(tmp_path / "sound.mp4", audio_only=True))
