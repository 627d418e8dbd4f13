"""A box in a frame -> a square crop, by one of four rules."""

from __future__ import annotations

import cv2
import numpy as np

from mcxlib.data.faces.contract import LOOSE_FACTOR


def crop_mask(mask: np.ndarray, box: tuple[float, ...], rule: str, size: int) -> np.ndarray:
    """The part of a mask (H, W) that :func:`crop_face` cuts out of its frame: uint8 (size, size).

    Shrunk as the frame is, so that a pixel on a border has the share of it; enlarged without
    values in between.
    """
    frame = np.dstack([mask] * 3)
    return crop_face(frame, box, rule, size, enlarge=cv2.INTER_NEAREST_EXACT)[..., 0]


def crop_face(
    frame: np.ndarray,
    box: tuple[float, ...],
    rule: str,
    size: int,
    enlarge: int = cv2.INTER_CUBIC,
) -> np.ndarray:
    """Cut a face out of an RGB frame (H, W, 3): uint8, shape (size, size, 3).

    ``loose``: a square around the box's centre, ``LOOSE_FACTOR`` times its longer side, edge
    pixels repeated where it leaves the frame, area-averaged when shrunk. ``authors``:
    facenet-pytorch's ``extract_face`` with the released code's margin, 120 px of 512.
    ``seferbekov``: the box and a third of its width and height more on each side, as far as the
    frame goes; scaled without distortion, and black around. ``whole``: the whole frame, for frames
    that are crops already. ``enlarge`` is how all but ``authors`` interpolate when enlarging.

    Raises:
        ValueError: for ``aligned``, which is no matter of a box (:mod:`.align`).
    """
    if rule == "aligned":
        raise ValueError("aligned crops are cut by the points of a face followed through its video")
    if rule == "authors":
        from facenet_pytorch.models.utils.detect_face import extract_face
        from PIL import Image

        margin = round(120 * size / 512)
        face = extract_face(Image.fromarray(frame), np.asarray(box), image_size=size, margin=margin)
        return face.permute(1, 2, 0).numpy().clip(0, 255).astype(np.uint8)
    if rule == "whole":
        return _resize(frame, size, enlarge)
    if rule == "seferbekov":
        return _undistorted(_widened(frame, box), size, enlarge)
    x1, y1, x2, y2 = box
    side = LOOSE_FACTOR * max(x2 - x1, y2 - y1)
    left, top = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2)
    side = max(1, round(side))
    height, width = frame.shape[:2]
    # At least one row and column of the frame, to repeat where the square lies outside it.
    x_from, x_to = min(max(left, 0), width - 1), max(min(left + side, width), 1)
    y_from, y_to = min(max(top, 0), height - 1), max(min(top + side, height), 1)
    square = frame[y_from:y_to, x_from:x_to]
    if square.shape[:2] != (side, side):
        edges = (y_from - top, top + side - y_to, x_from - left, left + side - x_to)
        square = cv2.copyMakeBorder(square, *(max(0, e) for e in edges), cv2.BORDER_REPLICATE)
    return _resize(square, size, enlarge)


def _widened(frame: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    """The part of a frame within the box and a third of its width and height on each side."""
    x1, y1, x2, y2 = map(int, box)
    wide, tall = (x2 - x1) // 3, (y2 - y1) // 3
    height, width = frame.shape[:2]
    # At least one row and column, also of a box outside the frame.
    top, left = min(max(y1 - tall, 0), height - 1), min(max(x1 - wide, 0), width - 1)
    return frame[top : max(y2 + tall, top + 1), left : max(x2 + wide, left + 1)]


def _undistorted(image: np.ndarray, size: int, enlarge: int) -> np.ndarray:
    """Scaled until the longer side has ``size`` pixels, in the middle of a black square."""
    longest = max(image.shape[:2])
    height, width = (max(1, n * size // longest) for n in image.shape[:2])
    if longest != size:
        how = cv2.INTER_AREA if longest > size else enlarge
        image = cv2.resize(image, (width, height), interpolation=how)
    square = np.zeros((size, size, 3), image.dtype)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def _resize(image: np.ndarray, size: int, enlarge: int) -> np.ndarray:
    how = cv2.INTER_AREA if min(image.shape[:2]) > size else enlarge
    return cv2.resize(image, (size, size), interpolation=how)
