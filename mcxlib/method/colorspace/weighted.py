"""What conversions share. No colour space: it has no LABEL."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ZERO_CHROMA = 128 / 255
"""Where OpenCV's 8-bit conversions put a chroma of zero."""


def weighted(planes: Tensor, weights: tuple[float, ...]) -> Tensor:
    """(B, 3, H, W) -> (B, H, W): the weighted sum over the channels."""
    import torch

    first, second, third = planes.unbind(1)
    total = torch.add(first * weights[0], second, alpha=weights[1])
    return torch.add(total, third, alpha=weights[2])
