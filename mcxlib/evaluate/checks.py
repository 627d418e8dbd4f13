"""Labels and scores as every number here needs them, or a message that says what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BOTH = ("real", "fake")


def labels_and_scores(
    is_fake: ArrayLike, fake_score: ArrayLike, needs: tuple[str, ...] = BOTH
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(N,) labels as bool and (N,) scores as float64.

    Raises:
        ValueError: for unequal lengths, no scores, NaN scores, labels other than 0 and 1, or a
            class of ``needs`` without a sample.
    """
    labels = np.asarray(is_fake)
    score = np.asarray(fake_score, dtype=np.float64)
    if labels.ndim != 1:
        raise ValueError(f"is_fake must be one-dimensional, not of shape {labels.shape}")
    same_length(labels, score, "fake_score")
    if len(labels) == 0:
        raise ValueError("no scores: is_fake and fake_score are empty")
    fake = labels == 1
    strange = int((~(fake | (labels == 0))).sum())
    if strange:
        raise ValueError(f"is_fake must be bool or 0/1, but {strange} of {len(labels)} are neither")
    no_nan(score)
    there = {"real": not fake.all(), "fake": fake.any()}
    if not all(there[name] for name in needs):
        only = "fake" if fake.all() else "real"
        needed = "both are" if len(needs) == 2 else f"a {needs[0]} one is"
        raise ValueError(f"only one class: all {len(fake)} samples are {only}; {needed} needed")
    return fake, score


def same_length(labels: NDArray[Any], other: NDArray[Any], name: str) -> None:
    """Refuse ``other``, called ``name``, unless it has one value a label."""
    if other.shape != labels.shape:
        raise ValueError(
            f"unequal lengths: is_fake has {len(labels)} values, {name} has shape {other.shape}"
        )


def no_nan(score: NDArray[np.float64]) -> None:
    """Refuse NaN scores; infinite ones have an order and pass."""
    missing = int(np.isnan(score).sum())
    if missing:
        raise ValueError(f"fake_score is NaN for {missing} of {len(score)} samples")


def fraction(name: str, value: float) -> None:
    """Refuse a value, called ``name``, that lies outside [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], not {value}")


def confidence(level: float) -> None:
    """Refuse a confidence level that does not lie between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
