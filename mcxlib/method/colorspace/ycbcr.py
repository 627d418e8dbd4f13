"""Y, Cb + 128/255, Cr + 128/255 (BT.601, full range), in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcxlib.method.colorspace.weighted import ZERO_CHROMA, weighted

if TYPE_CHECKING:
    from torch import Tensor

LABEL = "YCbCr"


def convert(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) RGB in [0, 1] -> Y, Cb, Cr in [0, 1]."""
    import torch

    red, _, blue = rgb.unbind(1)  # each (B, H, W)
    luma = weighted(rgb, (0.299, 0.587, 0.114))  # (B, H, W)
    cb = (blue - luma) * 0.564 + ZERO_CHROMA
    cr = (red - luma) * 0.713 + ZERO_CHROMA
    return torch.stack([luma, cb, cr], dim=1).clamp(0, 1)
