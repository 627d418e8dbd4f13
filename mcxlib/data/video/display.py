"""A file's display matrix: how its frames are to be turned before they are shown."""

from __future__ import annotations

import math

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData

_EXACT = 1e-3
"""Below this share of the larger entries, the smaller ones are taken for rounding errors."""


def upright(rgb: np.ndarray, frame: av.VideoFrame) -> tuple[np.ndarray, list[str]]:
    """A decoded frame's pixels (H, W, 3) as the file says to show them, and what was done.

    Quarter turns and mirror images are applied. Any other angle would need pixels made up
    between the pixels: the nearest quarter turn is applied, and a note says so.
    """
    data = frame.side_data.get(SideData.DISPLAYMATRIX)
    if data is None:
        return rgb, []
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    # A pixel at (x, y) is shown at (a x + c y, b x + d y).
    straight, across = abs(a) + abs(d), abs(b) + abs(c)
    transposed = straight < across
    flip_rows, flip_columns = (b < 0, c < 0) if transposed else (d < 0, a < 0)
    notes = []
    if transposed or flip_rows or flip_columns:
        rgb = rgb.transpose(1, 0, 2) if transposed else rgb
        rgb = np.ascontiguousarray(rgb[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])
        if transposed == (flip_rows == flip_columns):
            notes.append("mirrored, as the file says")
        if degrees := _degrees(transposed, flip_rows, flip_columns):
            notes.append(f"rotated by {degrees} degrees, as the file says")
    if min(straight, across) > _EXACT * max(straight, across):
        angle = abs(math.degrees(math.atan2(b, a)))
        done = "applied to the nearest quarter turn" if notes else "not applied"
        notes.append(f"display matrix of {angle:.3g} degrees {done}")
    return rgb, notes


def _degrees(transposed: bool, flip_rows: bool, flip_columns: bool) -> int:
    if transposed:
        return 90 if flip_rows else 270
    return 180 if flip_rows and flip_columns else 0
