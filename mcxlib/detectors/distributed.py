"""Rows of all processes that train together, with gradients.

With one process every function here does what it says at no cost.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> tuple[int, int]:
    """(rank, number) of the processes that are connected now; (0, 1) without others."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


class _Gather(torch.autograd.Function):
    """Rows of all processes. Backward: what every process's loss owes to this process's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        _, size = world()
        parts = [torch.empty_like(rows) for _ in range(size)]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        rank, size = world()
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(size)[rank]


@torch.compiler.disable
def gather(rows: Tensor) -> Tensor:
    """Equally many rows of each process, (B, ...) -> (W * B, ...), in the order of the ranks.

    Gradients are summed over the processes: if each computes its own part L_r of a loss, a row
    gets the gradient of L_1 + ... + L_W. DDP then averages what the rows' makers find for the
    weights, which makes it the gradient of the mean of the parts.
    """
    if world()[1] == 1:
        return rows
    return _Gather.apply(rows.contiguous())
