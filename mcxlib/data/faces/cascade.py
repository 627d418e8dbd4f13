"""MTCNN's cascade of three networks on chosen levels of its pyramid (Zhang et al., 2016).

facenet-pytorch's networks and thresholds, and its boxes up to float rounding. What differs is how
the networks' inputs are cut: each is an average over rectangles of the frame ("area"
interpolation), and facenet-pytorch sums every rectangle anew, which for faces of hundreds of
pixels costs more than the networks do. From a table of sums over all rectangles that begin at the
frame's corner, each average takes four numbers, whatever its size.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import batched_nms_numpy
from torch import Tensor
from torchvision.ops import nms

PNET_STRIDE = 2
PNET_FIELD = 12
RNET_SIDE = 24
ONET_SIDE = 48
OVERLAP_IN_LEVEL = 0.5
OVERLAP = 0.7
"""Overlaps (intersection over union; for the last stage, over the smaller box) above which only
the more probable box is kept: facenet-pytorch's."""

AROUND = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
SHIFT = 0.06
"""A face is followed in four squares, each as large as its last box: shifted by this share of their
side to the left, right, up and down. The mean of what is found in them hardly depends on where in
a square the face lies, and its probability is steadier than that of one square."""

_EXACT_IN_INT32 = 2**31 // 255
"""Pixels of a frame up to which the sums of its bytes fit in 32 bits."""


class Areas:
    """Averages over rectangles of a frame, uint8 (H, W, 3)."""

    def __init__(self, frame: np.ndarray):
        self.height, self.width = frame.shape[:2]
        fits = self.height * self.width < _EXACT_IN_INT32
        # (H + 1, W + 1, 3): entry (y, x) is the sum over all pixels above y and left of x.
        self.sums = cv2.integral(frame, sdepth=cv2.CV_32S if fits else cv2.CV_64F)

    def whole(self, height: int, width: int) -> np.ndarray:
        """The whole frame at another size: float32 (height, width, 3)."""
        top, bottom = _bins(np.zeros(1, np.int64), np.array([self.height]), height)
        left, right = _bins(np.zeros(1, np.int64), np.array([self.width]), width)
        strips = self.sums[bottom[0]] - self.sums[top[0]]
        total = strips[:, right[0]] - strips[:, left[0]]
        area = (bottom - top).T * (right - left)
        return (total / area[..., None]).astype(np.float32)

    def parts(self, boxes: np.ndarray, side: int) -> np.ndarray:
        """Parts of the frame, each at ``side`` x ``side``: float32 (N, side, side, 3).

        boxes: (N, 4) int64, x1, y1, x2, y2 inside the frame, x2 > x1 and y2 > y1.
        """
        left, right = _bins(boxes[:, 0], boxes[:, 2], side)
        top, bottom = _bins(boxes[:, 1], boxes[:, 3], side)
        stride = self.width + 1
        flat = self.sums.reshape(-1, 3)

        def corner(y: np.ndarray, x: np.ndarray) -> np.ndarray:
            # As flat[...], in half the time: they lie inside, and "clip" leaves out the check.
            return flat.take(y[:, :, None] * stride + x[:, None, :], axis=0, mode="clip")

        total = corner(bottom, right) - corner(top, right)
        total -= corner(bottom, left) - corner(top, left)
        area = (bottom - top)[:, :, None] * (right - left)[:, None, :]
        return (total / area[..., None]).astype(np.float32)


def _bins(start: np.ndarray, end: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last pixel of ``count`` bins over each [start, end): (N, count) each.

    As in adaptive average pooling, bins share a pixel where the length is no multiple of count.
    """
    edge = np.arange(count + 1) * (end - start)[:, None]
    first = edge[:, :-1] // count
    last = -(-edge[:, 1:] // count)
    return start[:, None] + first, start[:, None] + last


class Found(NamedTuple):
    boxes: np.ndarray
    """(N, 4) float32: x1, y1, x2, y2 in frame pixels; may reach beyond the frame."""
    probabilities: np.ndarray
    """(N,) float32."""


class Cascade:
    """The three networks of ``mtcnn``, on all levels of its pyramid or only the smaller ones."""

    def __init__(self, mtcnn: MTCNN, min_face: float):
        self.mtcnn = mtcnn
        self.min_face = min_face

    def scales(self, height: int, width: int) -> list[float]:
        """Sizes of all levels over the frame's; level 0 finds the smallest faces."""
        scale, scales = PNET_FIELD / self.min_face, []
        shortest = min(height, width) * scale
        while shortest >= PNET_FIELD:
            scales.append(scale)
            scale *= self.mtcnn.factor
            shortest *= self.mtcnn.factor
        return scales

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray, first_level: int = 0) -> Found:
        """Faces in an RGB frame, uint8 (H, W, 3), in no promised order."""
        areas = Areas(frame)
        boxes = self._propose(areas, first_level)
        boxes = self._refine(areas, boxes)
        boxes = self._decide(areas, boxes)
        return Found(boxes[:, :4].numpy(), boxes[:, 4].numpy())

    @torch.inference_mode()
    def follow(self, areas: Areas, boxes: np.ndarray) -> Found:
        """Where the faces of the frame before are now: the third network around each box (N, 4).

        One row for each box, in their order: the mean of the boxes found in ``AROUND``, by their
        probability, and the mean probability, which is 0 where a box has left the frame.
        """
        squares = _square(torch.from_numpy(np.c_[boxes, np.zeros(len(boxes))]).float())
        shift = SHIFT * AROUND * (squares[:, None, 2:3] - squares[:, None, :1])
        windows = squares[:, None, :] + torch.cat([shift, shift, 0 * shift[..., :1]], 2)
        windows = windows.reshape(-1, 5)
        seen, pixels = _cut(areas, windows, ONET_SIDE)
        if len(seen) < len(windows):
            return Found(boxes, np.zeros(len(boxes), np.float32))
        shifts, _, probabilities = (t.cpu() for t in self.mtcnn.onet(self._input(pixels)))
        weights = probabilities[:, 1].reshape(len(boxes), -1)
        found = _moved(seen, shifts)[:, :4].reshape(len(boxes), -1, 4)
        box = (found * weights[..., None]).sum(1) / weights.sum(1, keepdim=True).clamp_min(1e-9)
        return Found(box.numpy(), weights.mean(1).numpy())

    @torch.inference_mode()
    def points(self, frame: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
        """Eyes, nose and corners of the mouth of the face in a box, by the third network: float64
        (5, 2), in pixels of the frame, uint8 (H, W, 3).

        Raises:
            ValueError: the box lies outside the frame.
        """
        square = _square(torch.tensor([[*box, 1.0]]))
        seen, pixels = _cut(Areas(frame), square, ONET_SIDE)
        if not len(seen):
            raise ValueError("the face's box lies outside the frame")
        shares = self.mtcnn.onet(self._input(pixels))[1].cpu().double().view(2, 5).T
        corner, side = seen[0, :2].double(), (seen[0, 2:4] - seen[0, :2] + 1).double()
        # As MTCNN counts pixels from 1.
        return (corner + shares * side - 1).numpy()

    def _input(self, pixels: np.ndarray) -> Tensor:
        """(N, H, W, 3) in 0 to 255 -> (N, 3, H, W) as the networks take it, channels innermost."""
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.mtcnn.device)
        return (images - 127.5) * 0.0078125

    def _propose(self, areas: Areas, first_level: int) -> Tensor:
        """(N, 5) squares and probabilities from the first network, on every level."""
        found = []
        for scale in self.scales(areas.height, areas.width)[first_level:]:
            level = areas.whole(int(areas.height * scale + 1), int(areas.width * scale + 1))
            shifts, probabilities = (t.cpu() for t in self.mtcnn.pnet(self._input(level[None])))
            probability = probabilities[0, 1]
            likely = probability >= self.mtcnn.thresholds[0]
            places = likely.nonzero().flip(1).float()  # x, y
            corner = ((PNET_STRIDE * places + 1) / scale).floor()
            opposite = ((PNET_STRIDE * places + PNET_FIELD) / scale).floor()
            score = probability[likely]
            kept = nms(torch.cat([corner, opposite], 1), score, OVERLAP_IN_LEVEL)
            rows = torch.cat([corner, opposite, score[:, None], shifts[0][:, likely].T], 1)
            found.append(rows[kept])
        rows = torch.cat(found) if found else torch.empty(0, 9)
        rows = rows[nms(rows[:, :4], rows[:, 4], OVERLAP)]
        side = (rows[:, 2:4] - rows[:, :2]).repeat(1, 2)
        return _square(torch.cat([rows[:, :4] + rows[:, 5:] * side, rows[:, 4:5]], 1))

    def _refine(self, areas: Areas, boxes: Tensor) -> Tensor:
        """(N, 5) squares and probabilities: those the second network keeps, moved by it."""
        boxes, pixels = _cut(areas, boxes, RNET_SIDE)
        if not len(boxes):
            return boxes
        shifts, probabilities = (t.cpu() for t in self.mtcnn.rnet(self._input(pixels)))
        boxes, shifts = _likely(boxes, probabilities[:, 1], shifts, self.mtcnn.thresholds[1])
        kept = nms(boxes[:, :4], boxes[:, 4], OVERLAP)
        return _square(_moved(boxes[kept], shifts[kept]))

    def _decide(self, areas: Areas, boxes: Tensor) -> Tensor:
        """(N, 5) boxes and probabilities from the third network."""
        boxes, pixels = _cut(areas, boxes, ONET_SIDE)
        if not len(boxes):
            return boxes
        shifts, _, probabilities = (t.cpu() for t in self.mtcnn.onet(self._input(pixels)))
        boxes, shifts = _likely(boxes, probabilities[:, 1], shifts, self.mtcnn.thresholds[2])
        boxes = _moved(boxes, shifts)
        one = torch.zeros(len(boxes), dtype=torch.int64)
        return boxes[batched_nms_numpy(boxes[:, :4], boxes[:, 4], one, OVERLAP, "Min")]


def _cut(areas: Areas, boxes: Tensor, side: int) -> tuple[Tensor, np.ndarray]:
    """The boxes that show a part of the frame, and that part of each at ``side`` x ``side``."""
    whole = boxes[:, :4].trunc().numpy().astype(np.int64)
    # A box's corner counts pixels from 1, its opposite corner lies inside.
    whole[:, :2] = np.maximum(whole[:, :2], 1) - 1
    whole[:, 2:] = np.minimum(whole[:, 2:], (areas.width, areas.height))
    inside = (whole[:, 2] > whole[:, 0]) & (whole[:, 3] > whole[:, 1])
    return boxes[torch.from_numpy(inside)], areas.parts(whole[inside], side)


def _likely(
    boxes: Tensor, probability: Tensor, shifts: Tensor, threshold: float
) -> tuple[Tensor, Tensor]:
    chosen = probability > threshold
    return torch.cat([boxes[chosen, :4], probability[chosen, None]], 1), shifts[chosen]


def _moved(boxes: Tensor, shifts: Tensor) -> Tensor:
    """Boxes (N, 5) with each edge moved by a share (N, 4) of the box's width or height."""
    side = (boxes[:, 2:4] - boxes[:, :2] + 1).repeat(1, 2)
    return torch.cat([boxes[:, :4] + shifts * side, boxes[:, 4:]], 1)


def _square(boxes: Tensor) -> Tensor:
    """Boxes (N, 5) made square around their centres, by the longer side."""
    sides = boxes[:, 2:4] - boxes[:, :2]
    longer = sides.amax(dim=1, keepdim=True)
    corner = boxes[:, :2] + sides * 0.5 - longer * 0.5
    return torch.cat([corner, corner + longer, boxes[:, 4:]], 1)
