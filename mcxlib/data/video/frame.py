"""One frame that was asked for, and how a decoded frame becomes RGB."""

from __future__ import annotations

from typing import NamedTuple

import av
import numpy as np

from mcxlib.data.video.display import upright


class Frame(NamedTuple):
    """One frame that was asked for."""

    index: int
    image: np.ndarray | None
    """RGB uint8 (H, W, 3); None if it cannot be had."""
    problem: str = ""
    """Why there is no image."""
    note: str = ""
    """What was done to the image: rotated, reduced to 8 bits, ..."""


def to_frame(index: int, frame: av.VideoFrame) -> Frame:
    """A decoded frame of any pixel format as RGB, upright, with a note on what was changed."""
    notes = []
    components = frame.format.components
    # One thread: several take as long for a frame where cores are idle, and thirty times as long
    # where they are not, since they wait for one another.
    rgb = frame.to_ndarray(format="rgb24", threads=1)
    if any(c.bits > 8 for c in components):
        notes.append(f"reduced to 8 bits from {frame.format.name}")
    if any(c.is_alpha for c in components):
        notes.append("alpha dropped")
    if len(components) == 1 and not frame.format.has_palette:
        notes.append("greyscale")
    rgb, turned = upright(rgb, frame)
    return Frame(index, rgb, note="; ".join(notes + turned))
