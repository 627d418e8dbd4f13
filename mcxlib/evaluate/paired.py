"""Two detectors on the same videos: how far apart they are, and whether others would show it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcxlib.evaluate.checks import confidence, labels_and_scores
from mcxlib.evaluate.resampling import LEAST_VIDEOS, Sample, Videos, resampled


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


class Paired(NamedTuple):
    """How far the second sets of scores are above the first, and every draw of it."""

    estimate: float
    low: float
    high: float
    kind: Literal["bootstrap", "exact bound"]
    drawn: NDArray[np.float64]
    """(draws,): the difference of each resample."""


def paired_difference(
    first: Sequence[Sample],
    second: Sequence[Sample],
    metric: str = "bosc",
    *,
    threshold: float | tuple[float, float] = 0.5,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Paired:
    """The difference of a metric between two judgements of the same videos, with an interval by a
    paired bootstrap (:func:`mcxlib.evaluate.resampling.resampled`): each draw takes a video equally
    often in both, so that what makes a video hard for both cancels.

    Where all videos of a set (all pairs of a real and a fake one, for AUC) differ by the same,
    every resample gives that difference again, and the bootstrap would call it certain. There the
    share of videos that differ by just that is at least (1 - level) ** (1 / n), as in
    :func:`mcxlib.evaluate.bootstrap_interval`, and the others may differ by anything: two perfect
    scores of few videos are no certain zero.

    Args:
        first: sets of scores, such as one a manipulation; the metric is their mean.
        second: the same sets of the same videos, judged otherwise.
        metric: ``"bosc"`` or ``"auc"``.
        threshold: of BOSC, of both or one of each.
        level: of confidence, in (0, 1).
        draws: number of resamples.
        seed: of the draws.

    Returns:
        second - first; "exact bound" if no resample differs.

    Raises:
        ValueError: as :func:`mcxlib.evaluate.mean_interval`; sets of other videos.
    """
    limits = threshold if isinstance(threshold, tuple) else (threshold, threshold)
    half = len(first)
    found = resampled(
        [*first, *second],
        metric,
        threshold=[limit for limit in limits for _ in range(half)],
        level=level,
        draws=draws,
        seed=seed,
    )
    gaps = []
    for one, other in zip(found[:half], found[half:], strict=True):
        a, b = one.videos, other.videos
        if {*a.real_names, *a.fake_names} != {*b.real_names, *b.fake_names}:
            raise ValueError("the videos before and after the change are not the same")
        gaps.append(_auc_gaps(a, b) if metric == "auc" else _bosc_gaps(a, b))
    drawn = np.mean([one.part.drawn for one in found[half:]], axis=0)
    drawn -= np.mean([one.part.drawn for one in found[:half]], axis=0)
    estimates = [one.estimate for one in found]
    tail = (1 - level) / 2
    ends = np.quantile(drawn, [tail, 1 - tail])
    ends += np.mean([_left_open(of_set, level) for of_set in gaps], axis=0)
    low, high = np.clip(ends, -1, 1)
    exact = all(_same(gap) for of_set in gaps for gap, _ in of_set)
    kind: Literal["bootstrap", "exact bound"] = "exact bound" if exact else "bootstrap"
    estimate = float(np.mean(estimates[half:]) - np.mean(estimates[:half]))
    return Paired(estimate, float(low), float(high), kind, drawn)


Gaps = list[tuple[NDArray[np.float64], int]]
"""What videos, or pairs of them, differ by; and how many of them are independent. The metric's
difference is the mean over the entries."""


def _auc_gaps(first: Videos, second: Videos) -> Gaps:
    gap = second.in_order() - first.in_order()
    return [(gap, min(gap.shape))]


def _bosc_gaps(first: Videos, second: Videos) -> Gaps:
    gaps = [second.right(fake) - first.right(fake) for fake in (False, True)]
    return [(gap, len(gap)) for gap in gaps]


def _same(gap: NDArray[np.float64]) -> bool:
    return bool((gap == gap.flat[0]).all())


def _left_open(gaps: Gaps, level: float) -> NDArray[np.float64]:
    """(2,): what is added at either end for videos that all differ by the same."""
    added = np.zeros(2)
    for gap, trials in gaps:
        if _same(gap):
            bounds = _alike(gap.flat[0], trials, level)
            added += np.subtract((bounds.low, bounds.high), gap.flat[0]) / len(gaps)
    return added


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
    fake, one, other = _both(is_fake, first, second)
    limits = threshold if isinstance(threshold, tuple) else (threshold, threshold)
    a, b = (Sample(fake, scores, np.arange(len(fake))) for scores in (one, other))
    found = paired_difference([a], [b], threshold=limits, level=level, draws=draws, seed=seed)
    differing = np.count_nonzero((one > limits[0]) != (other > limits[1]))
    kind: Literal["exact bound", "paired bootstrap"] = (
        "exact bound" if found.kind == "exact bound" else "paired bootstrap"
    )
    p = _p_value(found.drawn, int(differing))
    return Difference(found.estimate, found.low, found.high, p, kind)


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
