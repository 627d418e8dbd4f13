"""CIELab: L / 100, (a + 128) / 255, (b + 128) / 255; sRGB transfer function, D65 white."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcxlib.method.colorspace.weighted import ZERO_CHROMA, weighted

if TYPE_CHECKING:
    from torch import Tensor

LABEL = "CIELab"

# Linear sRGB -> CIE XYZ relative to the D65 white point, in 4096ths as in OpenCV's 8-bit Lab.
_XYZ = ((1777, 1541, 778), (871, 2929, 296), (73, 448, 3575))
_LIGHT_STEPS = 2040  # in which that conversion counts linear light, X, Y and Z
_SRGB_KNEE = 0.04045
_LAB_KNEE = 0.008856
_LAB_OFFSET = 16 / 116 - _LAB_KNEE ** (1 / 3)


def convert(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) RGB in [0, 1] -> L, a, b in [0, 1]."""
    import torch

    # Both curves are a line near black and a power above. Each is written as the sum of its two
    # pieces, either held constant outside its range: no slope is infinite, and there are no
    # slow boolean masks. Light is rounded where OpenCV's 8-bit conversion rounds it, since that
    # moves the chroma of near-black colours by up to three 8-bit steps.
    line = rgb.clamp(max=_SRGB_KNEE) * (_LIGHT_STEPS / 12.92)
    power = ((rgb.clamp(min=_SRGB_KNEE) + 0.055) / 1.055) ** 2.4
    linear = _rounded(line + (power - ((_SRGB_KNEE + 0.055) / 1.055) ** 2.4) * _LIGHT_STEPS)
    # Multiply-adds rather than a matrix product: that would be rounded to TF32 or bfloat16
    # wherever the caller has switched those on.
    weights = [tuple(part / 4096 for part in row) for row in _XYZ]
    xyz = torch.stack([weighted(linear, row) for row in weights], dim=1)
    xyz = _rounded(xyz) / _LIGHT_STEPS
    line = xyz.clamp(max=_LAB_KNEE) * 7.787
    x, y, z = (line + (xyz.clamp(min=_LAB_KNEE) ** (1 / 3) + _LAB_OFFSET)).unbind(1)
    lightness = 1.16 * y - 0.16
    a = (x - y) * (500 / 255) + ZERO_CHROMA
    b = (y - z) * (200 / 255) + ZERO_CHROMA
    return torch.stack([lightness, a, b], dim=1).clamp(0, 1)


def _rounded(planes: Tensor) -> Tensor:
    """Round to integers, halves up as OpenCV does; gradients pass as if it were the identity."""
    rounded = (planes.detach() + 0.5).floor_()
    return planes + (rounded - planes).detach() if planes.requires_grad else rounded
