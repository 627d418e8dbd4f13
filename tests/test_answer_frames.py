"""Which frames are looked at: hand-worked choices, and how much of a clip they decode."""

from bisect import bisect_right
from itertools import pairwise

import pytest
from media import write_video

from mcxlib.answer.frames import MOST_DECODED, choose, choose_clips
from mcxlib.data.video.seek import CannotSeek, timeline


def decoded(indices, keys):
    """Frames that have to be decoded for ``indices``, counted one by one."""
    needed = set()
    for index in indices:
        needed |= set(range(keys[bisect_right(keys, index) - 1], index + 1))
    return len(needed)


def test_a_short_clip_is_looked_at_evenly():
    assert choose(10, [0], 0, 4).indices == [1, 3, 6, 8]  # middles of 2.5 frames each
    assert choose(3, [0], 0, 32) == ([0, 1, 2], "", 1)
    assert choose(10, None, 0, 4).indices == [1, 3, 6, 8]


def test_every_nth_from_the_first_on_and_what_is_behind_the_last_is_said():
    assert choose(10, [0], 3, 32) == ([0, 3, 6, 9], "", 1)
    after = "frames after number 9 were not looked at"
    assert choose(100, [0], 3, 4) == ([0, 3, 6, 9], after, 1)


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


def test_clips_in_the_middles_of_equal_parts():
    # Two parts of ten frames, their middles at 5 and 15, four frames around each.
    assert choose_clips(20, [0], 4, 8) == ([3, 4, 5, 6, 13, 14, 15, 16], "", 4)
    assert choose_clips(20, [0], 4, 11) == choose_clips(20, [0], 4, 8), "whole clips only"
    assert choose_clips(9, None, 4, 4).indices == [2, 3, 4, 5]


def test_clips_of_a_short_file_overlap():
    # Four clips of four frames in ten: they begin at 0, 2, 4 and 6.
    assert choose_clips(10, [0], 4, 16) == (list(range(10)), "", 2)
    assert choose_clips(16, [0], 4, 16) == (list(range(16)), "", 4), "side by side"
    assert choose_clips(3, [0], 4, 16) == ([0, 1, 2], "", 1)


def test_clips_far_behind_key_frames_are_drawn_to_them():
    # Middles of quarters of 4000: 500, 1500, 2500, 3500, less two. Key frames at 0 and 2000.
    found = choose_clips(4000, [0, 2000], 4, 16)
    assert found.indices == [*range(8), *range(2000, 2008)]
    assert "would need more than 600" in found.note
    assert decoded(found.indices, [0, 2000]) == 16
    near = choose_clips(4000, list(range(0, 4000, 50)), 4, 16)
    assert near.indices[::4] == [498, 1498, 2498, 3498]
    assert near.note == ""


@pytest.mark.parametrize("total", [33, 100, 1500, 7201])
@pytest.mark.parametrize("keys", [[0], [0, 30, 31, 90], None])
@pytest.mark.parametrize("frames", [2, 8, 25, 32])
def test_clips_are_stretches_of_whole_clips(total, keys, frames):
    found = choose_clips(total, keys, frames, 4 * frames)
    assert found.indices == sorted(set(found.indices))
    assert found.indices[0] >= 0
    assert found.indices[-1] < total
    assert len(found.indices) <= 4 * frames
    breaks = [i for i, (a, b) in enumerate(pairwise(found.indices), 1) if b != a + 1]
    ends = [0, *breaks, len(found.indices)]
    assert all(b - a >= frames for a, b in pairwise(ends))
