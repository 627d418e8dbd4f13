"""Learning rate and optimiser of a run: what a step does with a gradient."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from mcxlib.settings.train import TrainConfig


def learning_rate(train: TrainConfig, progress: float) -> float:
    """Learning rate at ``progress`` in [0, 1] of the training.

    ``constant``: ``lr``. ``cosine``: from ``lr`` to 0 (section 4.1). ``one-cycle``: up from
    ``lr``/25 over the first three tenths, then down to ``lr``/10 000, both along a cosine.
    """
    if train.schedule == "constant":
        return train.lr
    if train.schedule == "cosine":
        return train.lr * 0.5 * (1 + math.cos(math.pi * progress))
    low, last, turn = train.lr / 25, train.lr / 1e4, 0.3
    if progress < turn:
        return low + (train.lr - low) * 0.5 * (1 - math.cos(math.pi * progress / turn))
    return last + (train.lr - last) * 0.5 * (1 + math.cos(math.pi * (progress - turn) / (1 - turn)))


def optimizer(train: TrainConfig, groups: list[list[nn.Parameter]]) -> torch.optim.Optimizer:
    """The optimiser over groups of parameters.

    The released code has one for the backbone and one for the head. One with two groups does the
    same, and leaves a single place where half precision's scale is applied.
    """
    parameters = [{"params": group} for group in groups]
    # fused: one pass over the weights in place of several
    if train.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            train.lr,
            momentum=train.momentum,
            weight_decay=train.weight_decay,
            fused=True,
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[train.optimizer]
    return kind(parameters, train.lr, weight_decay=train.weight_decay, fused=True)


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make what a step draws (dropout) a function of these three, so that no generator's state
    has to be kept."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0]))
