"""Histograms of neighbouring noise residuals, as layers that can learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_DIFFERENCE = (1.0, -3.0, 3.0, -1.0)
_NEIGHBOURS = 4
_INWARD = 0.01
"""Of a grey level. By this much a threshold lies further out than half way between two levels:
differences of 8-bit pixels are whole numbers, and those half way then go to the inner level."""


class Descriptor(nn.Module):
    """Grey planes -> two histograms of four neighbouring residual levels.

    The first counts neighbours along the direction of the difference, the second across it, each
    over horizontal and vertical differences. A bin's number has the four levels as its digits, the
    lowest level being 0 and the first neighbour the leading digit.
    """

    def __init__(self, quantum: float, truncation: int, softness: float) -> None:
        super().__init__()
        self.width = quantum * softness
        self.filters = nn.Parameter(torch.tensor([_DIFFERENCE, _DIFFERENCE]))
        levels = torch.arange(-truncation, truncation + 1.0)
        # Level k is the largest of k r - (t_1 + ... + t_|k|) exactly for r from t_k to t_(k+1).
        thresholds = (torch.arange(1, truncation + 1) - 0.5) * quantum + _INWARD
        sums = functional.pad(thresholds.cumsum(0), (1, 0))
        self.slopes = nn.Parameter(levels)
        self.offsets = nn.Parameter(-sums[levels.abs().long()])
        self.bins = len(levels) ** _NEIGHBOURS

    def assign(self, residuals: Tensor) -> Tensor:
        """(B, 1, h, w) in grey levels -> (B, L, h, w): the share of each level, adding up to 1."""
        scores = residuals * self.slopes[:, None, None] + self.offsets[:, None, None]
        if self.width:
            return (scores / self.width).softmax(1)
        chosen = functional.one_hot(scores.argmax(1), len(self.slopes))
        return chosen.movedim(-1, 1).to(scores.dtype)

    def forward(self, grey: Tensor) -> Tensor:
        """(B, 1, H, W) in grey levels of 0 to 255 -> (B, 2, bins); each histogram adds up to 1.

        Raises:
            ValueError: planes of fewer than 7 pixels a side, which have no four neighbours.
        """
        if min(grey.shape[2:]) < 2 * _NEIGHBOURS - 1:
            raise ValueError(
                f"cozzolino: faces of {grey.shape[2]} x {grey.shape[3]} have no four residuals "
                "side by side; give at least 7 x 7 pixels"
            )
        found = []
        # Vertical differences are the horizontal ones of the transposed image.
        for planes, taps in zip((grey, grey.transpose(2, 3)), self.filters, strict=True):
            shares = self.assign(functional.conv2d(planes, taps.view(1, 1, 1, -1)))
            both = cooccurrence(shares), cooccurrence(shares.transpose(2, 3))
            found.append(torch.stack(both, dim=1))
        return (found[0] + found[1]) / 2


def cooccurrence(shares: Tensor) -> Tensor:
    """Shares of levels (B, L, h, w) -> (B, L^4): of four neighbours in a row, the mean product.

    As a matrix product of the first two's joint shares with the last two's: the L^4 maps whose
    means are wanted are never held.
    """
    count = shares.shape[3] - _NEIGHBOURS + 1
    first, second, third, fourth = (shares[..., i : i + count] for i in range(_NEIGHBOURS))
    front = (first[:, :, None] * second[:, None]).flatten(3).flatten(1, 2)
    back = (third[:, :, None] * fourth[:, None]).flatten(3).flatten(1, 2)
    return (front @ back.transpose(1, 2)).flatten(1) / front.shape[2]
