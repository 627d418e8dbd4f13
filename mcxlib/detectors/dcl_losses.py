"""DCL's two contrastive losses, and the grid of cells that both look at."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

FORGED = 0.01
"""A cell with more than this share of forged pixels is forged (reference); one with none is
untouched; what is between is neither."""
_NOTHING = -1e30
"""In place of minus infinity, of which differences are not numbers."""


def on_grid(maps: Tensor, grid: int) -> Tensor:
    """(B, C, h, w) -> (B, C, grid, grid) by average pooling; as it is, where it has that size."""
    if tuple(maps.shape[2:]) == (grid, grid):
        return maps
    return functional.adaptive_avg_pool2d(maps, grid)


def inter_loss(
    queries: Tensor, keys: Tensor, fake: Tensor, queues: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy of telling a query's own key from the stored ones of the other class.

    Args:
        queries, keys: (B, D), rows of length 1; row i of both is the same face.
        fake: (B,) bool.
        queues: (2, K, D), of real and of fake faces.
        temperature: of the similarities.
    """
    with torch.autocast(queries.device.type, enabled=False):
        own = (queries * keys).sum(1, keepdim=True)
        others = torch.where(fake[:, None], queries @ queues[0].T, queries @ queues[1].T)
        logits = torch.cat([own, others], dim=1) / temperature
        return functional.cross_entropy(logits, torch.zeros_like(fake, dtype=torch.long))


def cells(masks: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """Masks (B, 1, h, w), NaN where unknown -> which of grid * grid cells are forged and which
    are untouched, two of (B, grid * grid). A cell with an unknown pixel is neither."""
    unknown = masks.isnan()
    share = functional.adaptive_avg_pool2d(masks.masked_fill(unknown, 0.0), grid).flatten(1)
    known = functional.adaptive_avg_pool2d(unknown.to(masks.dtype), grid).flatten(1) == 0
    return known & (share > FORGED), known & (share == 0)


def intra_loss(
    maps: Tensor, masks: Tensor, fake: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Of fakes, the share of pairs of untouched cells in the similarity of all pairs that have an
    untouched cell, as a negative logarithm; of real faces, how unlike their cells are.

    Sums run over existing pairs only. The second is the negative logarithm of the mean of
    exp((cosine - 1) / temperature): the gradient of the reference's sum over one face, and never
    below 0.

    Args:
        maps: (B, C, g, g).
        masks: (B, 1, h, w) in [0, 1], NaN where unknown. A face without a known cell, and a fake
            without both a forged and an untouched one, has no term.
        fake: (B,) bool.
        temperature: of the similarities.

    Returns:
        Means over the fakes and over the real faces that have a term; 0 if none has.
    """
    forged, untouched = cells(masks.to(maps.device), maps.shape[2])
    with torch.autocast(maps.device.type, enabled=False):
        rows = functional.normalize(maps.flatten(2).float(), dim=1)
        similarity = (rows.transpose(1, 2) @ rows) / temperature

    def total(first: Tensor, second: Tensor) -> Tensor:
        """Logarithm of the sum of exponentials over pairs of cells (B,)."""
        pairs = first[:, :, None] & second[:, None]
        return similarity.masked_fill(~pairs, _NOTHING).flatten(1).logsumexp(1)

    alike, unlike = total(untouched, untouched), total(forged, untouched)
    of_fakes = functional.softplus(unlike - alike)
    known = forged | untouched
    pairs = known.sum(1).clamp(min=1).to(similarity.dtype).square()
    of_real = 1 / temperature + pairs.log() - total(known, known)
    return (
        _mean(of_fakes, fake & forged.any(1) & untouched.any(1)),
        _mean(of_real, ~fake & known.any(1)),
    )


def _mean(terms: Tensor, chosen: Tensor) -> Tensor:
    return terms.masked_fill(~chosen, 0.0).sum() / chosen.sum().clamp(min=1)
