"""Which frames are looked at: hand-worked choices, and how much of a clip they decode."""

from bisect import bisect_right

import pytest
from media import write_video

from mcxlib.answer.frames import MOST_DECODED, choose
from mcxlib.data.video.seek import CannotSeek, timeline


def decoded(indices, keys):
    """Frames that have to be decoded for ``indices``, counted one by one."""
    needed = set()
    for index in indices:
        needed |= set(range(keys[bisect_right(keys, index) - 1], index + 1))
    return len(needed)


def test_a_short_clip_is_looked_at_evenly():
    assert choose(10, [0], 0, 4).indices == [1, 3, 6, 8]  # middles of 2.5 frames each
    assert choose(3, [0], 0, 32) == ([0, 1, 2], "")
    assert choose(10, None, 0, 4).indices == [1, 3, 6, 8]


def test_every_nth_from_the_first_on_and_what_is_behind_the_last_is_said():
    assert choose(10, [0], 3, 32) == ([0, 3, 6, 9], "")
    assert choose(100, [0], 3, 4) == ([0, 3, 6, 9], "frames after number 9 were not looked at")


def test_a_minute_with_few_key_frames_is_not_decoded_whole():
    keys = list(range(0, 1500, 250))
    found = choose(1500, keys, 0, 32)
    # 600 / 6 = 100 frames behind each key frame; five or six of them each, at the middles of parts.
    assert len(found.indices) == 32
    assert found.indices == sorted(set(found.indices))
    assert all(index % 250 < 100 for index in found.indices)
    assert {index // 250 for index in found.indices} == set(range(6))
    assert decoded(found.indices, keys) <= MOST_DECODED < decoded(range(23, 1500, 47), keys)
    assert found.note.startswith("900 of 1500 frames lie too far behind a key frame")


def test_many_key_frames_leave_the_choice_as_it_is():
    keys = list(range(0, 1500, 12))
    assert choose(1500, keys, 0, 32).indices == choose(1500, None, 0, 32).indices


def test_one_crowded_part_among_many_gives_each_frame_once():
    keys = [*range(0, 200), 200]
    found = choose(12_000, keys, 0, 256)
    assert found.indices == sorted(set(found.indices))
    assert decoded(found.indices, keys) <= MOST_DECODED


def test_times_and_key_frames_of_a_file(tmp_path):
    path = write_video(tmp_path / "a.mp4", n=25, options={"g": "10", "sc_threshold": "0"})
    found = timeline(path)
    assert found.keys == [0, 10, 20]
    assert found.seconds == pytest.approx([i / 25 for i in range(25)])
    with pytest.raises(CannotSeek):
        timeline(write_video(tmp_path / "a.avi", codec="mpeg4"))
