"""Faces in frames -> people: a face goes to the person whose last face it covers most."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

LEAST_OVERLAP = 0.1
"""Intersection over union below which two faces are not taken for one person's. Low, as there may
be seconds between two frames."""

MOST_MISSED = 3
"""Frames in a row in which a person's face may be missing before the person is gone."""


class Sighting(NamedTuple):
    """One face."""

    frame: int
    """Its frame's place in the list of frames."""
    face: int
    """Its place among the frame's faces."""


def overlaps(a: Sequence[Box], b: Sequence[Box]) -> np.ndarray:
    """Intersection over union of every box of ``a`` with every one of ``b``: (len(a), len(b))."""
    first = np.asarray(a, dtype=np.float64).reshape(-1, 1, 4)
    second = np.asarray(b, dtype=np.float64).reshape(1, -1, 4)
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clip(0).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (first, second)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def join(frames: Sequence[Sequence[Box]], cuts: Collection[int] = ()) -> list[list[Sighting]]:
    """People, each as the sightings of their face, in order of appearance.

    In each frame, faces and people are matched so that the sum of their overlaps is largest
    (:func:`scipy.optimize.linear_sum_assignment`). A face that is nobody's is a new person's.

    Args:
        frames: the boxes of the faces of one frame after another.
        cuts: frames before which the scene changes: all people end there, since a face in the same
            place need not be the same person's.
    """
    from scipy.optimize import linear_sum_assignment

    people: list[list[Sighting]] = []
    present: list[int] = []
    for number, faces in enumerate(frames):
        if number in cuts:
            present = []
        present = [p for p in present if number - people[p][-1].frame <= MOST_MISSED + 1]
        last = [frames[people[p][-1].frame][people[p][-1].face] for p in present]
        overlap = overlaps(last, faces)
        overlap[overlap < LEAST_OVERLAP] = 0
        taken = set()
        for row, column in zip(*linear_sum_assignment(overlap, maximize=True), strict=True):
            if overlap[row, column] > 0:
                people[present[row]].append(Sighting(number, int(column)))
                taken.add(int(column))
        for face in range(len(faces)):
            if face not in taken:
                present.append(len(people))
                people.append([Sighting(number, face)])
    return people
