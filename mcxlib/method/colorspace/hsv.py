"""Hue / 360 degrees (the hue circle has circumference 1, grey has hue 0), saturation, value."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LABEL = "HSV"


def convert(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) RGB in [0, 1] -> H, S, V in [0, 1]."""
    import torch

    red, green, blue = rgb.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    darkest = torch.minimum(torch.minimum(red, green), blue)
    chroma = value - darkest
    # Sixths of a turn, times the chroma. In the third of the circle where blue is smallest hue
    # runs from red (0) over yellow (1) to green (2) as 1 + (green - red) / chroma, and likewise
    # in the other two. Selecting with sign and lerp rather than where keeps the slow boolean
    # arithmetic out of a loop that is bound by memory.
    from_red = green - red + chroma
    from_green = torch.add(blue - green, chroma, alpha=3)
    from_blue = torch.add(red - blue, chroma, alpha=5)
    sixths = torch.lerp(from_green, from_blue, (red - darkest).sign())
    sixths = torch.lerp(from_red, sixths, (blue - darkest).sign())
    hue = sixths / (6 * _nonzero(chroma))
    return torch.stack([hue, chroma / _nonzero(value), value], dim=1)


def _nonzero(plane: Tensor) -> Tensor:
    """The same values, which are not negative, with 1 in place of 0: a safe divisor."""
    return plane + (1 - plane.sign())
