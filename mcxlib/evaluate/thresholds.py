"""Thresholds that are chosen on data, and so must be data that nothing is reported on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mcxlib.evaluate import metrics


def best_threshold(is_fake: ArrayLike, fake_score: ArrayLike) -> float:
    """The threshold with the highest BOSC on these scores: (N,) bool or 0/1, and (N,).

    Halfway between two neighbouring scores; of several equally good ones the one nearest to 0.5.

    Raises:
        ValueError: one class only, or scores that are no numbers.
    """
    fake = np.asarray(is_fake).astype(bool)
    score = np.asarray(fake_score, dtype=np.float64)
    if fake.all() or not fake.any():
        raise ValueError("a threshold needs scores of both classes")
    if np.isnan(score).any():
        raise ValueError("fake_score is NaN for some samples")
    levels = np.unique(score)
    between = np.concatenate([[levels[0] - 0.5], (levels[1:] + levels[:-1]) / 2])
    # Real ones at or below a level are right, fakes above it are.
    real = np.searchsorted(np.sort(score[~fake]), between, "right") / (~fake).sum()
    missed = np.searchsorted(np.sort(score[fake]), between, "right") / fake.sum()
    balanced = real + 1 - missed
    best = between[balanced >= balanced.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def threshold_gap(scores: pd.DataFrame) -> pd.DataFrame:
    """BOSC at 0.5 and at the best threshold, and AUC, of frames, by data set.

    The best threshold is chosen on these scores themselves: it is what a perfect choice of
    threshold would give, not what a detector can reach.

    Args:
        scores: one row a frame, with columns dataset, is_fake and fake_score.
    """
    result = {}
    for dataset, part in scores.groupby("dataset", sort=False):
        fake, score = part["is_fake"].to_numpy(bool), part["fake_score"].to_numpy(np.float64)
        result[dataset] = {
            "AUC": metrics.auc(fake, score),
            "BOSC at 0.5": metrics.bosc(fake, score),
            "best BOSC": metrics.bosc(fake, score, best_threshold(fake, score)),
        }
    return pd.DataFrame(result).T
