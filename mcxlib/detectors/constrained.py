"""The constrained convolution (Bayar and Stamm, 2016): pixels predicted by their neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEAST = 0.01
"""A filter whose sum is a smaller share of its absolute sum is shifted, not scaled."""


class ConstrainedConv2d(nn.Module):
    """Prediction errors: the middle weight of every filter is -1, its other weights add up to 1.

    No bias, no padding. The errors are computed in the precision of the weights, whatever autocast
    is asked for: they are small differences of large numbers.
    """

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        # Positive to begin with: of weights of both signs the sum, by which they are divided, can
        # be close to 0.
        self.weight = nn.Parameter(torch.empty(outputs, inputs, size, size).uniform_(0, 1))
        self.project()

    @torch.no_grad()
    def project(self) -> None:
        """Bring each filter, of one input and one output, back to the constraint.

        As published the weights around the middle are divided by their sum. Where it is next to
        nothing beside them, all get the same amount more instead: the closest filter that has the
        right sum. A factor before the division, as the publication's 10,000, changes nothing.
        """
        weight, middle = self.weight, self.weight.shape[2] // 2
        weight[:, :, middle, middle] = 0
        total = weight.sum((2, 3), keepdim=True)
        usable = total.abs() > _LEAST * weight.abs().sum((2, 3), keepdim=True)
        scaled = weight / torch.where(usable, total, 1)
        shifted = weight + (1 - total) / (weight[0, 0].numel() - 1)
        weight.copy_(torch.where(usable, scaled, shifted))
        weight[:, :, middle, middle] = -1

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H - size + 1, W - size + 1)."""
        with torch.autocast(x.device.type, enabled=False):
            return functional.conv2d(x.to(self.weight.dtype), self.weight)
