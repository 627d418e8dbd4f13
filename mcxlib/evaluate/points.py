"""Where on the ROC curve a detector works: equal errors, few false alarms, chosen thresholds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mcxlib.evaluate import metrics
from mcxlib.evaluate.checks import fraction, labels_and_scores
from mcxlib.evaluate.intervals import LEAST_VIDEOS, Sample, video_interval
from mcxlib.evaluate.thresholds import best_threshold

FALSE_ALARMS = (0.01, 0.1)
"""Shares of real videos called fake at which the share of fakes found is given."""


class Curve(NamedTuple):
    """A ROC curve, (K + 1,) each for K different scores, from everything called fake to nothing."""

    threshold: NDArray[np.float64]
    """Scores above it are called fake; the first is -inf."""
    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]


def roc(is_fake: ArrayLike, fake_score: ArrayLike) -> Curve:
    """The points that thresholds reach: (N,) bool or 0/1, and (N,). Errors as
    :func:`mcxlib.evaluate.bosc`."""
    fake, score = labels_and_scores(is_fake, fake_score)
    levels = np.unique(score)
    reached = (
        1 - np.searchsorted(np.sort(part), levels, "right") / len(part)
        for part in (score[~fake], score[fake])
    )
    fpr, tpr = (np.concatenate([[1.0], rates]) for rates in reached)
    return Curve(np.concatenate([[-np.inf], levels]), fpr, tpr)


def equal_error_rate(is_fake: ArrayLike, fake_score: ArrayLike) -> float:
    """Where as many real samples are called fake as fakes are missed, as a fraction.

    Between two neighbouring thresholds the ROC curve is the line that joins them, which ties and
    small sets make long. Args and errors as :func:`roc`.
    """
    _, fpr, tpr = roc(is_fake, fake_score)
    gap = fpr - (1 - tpr)  # falls from 1 to -1
    after = int(np.argmax(gap <= 0))
    before = after - 1
    share = gap[before] / (gap[before] - gap[after])
    return float(fpr[before] + share * (fpr[after] - fpr[before]))


def tpr_at_fpr(is_fake: ArrayLike, fake_score: ArrayLike, most: float) -> float:
    """The largest share of fakes found by a threshold that calls at most ``most`` of the real
    samples fake; a threshold that exists, not a point between two.

    With fewer than 1 / ``most`` real samples none of them may be called fake. Args and errors as
    :func:`roc`; ``most`` lies in [0, 1].
    """
    fraction("most", most)
    _, fpr, tpr = roc(is_fake, fake_score)
    return float(tpr[fpr <= most + 1e-12].max())


def operating_points(
    is_fake: ArrayLike,
    fake_score: ArrayLike,
    chosen: float | None = None,
    *,
    level: float = 0.95,
    draws: int = 2000,
) -> dict[str, Any]:
    """What one set of videos says at each threshold a reader may ask for.

    Args:
        is_fake: (N,), bool or 0/1, a value a video.
        fake_score: (N,).
        chosen: the threshold chosen on validation videos, or None if there is none.
        level: of the intervals.
        draws: resamples of each; 0 for no intervals.

    Returns:
        ``n_real``, ``n_fake``; ``auc``, ``eer``, ``tpr_at_1``, ``tpr_at_10`` (found at 1 % and 10 %
        false alarms); ``bosc_half``, ``bosc_chosen`` and ``bosc_best`` (at 0.5, at ``chosen``, and
        at the best threshold for these very scores, which no detector knows beforehand);
        ``sensitivity`` and ``specificity`` at 0.5; ``auc_low``, ``auc_high``, ``bosc_low`` and
        ``bosc_high`` (of AUC and BOSC at 0.5); and ``note``. All are fractions, NaN where they
        cannot be said, and ``note`` then says why. A set of one class has the one of sensitivity
        and specificity that it can have.

    Raises:
        ValueError: as :func:`mcxlib.evaluate.bosc`, but for a missing class.
    """
    fake, score = labels_and_scores(is_fake, fake_score, ())
    n_fake = int(fake.sum())
    row: dict[str, Any] = {"n_real": len(fake) - n_fake, "n_fake": n_fake}
    row |= dict.fromkeys(NUMBERS, np.nan)
    if n_fake:
        row["sensitivity"] = metrics.sensitivity(fake, score)
    if row["n_real"]:
        row["specificity"] = metrics.specificity(fake, score)
    if not 0 < n_fake < len(fake):
        only = "fake" if n_fake else "real"
        return row | {"note": f"all {len(fake)} videos are {only}: no ROC curve, no BOSC"}
    row["auc"] = metrics.auc(fake, score)
    row["eer"] = equal_error_rate(fake, score)
    for most in FALSE_ALARMS:
        row[f"tpr_at_{100 * most:g}"] = tpr_at_fpr(fake, score, most)
    row["bosc_half"] = metrics.bosc(fake, score)
    row["bosc_best"] = metrics.bosc(fake, score, best_threshold(fake, score))
    notes = []
    if chosen is None:
        notes.append("no threshold was chosen on validation videos")
    else:
        row["bosc_chosen"] = metrics.bosc(fake, score, chosen)
    if draws and min(n_fake, row["n_real"]) < LEAST_VIDEOS:
        notes.append("one video of a class gives no interval")
    elif draws:
        alone = [Sample(fake, score, np.arange(len(fake)))]
        for name in ("auc", "bosc"):
            found = video_interval(alone, name, level=level, draws=draws)
            row |= {f"{name}_low": found.low, f"{name}_high": found.high}
    return row | {"note": "; ".join(notes)}


NUMBERS = (
    *("auc", "auc_low", "auc_high", "eer", "tpr_at_1", "tpr_at_10"),
    *("bosc_half", "bosc_low", "bosc_high", "bosc_chosen", "bosc_best"),
    *("sensitivity", "specificity"),
)
"""What :func:`operating_points` says, besides counts and note."""


def operating_table(
    videos: pd.DataFrame, chosen: float | None = None, *, draws: int = 2000
) -> pd.DataFrame:
    """:func:`operating_points` of each data set: one row a data set, in order of appearance.

    Args:
        videos: one row a video with columns dataset, is_fake and fake_score.
        chosen: as there, for all alike.
        draws: as there.
    """
    rows = [
        {"dataset": name}
        | operating_points(part["is_fake"], part["fake_score"], chosen, draws=draws)
        for name, part in videos.groupby("dataset", sort=False)
    ]
    return pd.DataFrame(rows, columns=["dataset", "n_real", "n_fake", *NUMBERS, "note"])
