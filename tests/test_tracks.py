"""People from faces: hand-worked overlaps, crossings, gaps, cuts."""

import numpy as np
import pytest

from mcxlib.answer.tracks import MOST_MISSED, Sighting, join, overlaps
from mcxlib.data.video.scenes import is_cut, small
from mcxlib.synthetic import render_person


def box(x, y=0, side=10):
    return (x, y, x + side, y + side)


def test_overlaps_by_hand():
    # 10 x 10 boxes, shifted by 5: 50 shared of 150; by 10: they touch; a quarter inside: 25 of 100.
    found = overlaps([box(0)], [box(0), box(5), box(10), (0, 0, 5, 5), (3, 3, 3, 3)])
    np.testing.assert_allclose(found, [[1, 1 / 3, 0, 0.25, 0]])
    assert overlaps([], [box(0)]).shape == (0, 1)
    assert overlaps([box(0)], []).shape == (1, 0)


def test_two_people_side_by_side_are_two_whatever_the_order_of_their_faces():
    frames = [[box(0), box(50)], [box(51), box(1)], [box(2), box(52)]]
    left = [Sighting(0, 0), Sighting(1, 1), Sighting(2, 0)]
    right = [Sighting(0, 1), Sighting(1, 0), Sighting(2, 1)]
    assert join(frames) == [left, right]


def test_the_sum_of_overlaps_decides_not_who_comes_first():
    # The first person's best is the face at 4 (6/14), which is also the second's only one: taking
    # it would leave the second without. At 4 and -6: 4/16 + 6/14 (the second at 0 + 8).
    frames = [[box(0), box(8)], [box(4), box(-6)]]
    first, second = join(frames)
    assert first == [Sighting(0, 0), Sighting(1, 1)]
    assert second == [Sighting(0, 1), Sighting(1, 0)]


def test_a_face_too_far_away_is_someone_else():
    # Shifted by 8: 20 of 180 = 0.11, the same; by 9: 10 of 190 = 0.05, another.
    assert len(join([[box(0)], [box(8)]])) == 1
    assert len(join([[box(0)], [box(9)]])) == 2


def test_a_person_is_kept_over_missing_frames_and_then_gone():
    there, gone = [box(0)], []
    assert len(join([there, *[gone] * MOST_MISSED, there])) == 1
    assert len(join([there, *[gone] * (MOST_MISSED + 1), there])) == 2


def test_a_cut_ends_everybody():
    frames = [[box(0)], [box(0)], [box(0)]]
    assert join(frames, cuts=[2]) == [[Sighting(0, 0), Sighting(1, 0)], [Sighting(2, 0)]]
    assert join([], cuts=[]) == []


def test_a_cut_is_seen_between_two_clips_and_not_inside_one():
    first, second = (render_person(seed, 160, 120, 8) for seed in ((1,), (2,)))
    pictures = [small(frame) for frame in (*first, *second)]
    found = [i for i in range(1, 16) if is_cut(pictures[i - 1], pictures[i])]
    assert found == [8]


@pytest.mark.parametrize("change", ["darker", "moved", "black"])
def test_another_light_and_a_movement_are_no_cut_and_black_is_one(change):
    grey = np.linspace(0, 1, 1024).reshape(32, 32)
    if change == "darker":
        assert not is_cut(grey, 0.6 * grey)
    elif change == "moved":
        assert not is_cut(grey, np.roll(grey, 6, axis=0))
    else:
        assert is_cut(grey, np.zeros((32, 32)))  # a black picture is one
        assert not is_cut(np.zeros((32, 32)), np.zeros((32, 32)))
