"""RGB images -> stacked colour spaces, on the images' own device (paper, section 3.1 and Fig. 1).

The paper's network reads one image in n colour spaces at once: 3n channels. Every channel is in
[0, 1] by the convention of OpenCV's 8-bit conversions, which the paper's experiments used. Only
the last rounding to 8 bits is left out, so that a value differs from OpenCV's by less than one
8-bit step.

A colour space is a file of this folder, named as the space is: it says how tables write it
(``LABEL``) and converts RGB in [0, 1] to three channels in [0, 1] (``convert``).
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_CACHED_PIXELS = 1 << 16


@cache
def spaces() -> tuple[str, ...]:
    """The names a spec is built from."""
    files = sorted(Path(__file__).parent.glob("[a-z]*.py"))
    return tuple(f.stem for f in files if re.search("^LABEL = ", f.read_text("utf-8"), re.M))


def _module(name: str) -> ModuleType:
    return import_module(f"{__name__}.{name}")


def parse(spec: str) -> tuple[str, ...]:
    """Split a colour-space set such as ``"rgb+hsv"`` into its names, in order.

    Raises:
        ValueError: if a name is unknown or repeated; the message lists the valid names.
    """
    valid = f"valid names: {', '.join(spaces())}, joined by '+' as in 'rgb+hsv'"
    if not isinstance(spec, str):
        raise ValueError(f"colorspace must be a string, not {type(spec).__name__}; {valid}")
    names = tuple(spec.split("+"))
    for position, name in enumerate(names):
        if name not in spaces():
            raise ValueError(f"unknown colour space {name!r} in {spec!r}; {valid}")
        if name in names[:position]:
            raise ValueError(f"colour space {name!r} is repeated in {spec!r}; {valid}")
    return names


def channels(spec: str) -> int:
    """Number of channels that :func:`stack` returns for ``spec``: three a colour space."""
    return 3 * len(parse(spec))


def label(spec: str) -> str:
    """A spec as the paper's tables write it: ``"rgb+lab"`` -> ``"RGB+CIELab"``."""
    return "+".join(_module(name).LABEL for name in parse(spec))


def stack(rgb: Tensor, spec: str) -> Tensor:
    """Convert RGB images to the colour spaces of ``spec`` and stack them along the channels.

    Args:
        rgb: (B, 3, H, W), floating point, sRGB-encoded values in [0, 1]; what lies outside is
            clamped.
        spec: names of :func:`spaces` joined by ``+``, in the order of the result's channels.

    Returns:
        (B, 3n, H, W), values in [0, 1], on the device and in the dtype of ``rgb`` and never
        sharing its memory. Half-precision input is converted in float32. Gradients flow to
        ``rgb`` and are finite everywhere (hue's is taken as zero for grey).

    Raises:
        ValueError: for an unknown or repeated space, a wrong shape, or a dtype that is not
            floating point.
    """
    import torch

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
    import torch

    rgb = rgb.clamp(0, 1)  # (B, 3, H, W); out: (B, 3n, H, W)
    return torch.cat([_module(name).convert(rgb) for name in names], dim=1)
