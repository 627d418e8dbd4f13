"""Faces followed from frame to frame: when a search is due, and what following finds."""

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from mcxlib.data.faces.cascade import SHIFT, Areas, Cascade, Found
from mcxlib.data.faces.choice import Face
from mcxlib.data.faces.extract import crop_videos
from mcxlib.data.faces.finder import FaceFinder
from mcxlib.data.faces.follow import DROP, EVERY, LEAST_SHARED, MOST_GAP, Follower
from mcxlib.data.video.reader import read_frames
from mcxlib.files import read_json
from mcxlib.settings.data import DataConfig
from mcxlib.synthetic import render_person
from mcxlib.synthetic.encode import write_video

GREY = np.full((120, 160, 3), 100, np.uint8)
LEFT, RIGHT = (10.0, 10.0, 50.0, 50.0), (80.0, 20.0, 110.0, 50.0)


class Script:
    """A cascade whose third network says what a test has written down, once each."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def follow(self, areas, boxes):
        self.asked.append(boxes.tolist())
        found = self.answers.pop(0)
        return Found(
            np.array([box for box, _ in found], np.float32),
            np.array([probability for _, probability in found], np.float32),
        )


def following(*answers, faces=((LEFT, 1.0),), least=0.9, start=0, frame=GREY):
    """A follower that has searched frame ``start``, and its script."""
    script = Script(*answers)
    follower = Follower(script, least)
    assert follower(frame, start) is None  # nothing to follow yet
    follower.searched_for([Face(*face) for face in faces])
    return follower, script


def moved(box, right, down=0.0):
    return (box[0] + right, box[1] + down, box[2] + right, box[3] + down)


def test_a_box_is_looked_for_where_the_frame_before_had_it():
    places = [moved(LEFT, 3), moved(LEFT, 6)]
    follower, script = following([(places[0], 0.99)], [(places[1], 0.985)])
    assert follower(GREY, 1) == [Face(places[0], pytest.approx(0.99))]
    assert follower(GREY, 2) == [Face(places[1], pytest.approx(0.985))]
    assert script.asked == [[list(LEFT)], [list(places[0])]]


@pytest.mark.parametrize(
    ("before", "now", "least", "due"),
    [
        (1.0, 1 - DROP + 0.001, 0.9, False),
        (1.0, 1 - DROP - 0.001, 0.9, True),
        (0.95, 0.95 - DROP - 0.001, 0.9, True),  # from what the search gave, not from 1
        (0.91, 0.905, 0.9, False),
        (0.91, 0.895, 0.9, True),  # the fall is small, but that is no face any more
        (0.91, 0.895, 0.8, False),
    ],
)
def test_a_search_is_due_where_a_face_grows_less_probable(before, now, least, due):
    follower, _ = following([(LEFT, now)], faces=[(LEFT, before)], least=least)
    assert (follower(GREY, 1) is None) == due
    assert not follower.cut


def test_the_fall_counts_from_the_last_search_not_from_frame_to_frame():
    steps = [1 - 0.4 * DROP, 1 - 0.8 * DROP, 1 - 1.2 * DROP]
    follower, _ = following(*[[(LEFT, step)] for step in steps])
    assert [follower(GREY, index) is None for index in (1, 2, 3)] == [False, False, True]
    assert follower(GREY, 4) is None  # and nobody is followed until there was a search


def test_a_search_is_due_after_so_many_frames():
    follower, script = following(*[[(LEFT, 1.0)]] * EVERY)
    due = [follower(GREY, index) is None for index in range(1, EVERY + 1)]
    assert due == [False] * (EVERY - 1) + [True]
    follower.searched_for([Face(LEFT, 1.0)])
    assert follower(GREY, EVERY + 1) is not None
    assert not script.answers


@pytest.mark.parametrize(
    ("index", "due"), [(MOST_GAP, False), (MOST_GAP + 1, True), (0, True), (-3, True)]
)
def test_only_frames_that_follow_closely_are_followed(index, due):
    follower, script = following([(LEFT, 1.0)])
    assert (follower(GREY, index) is None) == due
    assert len(script.asked) == (not due)


def test_frames_of_another_size_and_another_video_are_searched():
    follower, script = following([(LEFT, 1.0)])
    assert follower(GREY[:, :150], 1) is None
    follower, script = following([(LEFT, 1.0)])
    follower.reset()
    assert follower(GREY, 1) is None
    assert not script.asked


@pytest.mark.parametrize(
    ("shift", "due"),
    # A square of 40 px: 13 px on, 27 x 40 of 53 x 40 are shared, 0.51; 14 px on, 26 of 54, 0.48.
    [(13, False), (14, True)],
)
def test_a_box_that_jumps_is_searched_for(shift, due):
    assert LEAST_SHARED == 0.5
    follower, _ = following([(moved(LEFT, shift), 1.0)])
    assert (follower(GREY, 1) is None) == due


def test_several_faces_each_count_and_the_largest_stands_first():
    both = [(LEFT, 1.0), (RIGHT, 1.0)]
    grown = (70.0, 10.0, 112.0, 52.0)
    # The right one grows: 30 x 30 of 42 x 42 are shared, 0.51. It is the larger one from then on,
    # with the certainty that it was found with.
    follower, script = following(
        [(LEFT, 1.0), (grown, 0.96)], [(grown, 0.96), (LEFT, 0.96)], faces=[both[0], (RIGHT, 0.97)]
    )
    assert [face.box for face in follower(GREY, 1)] == [grown, LEFT]
    assert script.asked == [[list(LEFT), list(RIGHT)]]
    assert follower(GREY, 2) is None  # the left one has fallen from 1
    assert script.asked[1] == [list(grown), list(LEFT)]


def test_two_faces_that_end_in_one_place_are_searched_for():
    near = [((0.0, 0.0, 40.0, 40.0), 1.0), ((20.0, 0.0, 60.0, 40.0), 1.0)]  # a third is shared
    apart = [near[0], ((15.0, 0.0, 55.0, 40.0), 1.0)]  # 25 of 55
    together = [((6.0, 0.0, 46.0, 40.0), 1.0), near[1]]  # 26 of 54, still two
    one = [((10.0, 0.0, 50.0, 40.0), 1.0), ((20.0, 0.0, 60.0, 40.0), 1.0)]  # 30 of 50
    for answer, due in ((apart, False), (together, False), (one, True)):
        follower, _ = following(answer, faces=near)
        assert (follower(GREY, 1) is None) == due


def test_a_cut_is_seen_and_said():
    first, second = (render_person(seed, 160, 120, 2)[0] for seed in ((1,), (2,)))
    follower, script = following([(LEFT, 1.0)], frame=first)
    assert follower(first, 1) is not None
    assert not follower.cut
    assert follower(second, 2) is None
    assert follower.cut
    assert len(script.asked) == 1
    follower.searched_for([])
    assert follower(second, 3) is None  # nobody there, and no cut either
    assert not follower.cut


def test_nobody_is_followed_after_a_search_that_failed():
    follower, script = following(*[[(LEFT, 0.5)]], [(LEFT, 1.0)])
    assert follower(GREY, 1) is None
    assert follower(GREY, 2) is None
    assert len(script.asked) == 1


# -- the third network ----------------------------------------------------------------------------


class ThirdNetwork:
    """Stands in for the third network: shifts and probabilities that a test has written down."""

    def __init__(self, shifts, probabilities):
        self.shifts = torch.tensor(shifts)
        self.probabilities = torch.tensor(probabilities)
        self.device = torch.device("cpu")

    def onet(self, images):
        assert images.shape == (len(self.shifts), 3, 48, 48)
        p = self.probabilities
        return self.shifts, torch.zeros(len(p), 10), torch.stack([1 - p, p], 1)


def test_the_mean_of_four_squares_by_hand():
    # A box of 40 x 30 around (50, 45): squares of 40 px, shifted by 2.4 px to each side. A shift
    # of 1/41 of a square's side, of 41 px as the network counts, is one pixel.
    assert SHIFT == 0.06
    pixel = 1 / 41
    network = ThirdNetwork(
        [[pixel, 0, 0, 0], [0, pixel, 0, 0], [0, 0, pixel, 0], [0, 0, 0, pixel]],
        [0.2, 0.6, 0.4, 0.8],
    )
    boxes = np.array([[30, 30, 70, 60]], np.float32)
    found = Cascade(network, 20).follow(Areas(GREY), boxes)
    # Left, right, up, down; weights 0.1, 0.3, 0.2, 0.4.
    x1 = 0.1 * (27.6 + 1) + 0.3 * 32.4 + 0.6 * 30
    y1 = 0.4 * 25 + 0.3 * 1 + 0.2 * 22.6 + 0.4 * 27.4
    x2 = 0.1 * 67.6 + 0.3 * 72.4 + 0.6 * 70 + 0.2 * 1
    y2 = 0.4 * 65 + 0.2 * 62.6 + 0.4 * (67.4 + 1)
    np.testing.assert_allclose(found.boxes, [[x1, y1, x2, y2]], atol=1e-4)
    np.testing.assert_allclose(found.probabilities, [0.5])


def test_a_box_that_has_left_the_frame_has_no_probability():
    network = ThirdNetwork([[0.0] * 4] * 4, [1.0] * 4)
    boxes = np.array([[160, 30, 200, 70]], np.float32)  # its square shifted right lies outside
    found = Cascade(network, 20).follow(Areas(GREY), boxes)
    assert found.probabilities.tolist() == [0]


# -- MTCNN itself ---------------------------------------------------------------------------------


def searched(finder):
    """The numbers of the frames that are searched, as they are added."""
    numbers, search = [], finder._fast

    def fast(frame):
        numbers.append(finder.follower.index)
        return search(frame)

    finder._fast = fast
    return numbers


def overlap(a, b):
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, wide) * max(0, high)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def boxes(finder, frames):
    return [[face.box for face in finder(frame, index)] for index, frame in enumerate(frames)]


def canvas(person=None, small=None):
    """Room for two people, the second one smaller."""
    frame = np.full((240, 500, 3), 100, np.uint8)
    if person is not None:
        frame[:, :320] = person
    if small is not None:
        frame[60:180, 330:490] = cv2.resize(small, (160, 120), interpolation=cv2.INTER_AREA)
    return frame


@pytest.fixture(scope="module")
def person():
    return render_person((7,), frames=12)


@pytest.fixture(scope="module")
def other():
    return render_person((8,), frames=12)


def test_followed_faces_lie_where_the_whole_pyramid_finds_them(person):
    finder = FaceFinder(0.9, "tracked")
    numbers = searched(finder)
    exact = [FaceFinder(0.9, "exact")(frame)[0].box for frame in person]
    found = boxes(finder, person)
    assert numbers == [0, EVERY]
    assert [len(faces) for faces in found] == [1] * 12
    shared = [overlap(faces[0], box) for faces, box in zip(found, exact, strict=True)]
    # The whole pyramid's own box moves about as much from one frame to the next.
    assert np.mean(shared) >= 0.9
    assert min(shared) >= 0.75
    for number in numbers:
        assert shared[number] > 0.9


def test_frames_without_numbers_or_far_apart_are_found_as_by_fast(person):
    for indices in ([None] * 3, [0, 30, 60]):
        fast, tracked = FaceFinder(0.9, "fast"), FaceFinder(0.9, "tracked")
        for index, frame in zip(indices, person, strict=False):
            assert tracked(frame, index) == fast(frame, index)


@pytest.mark.parametrize("faces", ["all", "largest"])
def test_who_comes_in_is_found_within_ten_frames(person, other, faces):
    """In frame 1, when the first search has just been: smaller than the other, and larger."""
    small_comes = [canvas(person[0])] + [canvas(p, o) for p, o in zip(person, other, strict=True)]
    large_comes = [canvas(None, other[0]), *small_comes[1:]]
    finder = FaceFinder(0.9, "tracked", faces)
    for frames, wanted in ((small_comes, faces == "all"), (large_comes, True)):
        finder.reset()
        found = boxes(finder, frames)
        assert len(found[0]) == 1
        if not wanted:  # nor does anybody ask for the smaller one
            assert all(each[0][2] < 320 for each in found)
            continue
        new = [any((box[2] < 320) == (frames is large_comes) for box in each) for each in found]
        assert not new[0]
        assert all(new[EVERY:])


def test_who_comes_in_where_nobody_was_is_found_at_once(person):
    frames = [np.full_like(person[0], 100)] * 3 + list(person[:2])
    found = boxes(FaceFinder(0.9, "tracked"), frames)
    assert [len(faces) for faces in found] == [0, 0, 0, 1, 1]


def test_a_face_that_leaves_is_not_followed_any_further(person):
    finder = FaceFinder(0.9, "tracked")
    numbers = searched(finder)
    # Covered from frame 3 on; the light of most of the picture stays, so that it is no cut.
    (face,) = finder(person[0], 0)
    finder.reset()
    x1, y1, x2, y2 = (int(v) for v in face.box)
    gone = []
    for frame in person[3:6]:
        covered = frame.copy()
        covered[max(0, y1) : y2, x1:x2] = frame.mean(axis=(0, 1))
        gone.append(covered)
    numbers.clear()
    found = boxes(finder, [*person[:3], *gone])
    assert [len(faces) for faces in found] == [1, 1, 1, 0, 0, 0]
    assert numbers == [0, 3, 4, 5]


def test_after_a_cut_it_is_the_new_face(person):
    after = np.ascontiguousarray(render_person((9,), frames=2)[0][:, ::-1])
    small = np.full_like(after, 30)
    small[80:200, 20:180] = cv2.resize(after, (160, 120), interpolation=cv2.INTER_AREA)
    finder = FaceFinder(0.9, "tracked")
    numbers = searched(finder)
    found = boxes(finder, [*person[:3], small, small])
    assert numbers == [0, 3]
    (wanted,) = FaceFinder(0.9, "exact")(small)
    assert overlap(found[3][0], wanted.box) > 0.9


def test_crops_are_cut_from_followed_faces_and_their_contract_says_so(person, tmp_path):
    write_video(tmp_path / "v.mp4", person, 25, 18)
    manifest = pd.DataFrame(
        {"dataset": "d", "video_id": ["v"], "path": ["v.mp4"], "split": ["test"], "bytes": [1]}
    )
    config = DataConfig(crop_size=72, frame_count=12, detection="tracked")
    table = crop_videos(manifest, tmp_path, tmp_path / "crops", config, workers=1)
    assert table["status"].tolist() == ["ok"] * 12
    assert read_json(tmp_path / "crops/contract.json")["detection"] == "tracked"
    finder = FaceFinder(0.9, "tracked")
    frames = [frame.image for frame in read_frames(tmp_path / "v.mp4", list(range(12)))]
    wanted = [faces[0] for faces in boxes(finder, frames)]
    np.testing.assert_allclose(table[["x1", "y1", "x2", "y2"]], wanted, atol=0.01)
