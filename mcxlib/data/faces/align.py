"""Aligned crops for detectors that judge clips: turned, scaled and moved so that the eyes, the nose
and the corners of the mouth stay where they are from frame to frame."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mcxlib.data.faces.contract import SMOOTH

if TYPE_CHECKING:
    from mcxlib.data.faces.choice import Face

WIDER = 1.5
"""Side of the crop over that of ArcFace's square, which holds a face from brows to chin; FTCN's
boxes are as much larger than the detector's."""

_ARCFACE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
     [70.7299, 92.2041]]
)  # fmt: skip
"""Left eye, right eye, nose, left and right corner of the mouth in a square of 112 px."""

TEMPLATE = (_ARCFACE / 112 - 0.5) / WIDER + 0.5
"""The same points in an aligned crop, x and y as shares of its side."""


def similarity(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The turn, scale and shift (2, 3) that bring points (N, 2) closest to others.

    By least squares, without mirroring. Its scale is 0 for points that are all alike.
    """
    centre, to = points.mean(0), target.mean(0)
    a, b = points - centre, target - to
    spread = float((a**2).sum())
    if spread == 0:
        return np.concatenate([np.zeros((2, 2)), to[:, None]], 1)
    cosine = float((a * b).sum()) / spread
    sine = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.concatenate([turn, (to - turn @ centre)[:, None]], 1)


def aligned(frame: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    """The face of an RGB frame (H, W, 3) with its points (5, 2), in pixels, where
    :data:`TEMPLATE` has them: uint8 (size, size, 3).

    Edge pixels are repeated where the crop leaves the frame; area-averaged when shrunk.

    Raises:
        ValueError: the points are no face's, all being one.
    """
    import cv2

    # The centre of pixel 0 lies at 0.5 of a side that begins at 0.
    target = TEMPLATE * size - 0.5
    move = similarity(points, target)
    scale = float(np.hypot(move[0, 0], move[1, 0]))
    if not np.isfinite(move).all() or scale <= 0:
        raise ValueError("the points of a face are no face's")
    how = cv2.INTER_CUBIC
    if scale < 1:
        # Averaging over areas knows no turning: first the frame shrinks, then it is turned.
        height, width = (max(1, round(n * scale)) for n in frame.shape[:2])
        by = np.array([width / frame.shape[1], height / frame.shape[0]])
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        move = similarity((points + 0.5) * by - 0.5, target)
        how = cv2.INTER_LINEAR
    return cv2.warpAffine(frame, move, (size, size), flags=how, borderMode=cv2.BORDER_REPLICATE)


class Smoother:
    """Means of a face's points over the last :data:`SMOOTH` consecutive frames."""

    def __init__(self) -> None:
        self._points: deque[np.ndarray] = deque(maxlen=SMOOTH)
        self._face: Face | None = None
        self._index = -1

    def follows(self, face: Face, index: int) -> bool:
        """Whether a face goes on from the last one: in the next frame, its box meeting the last."""
        return index == self._index + 1 and self._face is not None and face.meets(self._face)

    def away(self, face: Face) -> float:
        """How far the middle of a face's box lies from that of the last one, in pixels."""
        last = self._face.box if self._face else (math.inf,) * 4
        return float(np.hypot(*np.add(face.box[:2], face.box[2:]) - np.add(last[:2], last[2:])) / 2)

    def __call__(self, points: np.ndarray, face: Face, index: int) -> np.ndarray:
        """The mean with these points (5, 2); starts afresh after a gap, and with a face whose box
        lies apart from the one before."""
        if not self.follows(face, index):
            self._points.clear()
        self._face, self._index = face, index
        self._points.append(points)
        return np.mean(self._points, axis=0)


class Smoothers:
    """A :class:`Smoother` for each of several faces of a frame: that of the nearest face of the
    frame before, which no other one takes."""

    def __init__(self) -> None:
        self._all: list[Smoother] = []

    def __call__(
        self, points: Sequence[np.ndarray], faces: Sequence[Face], index: int
    ) -> list[np.ndarray]:
        """The means with these points, (5, 2) of each face, the largest face first."""
        free, now = self._all, []
        for face in faces:
            known = [one for one in free if one.follows(face, index)]
            mine = min(known, key=lambda one: one.away(face), default=None) or Smoother()
            free = [one for one in free if one is not mine]
            now.append(mine)
        self._all = now
        return [one(its, face, index) for one, its, face in zip(now, points, faces, strict=True)]
