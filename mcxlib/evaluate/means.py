"""The mean of one number a frame, and how far it would move with other videos."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mcxlib.evaluate.checks import confidence


class Mean(NamedTuple):
    """A mean over videos with its interval; NaN ends where there is none."""

    value: float
    low: float
    high: float
    videos: int
    """With a number."""


def over_videos(
    values: ArrayLike,
    videos: ArrayLike,
    within: tuple[float, float] = (0, 1),
    level: float = 0.95,
) -> Mean:
    """The mean over videos of the means of their frames, with Student's t interval.

    Frames without a number (NaN) are left out, and fewer than two videos give no interval. Videos
    that are all alike would seem certain: of them the share of videos like these is at least
    Clopper and Pearson's one-sided bound for n of n, (1 - level) ** (1 / n), and the others may
    have any value.

    Args:
        values: (N,), a number a frame.
        videos: (N,), names.
        within: where the number can lie; the ends do not reach beyond it. (0, 1) is a share's,
            (-1, 1) that of a difference of two shares.
        level: in (0, 1).

    Raises:
        ValueError: no number at all, or a level outside (0, 1).
    """
    confidence(level)
    means = pd.Series(np.asarray(values, float)).groupby(np.asarray(videos)).mean().dropna()
    if means.empty:
        raise ValueError("no number to take a mean of")
    value, count = float(means.mean()), len(means)
    if count < 2:
        return Mean(value, np.nan, np.nan, count)
    lowest, highest = within
    if means.nunique() == 1:
        like = (1 - level) ** (1 / count)
        low, high = (like * value + (1 - like) * end for end in within)
        return Mean(value, low, high, count)
    # Here and not above: few numbers need scipy, and it takes a while to import.
    from scipy.special import stdtrit

    half = float(stdtrit(count - 1, (1 + level) / 2) * means.std(ddof=1) / np.sqrt(count))
    return Mean(value, max(lowest, value - half), min(highest, value + half), count)
