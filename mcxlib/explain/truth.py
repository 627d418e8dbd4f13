"""Maps against the truth: does a map point to what was altered, and does the network need it?

Three measures that see different things. :func:`pointing` asks where the highest value lies,
:func:`mcxlib.explain.region_share` how much of the map lies inside, and :func:`areas` asks not the
truth but the network, by taking the picture away, or giving it back, in the map's order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from mcxlib.detectors.base import Detector
from mcxlib.explain.features import evaluating


def pointing(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Does a map's highest value lie in the region? maps and region (N, H, W) -> (N,).

    1 for yes and 0 for no; where several pixels are highest, the share of them that lies inside.
    NaN for a map without positive values, which points nowhere. By chance: the region's share of
    the area.

    Raises:
        ValueError: shapes that do not fit.
    """
    maps, region = np.asarray(maps, np.float64), np.asarray(region, bool)
    if maps.ndim != 3 or maps.shape != region.shape:
        raise ValueError(f"region of shape {region.shape} does not fit maps {maps.shape}")
    peaks = maps.max((1, 2), keepdims=True)
    highest = (maps == peaks) & (peaks > 0)
    count = highest.sum((1, 2))
    inside = (highest & region).sum((1, 2))
    return np.divide(inside, count, out=np.full(len(maps), np.nan), where=count > 0)


class Areas(NamedTuple):
    """Mean p(fake) while pixels go or come, (N,) each, in [0, 1]."""

    deletion: np.ndarray
    """The map's highest pixels are blanked first: low is good."""
    insertion: np.ndarray
    """They come first into a blank picture: high is good."""


def areas(
    model: Detector,
    images: torch.Tensor,
    maps: np.ndarray,
    steps: int = 8,
    batch_size: int = 64,
) -> Areas:
    """Areas under the deletion and insertion curves of a map, for the output fake.

    Pixels are set to the image's mean colour, a further 1/``steps`` of them at a time, in the
    order of the map (ties: by place); the curve of p(fake) is integrated by trapezoids from none
    to all of them.

    Args:
        model: any detector.
        images: (N, 3, H, W) RGB in [0, 1].
        maps: (N, H, W).

    Raises:
        ValueError: maps that do not fit the images, or fewer than one step.
    """
    n, _, height, width = images.shape
    if maps.shape != (n, height, width):
        raise ValueError(f"maps of shape {maps.shape} do not fit images {tuple(images.shape)}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    order = np.argsort(-maps.reshape(n, -1), axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(height * width)[None], axis=1)
    ranks = ranks.reshape(maps.shape)
    mean = images.mean((2, 3), keepdim=True)
    counts = [round(k * height * width / steps) for k in range(steps + 1)]
    curves = []
    with evaluating(model) as device, torch.no_grad():
        for first_blank in (True, False):
            shown = []
            for count in counts:
                blank = torch.from_numpy((ranks < count) == first_blank)[:, None]
                shown.append(torch.where(blank, mean, images))
            scores = [
                model.fake_score(model(part.to(device))).cpu().numpy()
                for part in torch.cat(shown).split(batch_size)
            ]
            curves.append(np.concatenate(scores).reshape(steps + 1, n).astype(np.float64))
    return Areas(*(((c[1:] + c[:-1]) / 2).mean(0) for c in curves))
