"""Two faces in the four colour spaces, channel by channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from mcxlib.figures.style import Plate, mark, new_figure, of, style
from mcxlib.figures.vector import tile

CHANNELS = {
    "rgb": ("R", "G", "B"),
    "hsv": ("H", "S", "V"),
    "lab": ("L*", "a*", "b*"),
    "ycbcr": ("Y'", "Cb", "Cr"),
}
"""Names of the channels of each colour space."""


def colour_planes(real: np.ndarray, fake: np.ndarray, name: str, source: str = "") -> Plate:
    """The channels of a real and of a fake face: a row a colour space.

    Black is the lowest and white the highest value that the channel has in either face.

    Args:
        real, fake: (3, H, W) RGB in [0, 1].
        name: the fake's manipulation.

    Raises:
        ValueError: faces of different shapes.
    """
    import torch

    from mcxlib.method import colorspace

    if np.shape(real) != np.shape(fake):
        raise ValueError(f"the faces have shapes {np.shape(real)} and {np.shape(fake)}")
    both = torch.tensor(np.stack([real, fake]))
    apart = []
    with style():
        figure = new_figure(7.0, 4.6)
        axes = figure.subplots(len(CHANNELS), 8)
        for row, (space, channels) in zip(axes, CHANNELS.items(), strict=True):
            planes = colorspace.stack(both, space).numpy()
            apart.append(_differences(planes, space, channels))
            for side in (0, 1):
                first = row[4 * side]
                if space == "rgb":
                    _show(first, tile(both[side].numpy()), ("real", name)[side])
                else:
                    first.set_axis_off()
                where = {"ha": "center", "va": "center", "transform": first.transAxes}
                if space != "rgb":
                    first.text(0.5, 0.5, colorspace.label(space), fontsize=9, **where)
            for channel, title in enumerate(channels):
                # One scale for both faces, or the planes of colour would all be grey.
                low, high = planes[:, channel].min(), planes[:, channel].max()
                for side in (0, 1):
                    plane = (planes[side, channel] - low) / max(high - low, 1e-6)
                    _show(row[4 * side + 1 + channel], tile(np.stack([plane] * 3)), title)
        mark(figure, source)
    alt = (
        f"Planes of a real face and of {name}{of(source)} in {len(CHANNELS)} colour spaces; mean "
        f"absolute difference {'; '.join(apart)}."
    )
    return Plate(figure, alt)


def _differences(planes: np.ndarray, space: str, channels: tuple[str, ...]) -> str:
    gaps = np.abs(planes[0] - planes[1])
    if space == "hsv":  # hue is an angle: 0.99 is next to 0.01
        gaps[0] = np.minimum(gaps[0], 1 - gaps[0])
    means = gaps.mean((1, 2))
    return ", ".join(f"{name} {gap:.3f}" for name, gap in zip(channels, means, strict=True))


def _show(axis: Any, image: np.ndarray, title: str) -> None:
    axis.imshow(image, interpolation="none")
    axis.set_title(title, fontsize=8)
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)
