"""Pairs of features -> each seen through its own and through its partner's gate (eq. 1 and 2).

The paper's figures and equations call the two outputs "pristine" and "fake". They are what
API-Net calls *self* and *other*, and say nothing about the class of the image, so this package
uses API-Net's words.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Interaction(NamedTuple):
    """Four (P, D) tensors (eq. 2): first and second members through own or partner's gate."""

    first_self: Tensor
    first_other: Tensor
    second_self: Tensor
    second_other: Tensor


def interact(first: Tensor, second: Tensor, mutual: Tensor) -> Interaction:
    """Compare the two images of each pair.

    The gates are g_i = sigmoid(x_m * x_i) (eq. 1), and each feature is added to itself gated by
    its own and by its partner's gate (eq. 2).

    Args:
        first: (P, D), features x_1 of the first members.
        second: (P, D), features x_2 of the second members.
        mutual: (P, D), the mutual vector x_m of each pair.

    Raises:
        ValueError: if the shapes differ or are not (P, D).
    """
    if not first.shape == second.shape == mutual.shape or first.ndim != 2:
        raise ValueError(
            "first, second and mutual must have one shape (P, D), not "
            f"{tuple(first.shape)}, {tuple(second.shape)} and {tuple(mutual.shape)}"
        )
    first_gate = torch.sigmoid(mutual * first)  # (P, D)
    second_gate = torch.sigmoid(mutual * second)  # (P, D)
    return Interaction(
        first_self=first + first * first_gate,  # each (P, D)
        first_other=first + first * second_gate,
        second_self=second + second * second_gate,
        second_other=second + second * first_gate,
    )
