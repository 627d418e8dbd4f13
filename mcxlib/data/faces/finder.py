"""MTCNN on the frames of a video: in full, where a face can be expected, or where one was."""

from __future__ import annotations

import math

import numpy as np
import torch
from facenet_pytorch import MTCNN

from mcxlib.data.faces.cascade import Cascade
from mcxlib.data.faces.choice import Face
from mcxlib.data.faces.contract import MIN_FACE
from mcxlib.data.faces.follow import Follower

NARROW = 0.4
"""Fast detection looks for faces from this share of the last frame's face on. Of 480 drawn frames,
one had another box than with the whole pyramid (overlap below 0.9); at 0.5, 18 had."""

FIRST_LOOK = 0.1
"""... and, where there is no last frame, from this share of the frame's shorter side on."""


class FaceFinder:
    """MTCNN on the frames of one video after another; faces above a probability, largest first.

    ``detection="exact"`` is the plain facenet-pytorch call: the whole image pyramid on every
    frame, from faces of 20 px on. Most of its time goes into cutting out what its networks look
    at, and into levels on which only faces much smaller than the one that is kept could be found.
    ``"fast"`` cuts them out of a table of sums (:mod:`mcxlib.data.faces.cascade`), and leaves out
    those levels and only those (the others keep their exact scales, so that boxes stay the same):
    it looks for faces from ``NARROW`` times the last frame's largest on, and runs the whole pyramid
    where that finds none. A larger face that comes in is found, a smaller one is what it did not
    look for, so ``faces="all"`` takes the whole pyramid, from faces of ``smallest`` times the
    frame's shorter side on.

    ``"tracked"`` searches as ``"fast"`` does, in every tenth frame and wherever
    :class:`mcxlib.data.faces.follow.Follower` asks for it; in between, MTCNN's third network alone
    looks where the faces of the frame before were, if that frame is the one before or the one
    before that. All faces that the last search found are followed, and the largest of them is
    chosen anew in each frame. With ``faces="all"``, somebody who comes in is found within ten
    frames. With ``faces="largest"``, that holds for somebody who comes in larger than the others;
    where nobody was, every frame is searched, and the first one that shows a face has it.
    """

    def __init__(
        self,
        min_probability: float,
        detection: str = "fast",
        faces: str = "largest",
        device: str = "cpu",
        smallest: float = 0.0,
    ):
        self.min_probability = min_probability
        self.largest_only = faces == "largest"
        self.smallest = smallest
        self.mtcnn = MTCNN(keep_all=True, min_face_size=MIN_FACE, device=device)
        self.cascade: Cascade | None = None
        if detection in ("fast", "tracked"):
            # Channels innermost: the same boxes, and pooling is several times faster.
            self.cascade = Cascade(self.mtcnn.to(memory_format=torch.channels_last), MIN_FACE)
        self.follower: Follower | None = None
        if self.cascade and detection == "tracked":
            self.follower = Follower(self.cascade, min_probability)
        self.last: Face | None = None

    @property
    def independent(self) -> bool:
        """Whether what is found in a frame depends on no other one, so that their order is free."""
        return not self.follower and not (self.cascade and self.largest_only)

    def reset(self) -> None:
        """Forget the last frame: the next one is of another video."""
        self.last = None
        if self.follower:
            self.follower.reset()

    def __call__(self, frame: np.ndarray, index: int | None = None) -> list[Face]:
        """Faces in an RGB frame, uint8 (H, W, 3), the largest first.

        A frame of which a side is below ``MIN_FACE`` has room for none. ``index`` is the frame's
        number in its video, by which it is seen which frames are consecutive; without one, none is.
        """
        if min(frame.shape[:2]) < MIN_FACE:  # no level of the pyramid: MTCNN itself would fail
            found = []
        elif self.follower and index is not None:
            found = self._tracked(self.follower, frame, index)
        else:
            found = self._fast(frame) if self.cascade else self._exact(frame)
        self.last = found[0] if found else None
        return found

    def points(self, frame: np.ndarray, face: Face) -> np.ndarray:
        """Eyes, nose and corners of the mouth of a face found in ``frame``; see
        :meth:`Cascade.points`."""
        cascade = self.cascade or Cascade(self.mtcnn, MIN_FACE)
        return cascade.points(frame, face.box)

    def _tracked(self, follower: Follower, frame: np.ndarray, index: int) -> list[Face]:
        if (followed := follower(frame, index)) is not None:
            return followed
        if follower.cut:
            self.last = None  # what was seen before says nothing about the size of the faces
        found = self._fast(frame)
        follower.searched_for(found)
        return found

    def _fast(self, frame: np.ndarray) -> list[Face]:
        found: list[Face] = []
        whole = self._level(self.smallest * min(frame.shape[:2]))
        if self.largest_only:
            smallest = NARROW * self.last.side if self.last else FIRST_LOOK * min(frame.shape[:2])
            if (level := self._level(smallest)) > whole:
                found = self._faces(*self.cascade(frame, level))
        return found or self._faces(*self.cascade(frame, whole))

    def _level(self, smallest: float) -> int:
        """The first level of the whole pyramid for faces of that size or more."""
        levels = math.log(max(smallest, MIN_FACE) / MIN_FACE, 1 / self.mtcnn.factor)
        return math.ceil(levels - 1e-9)

    def _exact(self, frame: np.ndarray) -> list[Face]:
        boxes, probabilities = self.mtcnn.detect(frame)
        return [] if boxes is None else self._faces(boxes, probabilities)

    def _faces(self, boxes: np.ndarray, probabilities: np.ndarray) -> list[Face]:
        faces = [
            Face(tuple(float(v) for v in box), float(p))
            for box, p in zip(boxes, probabilities, strict=True)
            if p > self.min_probability
        ]
        return sorted(faces, key=lambda face: -face.area)
