"""Faces followed from frame to frame, and when that will not do and they must be looked for."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.ops import box_iou

from mcxlib.data.faces.cascade import Areas, Cascade
from mcxlib.data.faces.choice import Face
from mcxlib.data.video.scenes import SIDE, is_cut

EVERY = 10
"""Frames from one search to the next at most: who comes in is found by the tenth frame after."""

MOST_GAP = 2
"""Between two frames' numbers, above which they do not count as consecutive: one may be missing."""

DROP = 0.02
"""Fall of a face's probability since it was last searched for, at which it is searched for again.
Of the drawn faces that were followed, the least sure one had 0.002 less than 1."""

LEAST_SHARED = 0.5
"""Overlap (intersection over union) with the last box from which on a face is the same one; and of
two followed faces, above which both have ended on one."""


class Follower:
    """Follows the faces of one frame into the next ones.

    A new search is due, and the answer None, where a frame does not follow the last one closely,
    where the scene changes, where there is no face to follow, where a face grows less probable,
    jumps or falls together with another, and after ``EVERY`` frames.
    """

    def __init__(self, cascade: Cascade, min_probability: float):
        self.cascade = cascade
        self.min_probability = min_probability
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame is of another video."""
        self.faces: list[Face] = []
        self.least = np.empty(0)
        self.searched = self.index = -1
        self.shape: tuple[int, ...] = ()
        self.small: np.ndarray | None = None
        self.cut = False

    def __call__(self, frame: np.ndarray, index: int) -> list[Face] | None:
        """The faces of a frame, uint8 (H, W, 3), the largest first; None if a search is due.

        ``cut`` then says whether it is because the scene has changed.
        """
        areas = Areas(frame)
        before, self.small = self.small, areas.whole(SIDE, SIDE).mean(axis=2) / 255
        near = 0 < index - self.index <= MOST_GAP and frame.shape == self.shape
        self.index, self.shape = index, frame.shape
        self.cut = before is not None and is_cut(before, self.small)
        faces, self.faces = self.faces, []  # should the search fail, nobody is followed
        if not near or self.cut or not faces or index - self.searched >= EVERY:
            return None
        last = np.array([face.box for face in faces], np.float32)
        found = self.cascade.follow(areas, last)
        if (found.probabilities <= self.least).any():
            return None
        boxes = torch.from_numpy(found.boxes)
        shared = box_iou(boxes, boxes).fill_diagonal_(0)
        moved = box_iou(boxes, torch.from_numpy(last)).diagonal()
        if (shared > LEAST_SHARED).any() or (moved < LEAST_SHARED).any():
            return None
        order = np.argsort(-(found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1), kind="stable")
        self.least = self.least[order]
        self.faces = [
            Face(tuple(map(float, found.boxes[i])), float(found.probabilities[i])) for i in order
        ]
        return self.faces

    def searched_for(self, faces: list[Face]) -> None:
        """The faces that a search has found in the frame of the last call."""
        self.faces, self.searched = faces, self.index
        self.least = np.array([max(self.min_probability, f.probability - DROP) for f in faces])
