"""Two detectors on the same videos: how far apart they are, and whether others would show it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcxlib.evaluate import metrics
from mcxlib.evaluate.checks import confidence, labels_and_scores
from mcxlib.evaluate.intervals import LEAST_DRAWS, LEAST_VIDEOS


class Difference(NamedTuple):
    """How far the second detector is above the first."""

    estimate: float
    low: float
    high: float
    p: float
    """How often two equally good detectors would be this far apart, either way, or further."""
    kind: Literal["DeLong", "paired bootstrap", "exact bound"]


def delong(
    is_fake: ArrayLike, first: ArrayLike, second: ArrayLike, *, level: float = 0.95
) -> Difference:
    """Whether two AUCs on the same videos differ (DeLong, DeLong and Clarke-Pearson, Comparing the
    areas under two or more correlated ROC curves, Biometrics 44, 1988, 837-845).

    A video's placement is the share of videos of the other class that it stands on the right side
    of, ties half; the AUC is their mean, and the variance of a difference of AUCs follows from the
    spread of the differences of placements, of real and of fake videos. It holds for many videos.

    Where every pair of a real and a fake video gives the same difference (both perfect, say, or the
    same order), that spread is 0 and would make the difference certain. There an exact bound takes
    its place, with as many independent pairs as the smaller class has videos.

    Args:
        is_fake: (N,), bool or 0/1, a value a video.
        first: (N,), scores of the first detector.
        second: (N,), of the second.
        level: of confidence, in (0, 1).

    Raises:
        ValueError: as :func:`mcxlib.evaluate.bosc`; fewer than two videos of a class.
    """
    confidence(level)
    fake, one, other = _both(is_fake, first, second)
    by_fake, by_real = (
        b - a for a, b in zip(_placements(fake, one), _placements(fake, other), strict=True)
    )
    estimate = float(by_fake.mean())
    variance = by_fake.var(ddof=1) / len(by_fake) + by_real.var(ddof=1) / len(by_real)
    if variance < 1e-20:
        return _alike(estimate, min(len(by_fake), len(by_real)), level)
    deviation = math.sqrt(variance)
    reach = _normal_quantile(level) * deviation
    low, high = max(-1.0, estimate - reach), min(1.0, estimate + reach)
    p = math.erfc(abs(estimate) / deviation / math.sqrt(2))
    return Difference(estimate, low, high, p, "DeLong")


def _both(
    is_fake: ArrayLike, first: ArrayLike, second: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    fake, one = labels_and_scores(is_fake, first)
    _, other = labels_and_scores(is_fake, second)
    n_fake = int(fake.sum())
    if min(n_fake, len(fake) - n_fake) < LEAST_VIDEOS:
        raise ValueError(
            f"too few videos to compare on: {len(fake) - n_fake} real and {n_fake} fake; at least "
            f"{LEAST_VIDEOS} of each are needed"
        )
    return fake, one, other


def _placements(
    fake: NDArray[np.bool_], score: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each fake video, the share of real ones below it; of each real one, of fakes above."""
    real, fakes = np.sort(score[~fake]), np.sort(score[fake])
    return _share_below(real, score[fake]), 1 - _share_below(fakes, score[~fake])


def _share_below(ordered: NDArray[np.float64], score: NDArray[np.float64]) -> NDArray[np.float64]:
    below = np.searchsorted(ordered, score, "left") + np.searchsorted(ordered, score, "right")
    return below / (2 * len(ordered))


def _normal_quantile(level: float) -> float:
    """How many standard deviations hold the share ``level`` in their middle."""
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + level) / 2)


def _alike(difference: float, trials: int, level: float) -> Difference:
    """What can be said where each of so many independent trials gave the same difference.

    Such trials are at least the share (1 - level) ** (1 / trials) of all, and the others may give
    anything in [-1, 1]. If the true mean were 0, at most 1 / (1 + |difference|) of them would.
    """
    share = (1 - level) ** (1 / trials)
    low, high = difference * share - (1 - share), difference * share + (1 - share)
    p = min(1.0, 2 * (1 + abs(difference)) ** -trials) if difference else 1.0
    return Difference(difference, max(-1.0, low), min(1.0, high), p, "exact bound")


def paired_bootstrap(
    is_fake: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    threshold: float | tuple[float, float] = 0.5,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Difference:
    """The difference of two BOSCs on the same videos: a draw takes a video equally often for both.

    Real and fake videos are resampled apart, as in :func:`mcxlib.evaluate.bootstrap_interval`. A
    class whose videos all give the same difference (both right in all of them, say) leaves open
    what the exact bound there leaves open. The p-value is twice the smaller share of draws on
    either side of 0, and so never below 2 / (draws + 1); nor below 2 ** (1 - k) for k videos that
    are judged differently, since so often a coin thrown k times falls on one side.

    Args:
        is_fake: (N,), bool or 0/1, a value a video.
        first: (N,), scores of the first detector.
        second: (N,), of the second.
        threshold: of both, or one of each.
        level: of confidence, in (0, 1).
        draws: resamples; at least 200.
        seed: of the draws.

    Raises:
        ValueError: as :func:`delong`; too few draws.
    """
    confidence(level)
    if draws < LEAST_DRAWS:
        raise ValueError(f"draws must be at least {LEAST_DRAWS}, not {draws}")
    fake, one, other = _both(is_fake, first, second)
    limits = threshold if isinstance(threshold, tuple) else (threshold, threshold)
    # +1 where only the second is right, -1 where only the first is.
    gain = (((other > limits[1]) == fake).astype(int) - ((one > limits[0]) == fake)).astype(float)
    rng = np.random.default_rng(seed)
    drawn, open_ends, alike = np.zeros(draws), np.zeros(2), True
    for part in (gain[~fake], gain[fake]):
        counts = rng.multinomial(len(part), np.full(len(part), 1 / len(part)), size=draws)
        drawn += counts @ part / len(part) / 2
        if (part == part[0]).all():
            ends = _alike(part[0], len(part), level)
            open_ends += np.subtract((ends.low, ends.high), part[0]) / 2
        else:
            alike = False
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]) + open_ends
    estimate = metrics.bosc(fake, other, limits[1]) - metrics.bosc(fake, one, limits[0])
    kind: Literal["exact bound", "paired bootstrap"] = (
        "exact bound" if alike else "paired bootstrap"
    )
    p = _p_value(drawn, int(np.count_nonzero(gain)))
    return Difference(estimate, max(-1.0, float(low)), min(1.0, float(high)), p, kind)


def _p_value(drawn: NDArray[np.float64], differing: int) -> float:
    # Sums of ninths and tenths that should be 0 are not quite.
    sides = [np.count_nonzero(drawn <= 1e-12), np.count_nonzero(drawn >= -1e-12)]
    share = 2 * (min(sides) + 1) / (len(drawn) + 1)
    return float(min(1.0, max(share, 2.0 ** (1 - differing))))


def holm(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values of a family of comparisons, adjusted so that all of them together err as often as
    one alone would (Holm, A simple sequentially rejective multiple test procedure, Scandinavian
    Journal of Statistics 6, 1979, 65-70).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none falls below one that
    was smaller. NaN, a comparison that could not be made, stays NaN and is none of the m.

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    values = np.asarray(p, dtype=np.float64)
    if ((values < 0) | (values > 1)).any():
        raise ValueError("p-values lie in [0, 1]")
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted = np.full(values.shape, np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return adjusted
