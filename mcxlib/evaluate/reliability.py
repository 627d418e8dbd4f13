"""Do scores mean what they say: of the videos scored 0.8, are eight in ten fake?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mcxlib.evaluate.checks import labels_and_scores

BINS = 10


def reliability(is_fake: ArrayLike, probability: ArrayLike, bins: int = BINS) -> pd.DataFrame:
    """Stated and observed share of fakes, bin by bin.

    Real and fake videos count half each, as in
    :func:`mcxlib.evaluate.calibration.fit_temperature`: a share is the one that would be observed
    if both were equally common, whatever the test set holds.

    Args:
        is_fake: (N,), bool or 0/1.
        probability: (N,), of fake, in [0, 1].
        bins: of equal width; a value on an edge is in the upper one, and 1 in the last.

    Returns:
        One row a bin that holds a video: low, high, videos, weight (they add up to 1), stated (mean
        probability) and observed (share of fakes), both by weight.

    Raises:
        ValueError: as :func:`mcxlib.evaluate.bosc`; values outside [0, 1]; fewer than one bin.
    """
    fake, stated = labels_and_scores(is_fake, probability)
    if stated.min() < 0 or stated.max() > 1:
        raise ValueError("scores outside [0, 1] are no probabilities")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    edges = np.linspace(0, 1, bins + 1)
    # Products of tenths that should be whole are not quite.
    place = np.floor(stated * bins + 1e-9).astype(int).clip(0, bins - 1)
    weight = np.where(fake, 0.5 / fake.sum(), 0.5 / (~fake).sum())
    total = np.bincount(place, weight, bins)
    with np.errstate(invalid="ignore"):
        table = pd.DataFrame(
            {
                "low": edges[:-1],
                "high": edges[1:],
                "videos": np.bincount(place, minlength=bins),
                "weight": total,
                "stated": np.bincount(place, weight * stated, bins) / total,
                "observed": np.bincount(place, weight * fake, bins) / total,
            }
        )
    return table[table["videos"] > 0].reset_index(drop=True)


def calibration_error(is_fake: ArrayLike, probability: ArrayLike, bins: int = BINS) -> float:
    """The expected calibration error: the mean distance of stated and observed share over the bins
    of :func:`reliability`, by their weight; a fraction. Args and errors as there."""
    table = reliability(is_fake, probability, bins)
    return float((table["weight"] * (table["stated"] - table["observed"]).abs()).sum())
