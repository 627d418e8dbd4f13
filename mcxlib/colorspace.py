"""RGB images -> stacked colour spaces, on the images' own device (paper, section 3.1 and Fig. 1).

The paper's network reads one image in n colour spaces at once: 3n channels. Every channel is in
[0, 1] by the convention of OpenCV's 8-bit conversions, which the paper's experiments used:

======  ===========================================================================================
rgb     R, G, B
hsv     hue / 360 degrees (the hue circle has circumference 1, grey has hue 0), saturation, value
lab     L / 100, (a + 128) / 255, (b + 128) / 255; sRGB transfer function, D65 white
ycbcr   Y, Cb + 128/255, Cr + 128/255 (BT.601, full range), in this order
======  ===========================================================================================

Only the last rounding to 8 bits is left out, so that a value differs from OpenCV's by less than
one 8-bit step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SPACES = ("rgb", "hsv", "lab", "ycbcr")
"""The names a spec is built from."""

PAPER_SPECS = (
    "rgb",
    "hsv",
    "lab",
    "ycbcr",
    "rgb+hsv",
    "rgb+lab",
    "rgb+ycbcr",
    "rgb+hsv+lab",
    "rgb+lab+ycbcr",
)
"""The nine colour-space sets of the paper's Tables 1 and 3."""

_LABELS = {"rgb": "RGB", "hsv": "HSV", "lab": "CIELab", "ycbcr": "YCbCr"}

# Linear sRGB -> CIE XYZ relative to the D65 white point, in 4096ths as in OpenCV's 8-bit Lab.
_XYZ = ((1777, 1541, 778), (871, 2929, 296), (73, 448, 3575))
_LIGHT_STEPS = 2040  # in which that conversion counts linear light, X, Y and Z
_ZERO_CHROMA = 128 / 255  # where OpenCV's 8-bit conversions put a chroma of zero
_SRGB_KNEE = 0.04045
_LAB_KNEE = 0.008856
_LAB_OFFSET = 16 / 116 - _LAB_KNEE ** (1 / 3)
_CACHED_PIXELS = 1 << 16


def parse(spec: str) -> tuple[str, ...]:
    """Split a colour-space set such as ``"rgb+hsv"`` into its names, in order.

    Raises:
        ValueError: if a name is unknown or repeated; the message lists the valid names.
    """
    valid = f"valid names: {', '.join(SPACES)}, joined by '+' as in 'rgb+hsv'"
    if not isinstance(spec, str):
        raise ValueError(f"colorspace must be a string, not {type(spec).__name__}; {valid}")
    names = tuple(spec.split("+"))
    for position, name in enumerate(names):
        if name not in SPACES:
            raise ValueError(f"unknown colour space {name!r} in {spec!r}; {valid}")
        if name in names[:position]:
            raise ValueError(f"colour space {name!r} is repeated in {spec!r}; {valid}")
    return names


def channels(spec: str) -> int:
    """Number of channels that :func:`stack` returns for ``spec``: three a colour space."""
    return 3 * len(parse(spec))


def label(spec: str) -> str:
    """A spec as the paper's tables write it: ``"rgb+lab"`` -> ``"RGB+CIELab"``."""
    return "+".join(_LABELS[name] for name in parse(spec))


def stack(rgb: Tensor, spec: str) -> Tensor:
    """Convert RGB images to the colour spaces of ``spec`` and stack them along the channels.

    Args:
        rgb: (B, 3, H, W), floating point, sRGB-encoded values in [0, 1]; what lies outside is
            clamped.
        spec: names of :data:`SPACES` joined by ``+``, in the order of the result's channels.

    Returns:
        (B, 3n, H, W), values in [0, 1], on the device and in the dtype of ``rgb`` and never
        sharing its memory. Half-precision input is converted in float32. Gradients flow to
        ``rgb`` and are finite everywhere (hue's is taken as zero for grey).

    Raises:
        ValueError: for an unknown or repeated space, a wrong shape, or a dtype that is not
            floating point.
    """
    names = parse(spec)
    if rgb.ndim != 4 or rgb.shape[1] != 3:
        raise ValueError(f"rgb must have shape (B, 3, H, W), not {tuple(rgb.shape)}")
    if not rgb.is_floating_point():
        raise ValueError(
            f"rgb must be floating point in [0, 1], not {rgb.dtype}; divide 8-bit images by 255"
        )
    exact = rgb if rgb.dtype == torch.float64 else rgb.float()
    if names == ("rgb",):
        return exact.clamp(0, 1).to(rgb.dtype)  # in the memory order it came in
    if rgb.device.type != "cpu" or (rgb.requires_grad and torch.is_grad_enabled()):
        return _convert(exact, names).to(rgb.dtype)
    # On the CPU the conversions are bound by memory: a few images at a time stay in the cache.
    batch, _, height, width = rgb.shape
    result = rgb.new_empty(batch, 3 * len(names), height, width)
    step = max(1, _CACHED_PIXELS // max(1, height * width))
    for begin in range(0, batch, step):
        # Plane by plane: with channels innermost, every operation would read all three.
        some = exact[begin : begin + step].contiguous()
        result[begin : begin + step] = _convert(some, names)
    return result


def _convert(rgb: Tensor, names: tuple[str, ...]) -> Tensor:
    rgb = rgb.clamp(0, 1)
    return torch.cat([_CONVERT[name](rgb) for name in names], dim=1)


def _rgb(rgb: Tensor) -> Tensor:
    return rgb


def _hsv(rgb: Tensor) -> Tensor:
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


def _lab(rgb: Tensor) -> Tensor:
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
    xyz = torch.stack([_weighted(linear, row) for row in weights], dim=1)
    xyz = _rounded(xyz) / _LIGHT_STEPS
    line = xyz.clamp(max=_LAB_KNEE) * 7.787
    x, y, z = (line + (xyz.clamp(min=_LAB_KNEE) ** (1 / 3) + _LAB_OFFSET)).unbind(1)
    lightness = 1.16 * y - 0.16
    a = (x - y) * (500 / 255) + _ZERO_CHROMA
    b = (y - z) * (200 / 255) + _ZERO_CHROMA
    return torch.stack([lightness, a, b], dim=1).clamp(0, 1)


def _rounded(planes: Tensor) -> Tensor:
    """Round to integers, halves up as OpenCV does; gradients pass as if it were the identity."""
    rounded = (planes.detach() + 0.5).floor_()
    return planes + (rounded - planes).detach() if planes.requires_grad else rounded


def _ycbcr(rgb: Tensor) -> Tensor:
    red, _, blue = rgb.unbind(1)
    luma = _weighted(rgb, (0.299, 0.587, 0.114))
    cb = (blue - luma) * 0.564 + _ZERO_CHROMA
    cr = (red - luma) * 0.713 + _ZERO_CHROMA
    return torch.stack([luma, cb, cr], dim=1).clamp(0, 1)


def _weighted(planes: Tensor, weights: tuple[float, ...]) -> Tensor:
    """(B, 3, H, W) -> (B, H, W): the weighted sum over the channels."""
    first, second, third = planes.unbind(1)
    total = torch.add(first * weights[0], second, alpha=weights[1])
    return torch.add(total, third, alpha=weights[2])


_CONVERT: dict[str, Callable[[Tensor], Tensor]] = {
    "rgb": _rgb,
    "hsv": _hsv,
    "lab": _lab,
    "ycbcr": _ycbcr,
}
