"""Logits of compared pairs -> the training loss and its named parts (paper, eq. 3 to 5)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

REDUCTIONS = ("mean", "sum")


class PairLoss(NamedTuple):
    """Scalars: ``total = cross_entropy + weight * score_ranking``."""

    total: Tensor
    cross_entropy: Tensor
    score_ranking: Tensor
    self_minus_other: Tensor
    """Mean of p_self(c) - p_other(c), without a gradient: what the ranking is to raise above the
    margin."""


def pair_loss(
    self_logits: Tensor,
    other_logits: Tensor,
    targets: Tensor,
    margin: float = 0.05,
    weight: float = 1.0,
    *,
    reduction: str = "mean",
) -> PairLoss:
    """Cross-entropy plus score ranking over the images of all pairs.

    Row m of each logits tensor belongs to one image of one pair: P pairs give M = 2P rows, first
    members then second members, say; only the rows' agreement matters. With p the softmax of a
    row and c the row's target:

    - cross-entropy (eq. 3): -log p(c), over the self and the other logits, so over 2M rows;
    - score ranking (eq. 4): max(0, p_other(c) - p_self(c) + margin), over M rows: an image seen
      through its own gate is to be recognised better than through its partner's.

    ``reduction="mean"`` averages each part over its rows, as the experiments' released code
    does. ``"sum"`` adds them up as the equations are printed. The two are not the same loss up
    to scale, since the parts have different numbers of rows: for P pairs, sum = 4P *
    cross_entropy_mean + weight * 2P * score_ranking_mean, so the printed loss with weight 1
    corresponds to means with weight 0.5.

    Args:
        self_logits: (M, C), from features gated by their own gate.
        other_logits: (M, C), from the same images' features gated by the partner's gate.
        targets: (M,), int64 class indices.
        margin: epsilon of eq. 4, in probability.
        weight: lambda of eq. 5.
        reduction: ``"mean"`` or ``"sum"``.

    Returns:
        :class:`PairLoss`, computed in float32 for half-precision logits, else in their dtype.

    Raises:
        ValueError: for shapes or dtypes that do not fit, no rows, targets out of range (checked
            on the CPU only, where the host need not wait, and not in compiled code), or invalid
            settings.
    """
    _check(self_logits, other_logits, targets, margin, weight, reduction)
    dtype = torch.promote_types(self_logits.dtype, torch.float32)
    index = targets[:, None]
    self_log_p = self_logits.to(dtype).log_softmax(dim=1).gather(1, index)  # (M, 1)
    other_log_p = other_logits.to(dtype).log_softmax(dim=1).gather(1, index)  # (M, 1)
    surprise = -torch.cat([self_log_p, other_log_p])  # (2M, 1)
    excess = other_log_p.exp() - self_log_p.exp()  # (M, 1)
    violation = (excess + margin).clamp(min=0)  # (M, 1)
    reduce = torch.mean if reduction == "mean" else torch.sum
    cross_entropy, score_ranking = reduce(surprise), reduce(violation)  # one number each
    total = cross_entropy + weight * score_ranking
    return PairLoss(total, cross_entropy, score_ranking, -excess.detach().mean())


def _check(
    self_logits: Tensor,
    other_logits: Tensor,
    targets: Tensor,
    margin: float,
    weight: float,
    reduction: str,
) -> None:
    if self_logits.ndim != 2 or self_logits.shape != other_logits.shape:
        raise ValueError(
            "self_logits and other_logits must have one shape (M, C), not "
            f"{tuple(self_logits.shape)} and {tuple(other_logits.shape)}"
        )
    if not (self_logits.is_floating_point() and other_logits.is_floating_point()):
        raise ValueError(
            f"logits must be floating point, not {self_logits.dtype} and {other_logits.dtype}"
        )
    rows, classes = self_logits.shape
    if rows == 0:
        raise ValueError(
            "no pairs: the logits have no rows; a batch needs two images of a class or two classes"
        )
    if targets.shape != (rows,):
        raise ValueError(
            f"targets must have shape ({rows},), one class for each row of the logits "
            f"{tuple(self_logits.shape)}, not {tuple(targets.shape)}"
        )
    if targets.dtype != torch.int64:
        raise ValueError(f"targets must be int64 class indices, not {targets.dtype}")
    if (
        targets.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not 0 <= int(targets.min()) <= int(targets.max()) < classes
    ):
        raise ValueError(
            f"targets must lie in 0..{classes - 1}, found {int(targets.min())} "
            f"to {int(targets.max())}"
        )
    for name, value in (("margin", margin), ("weight", weight)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number of at least 0, not {value}")
    if reduction not in REDUCTIONS:
        raise ValueError(f"unknown reduction {reduction!r}; valid names: {', '.join(REDUCTIONS)}")
