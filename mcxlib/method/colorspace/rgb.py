"""RGB as it comes: R, G, B."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LABEL = "RGB"


def convert(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> the same."""
    return rgb
