"""How far a number could move with other test videos: resampled videos, and exact bounds."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mcxlib.evaluate import metrics
from mcxlib.evaluate.checks import confidence, labels_and_scores, same_length

METRICS = ("bosc", "auc")

LEAST_DRAWS = 200
"""Fewest resamples of a bootstrap interval; levels above 0.95 need more."""

LEAST_VIDEOS = 2
"""Fewest videos of each class: one video resampled is always itself."""


class Interval(NamedTuple):
    """A confidence interval and the value it is for."""

    estimate: float
    low: float
    high: float
    kind: Literal["bootstrap", "exact bound"]
    """"bootstrap" holds for many videos; "exact bound" for any number of them."""


def bootstrap_interval(
    is_fake: ArrayLike,
    fake_score: ArrayLike,
    video: ArrayLike | None = None,
    metric: str = "bosc",
    *,
    threshold: float = 0.5,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """A percentile bootstrap interval for BOSC or AUC that resamples whole videos.

    Frames of one video resemble each other, so resampling frames would give intervals that are
    far too narrow. Real and fake videos are resampled apart, each in their own number: every
    draw has both classes, as the metrics need.

    Where all videos are alike, every resample gives the estimate again, and the bootstrap would
    say that a perfect score of four videos is certain. There an exact bound takes its place:

    - BOSC, all videos right (or all wrong): the one-sided bounds of Clopper and Pearson (1934) for
      n videos of n, (1 - level) ** (1 / n), for sensitivity and for specificity, and their mean.
      If BOSC lies below that mean, one of the two lies below its own bound; then its class is
      entirely right with a probability below 1 - level, and both classes all the more.
    - AUC, all fakes above all real (or all below): the same bound for m pairs of m, where m is
      the number of videos of the smaller class. That many pairs of a real and a fake video can
      be formed without using one twice (Hoeffding, 1963, section 5); they are independent, and
      with a true AUC below the bound all of them are in order with a probability below
      1 - level. Without knowing the distribution of the scores there is no better bound: if only
      the smaller class ever fails, that probability is reached.
    - All videos alike in any other way (all called fake, or one score for all): the share of videos
      (or pairs) like these is at least that bound, and the others may have any value.

    An exact bound counts videos. With several samples a video it takes them to be about equally
    many, as the first 30 frames are.

    References:
        C. J. Clopper and E. S. Pearson, The use of confidence or fiducial limits illustrated in
        the case of the binomial, Biometrika 26 (1934), 404-413.
        W. Hoeffding, Probability inequalities for sums of bounded random variables, Journal of
        the American Statistical Association 58 (1963), 13-30.

    Args:
        is_fake: (N,), bool or 0/1.
        fake_score: (N,).
        video: (N,), which samples belong together (any hashable names, unique over data sets);
            None if every sample is a video of its own.
        metric: ``"bosc"`` or ``"auc"``.
        threshold: of BOSC.
        level: of confidence, in (0, 1).
        draws: number of resamples; at least 200, and enough for five beyond either end.
        seed: of the draws.

    Returns:
        The metric of all samples, the interval's ends, and which of the two it is.

    Raises:
        ValueError: as :func:`mcxlib.evaluate.bosc`; for a video with both real and fake samples;
            for fewer than two videos of a class; for settings out of range.
    """
    _check_settings(metric, level, draws)
    fake, score = labels_and_scores(is_fake, fake_score)
    group = _groups(fake, video)
    rng = np.random.default_rng(seed)
    real_video, real_sizes = _numbered(group[~fake])
    fake_video, fake_sizes = _numbered(group[fake])
    n_real, n_fake = len(real_sizes), len(fake_sizes)
    if min(n_real, n_fake) < LEAST_VIDEOS:
        raise ValueError(
            f"too few videos for an interval: {n_real} real and {n_fake} fake; at least "
            f"{LEAST_VIDEOS} of each are needed"
        )
    real_weight = _draw(n_real, draws, rng)
    fake_weight = _draw(n_fake, draws, rng)
    if metric == "bosc":
        estimate = metrics.bosc(fake, score, threshold)
        real_right = np.bincount(real_video, weights=score[~fake] <= threshold)
        fake_right = np.bincount(fake_video, weights=score[fake] > threshold)
        real_share, fake_share = real_right / real_sizes, fake_right / fake_sizes
        if _alike(real_share) and _alike(fake_share):
            ends = np.add(
                _bound(real_share[0], n_real, level), _bound(fake_share[0], n_fake, level)
            )
            return Interval(estimate, float(ends[0] / 2), float(ends[1] / 2), "exact bound")
        specificity = real_weight @ real_right / (real_weight @ real_sizes)
        sensitivity = fake_weight @ fake_right / (fake_weight @ fake_sizes)
        drawn = (specificity + sensitivity) / 2
    else:
        estimate = metrics.auc(fake, score)
        # wins[r, f]: how often a frame of fake video f scores above one of real video r. A
        # resample only reweights the videos, so its AUC is a bilinear form of this matrix.
        wins = _wins(score[~fake], real_video, score[fake], fake_video)
        share = wins / np.multiply.outer(real_sizes, fake_sizes)
        if _alike(share):
            low, high = _bound(share.flat[0], min(n_real, n_fake), level)
            return Interval(estimate, low, high, "exact bound")
        above = ((real_weight @ wins) * fake_weight).sum(axis=1)
        drawn = above / ((real_weight @ real_sizes) * (fake_weight @ fake_sizes))
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), "bootstrap")


def proportion_interval(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The interval of Clopper and Pearson (1934) for a share of independent trials.

    Sensitivity over fake videos and specificity over real ones are such shares. The interval holds
    the true share with at least the probability ``level``, whatever the share and the number of
    trials; each end leaves out at most half of the rest.

    Raises:
        ValueError: numbers that are not whole, no trial, more successes than trials or fewer than
            none, or a level outside (0, 1).
    """
    confidence(level)
    if successes != int(successes) or trials != int(trials):
        raise ValueError(f"successes and trials are whole numbers, not {successes} and {trials}")
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"no share of trials: {successes} successes in {trials} trials")
    # Here and not above: no other number needs scipy, and it takes a while to import.
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    failures = trials - successes
    low = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return Interval(successes / trials, low, high, "exact bound")


def _check_settings(metric: str, level: float, draws: int) -> None:
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; valid names: {', '.join(METRICS)}")
    confidence(level)
    # Five resamples beyond either end; the slack is for 1 - 0.95, which is not 0.05 exactly.
    least = max(LEAST_DRAWS, math.ceil(10 / (1 - level) - 1e-6))
    if draws < least:
        raise ValueError(f"draws must be at least {least} at the level {level}, not {draws}")


def _groups(fake: NDArray[np.bool_], video: ArrayLike | None) -> NDArray[np.intp]:
    """(N,): the number of each sample's video."""
    if video is None:
        return np.arange(len(fake))
    names = np.asarray(video)
    same_length(fake, names, "video")
    group = pd.factorize(names)[0]
    mixed = np.intersect1d(group[fake], group[~fake])
    if len(mixed):
        raise ValueError(
            f"{len(mixed)} videos have both real and fake samples; name videos uniquely, "
            "by data set and manipulation if need be"
        )
    return group


def _numbered(group: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Groups renumbered from 0, and the size of each."""
    number = np.unique(group, return_inverse=True)[1]
    return number, np.bincount(number)


def _draw(groups: int, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(draws, groups): how often each draw takes each group."""
    weight = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws)
    return weight.astype(np.float64)


def _wins(
    real: NDArray[np.float64],
    real_video: NDArray[np.intp],
    fake: NDArray[np.float64],
    fake_video: NDArray[np.intp],
) -> NDArray[np.float64]:
    """(real videos, fake videos): pairs of frames in which the fake scores higher, ties half."""
    order = np.argsort(real_video, kind="stable")
    wins = []
    for scores in np.split(real[order], np.cumsum(np.bincount(real_video))[:-1]):
        scores = np.sort(scores)
        below = np.searchsorted(scores, fake, "left") + np.searchsorted(scores, fake, "right")
        wins.append(np.bincount(fake_video, weights=below / 2))
    return np.stack(wins)


def _alike(values: NDArray[np.float64]) -> bool:
    return bool((values == values.flat[0]).all())


def _bound(value: float, trials: int, level: float) -> tuple[float, float]:
    """What the mean can be of something in [0, 1] that had this ``value`` in every trial."""
    share = (1 - level) ** (1 / trials)
    return float(value * share), float(1 - (1 - value) * share)
