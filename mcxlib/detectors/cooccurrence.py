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
        slopes, offsets = self.slopes[:, None, None], self.offsets[:, None, None]
        if self.width:
            scores = torch.addcmul(offsets / self.width, residuals, slopes / self.width)
            shares = scores.softmax(1)
            # Of four shares smaller than this the product is no normal number: nothing beside the
            # others, and a processor computes with such numbers ten times as slowly.
            least = torch.finfo(shares.dtype).tiny ** (1 / _NEIGHBOURS)
            return functional.threshold(shares, least, 0.0)
        scores = residuals * slopes + offsets
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
        horizontal, vertical = self.filters
        beside = self.assign(functional.conv2d(grey, horizontal.view(1, 1, 1, -1)))
        below = self.assign(functional.conv2d(grey, vertical.view(1, 1, -1, 1)))
        along = cooccurrence(beside) + cooccurrence(below, dim=2)
        across = cooccurrence(beside, dim=2) + cooccurrence(below)
        return torch.stack([along, across], dim=1) / 2


def cooccurrence(shares: Tensor, dim: int = 3) -> Tensor:
    """Shares of levels (B, L, h, w) -> (B, L^4): of four neighbours in a row, or in a column
    (``dim`` 2), the mean product.

    As a matrix product of the first two's joint shares with the last two's, which are those of two
    further on: the L^4 maps whose means are wanted are never held. In columns, where what is left
    out at an end lies together, both are views of one tensor.
    """
    if dim == 3:
        shares = shares.transpose(2, 3).contiguous()
    pairs = (shares[:, :, None, :-1] * shares[:, None, :, 1:]).flatten(1, 2)
    count = shares.shape[2] - _NEIGHBOURS + 1
    front, back = pairs[:, :, :count].flatten(2), pairs[:, :, 2:].flatten(2)
    return (front @ back.transpose(1, 2)).flatten(1) / front.shape[2]
