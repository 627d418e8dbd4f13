"""How far a number could move with other test videos: resampled videos, and exact bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
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


class Sample(NamedTuple):
    """One set of scores: (N,) each."""

    is_fake: ArrayLike
    """Bool or 0/1."""
    fake_score: ArrayLike
    video: ArrayLike
    """Which samples belong together: any hashable names, unique over data sets."""


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
    - BOSC, one class alike and the other not: the other's bootstrap, each end moved by half of
      what the exact bound leaves open for the first. By the same argument: if BOSC lies below the
      mean of the two ends, one of the two lies below its own.
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
        video: (N,), as of :class:`Sample`; None if every sample is a video of its own.
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
    names = np.arange(np.size(is_fake)) if video is None else video
    return mean_interval(
        [Sample(is_fake, fake_score, names)],
        metric,
        threshold=threshold,
        level=level,
        draws=draws,
        seed=seed,
    )


def mean_interval(
    samples: Sequence[Sample],
    metric: str = "bosc",
    *,
    threshold: float = 0.5,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """The interval of :func:`bootstrap_interval` for the mean of a metric over several sets of
    scores, which may hold the same videos: seeds of one network, or manipulations of one data set,
    which share their real videos.

    A draw takes a video equally often in every set that holds it, so the interval says how far
    the mean would move with other videos, and not how far with other seeds. Exact bounds are
    averaged as the metric is: if the mean lies below the mean of the bounds, one of the sets lies
    below its own.

    Other arguments, results and errors as there; videos are told by their names.

    Raises:
        ValueError: also for no set at all.
    """
    _check_settings(metric, level, draws)
    if not samples:
        raise ValueError("no samples: an interval needs at least one set of scores")
    sets = [_Videos(*sample, threshold) for sample in samples]
    rng = np.random.default_rng(seed)
    real = _weights([one.real_names for one in sets], draws, rng)
    fake = _weights([one.fake_names for one in sets], draws, rng)
    parts = [
        getattr(one, metric)(real_weight, fake_weight, level)
        for one, real_weight, fake_weight in zip(sets, real, fake, strict=True)
    ]
    function = metrics.auc if metric == "auc" else partial(metrics.bosc, threshold=threshold)
    estimate = float(np.mean([function(one.is_fake, one.score) for one in sets]))
    drawn = np.mean([part.drawn for part in parts], axis=0)
    tail = (1 - level) / 2
    ends = np.quantile(drawn, [tail, 1 - tail]) + np.mean([part.open for part in parts], axis=0)
    exact = all(part.alike for part in parts)
    kind: Literal["bootstrap", "exact bound"] = "exact bound" if exact else "bootstrap"
    return Interval(estimate, float(ends[0]), float(ends[1]), kind)


class _Part(NamedTuple):
    """What one set of scores has in the mean."""

    drawn: NDArray[np.float64]
    """(draws,): the metric of each resample."""
    open: NDArray[np.float64]
    """(2,): what exact bounds add at either end for videos that are all alike."""
    alike: bool
    """No resample differs."""


class _Videos:
    """A set of scores by video."""

    def __init__(
        self, is_fake: ArrayLike, fake_score: ArrayLike, video: ArrayLike, threshold: float
    ) -> None:
        self.is_fake, self.score = labels_and_scores(is_fake, fake_score)
        fake = self.is_fake
        names = np.asarray(video)
        same_length(fake, names, "video")
        self.real_video, self.real_names = pd.factorize(names[~fake])
        self.fake_video, self.fake_names = pd.factorize(names[fake])
        mixed = np.isin(self.fake_names, self.real_names).sum()
        if mixed:
            raise ValueError(
                f"{mixed} videos have both real and fake samples; name videos uniquely, "
                "by data set and manipulation if need be"
            )
        n_real, n_fake = len(self.real_names), len(self.fake_names)
        if min(n_real, n_fake) < LEAST_VIDEOS:
            raise ValueError(
                f"too few videos for an interval: {n_real} real and {n_fake} fake; at least "
                f"{LEAST_VIDEOS} of each are needed"
            )
        self.real_sizes, self.fake_sizes = map(np.bincount, (self.real_video, self.fake_video))
        self.threshold = threshold

    def bosc(self, real_weight: NDArray, fake_weight: NDArray, level: float) -> _Part:
        """Weights (draws, videos): how often each draw takes each video."""
        real, fake = self.score[~self.is_fake], self.score[self.is_fake]
        halves = []
        for weight, video, sizes, right in (
            (real_weight, self.real_video, self.real_sizes, real <= self.threshold),
            (fake_weight, self.fake_video, self.fake_sizes, fake > self.threshold),
        ):
            count = np.bincount(video, weights=right)
            share = count / sizes
            drawn = weight @ count / (weight @ sizes)
            halves.append(_part(drawn, share, len(sizes), level))
        first, second = halves
        return _Part(
            (first.drawn + second.drawn) / 2,
            (first.open + second.open) / 2,
            first.alike and second.alike,
        )

    def auc(self, real_weight: NDArray, fake_weight: NDArray, level: float) -> _Part:
        """As :meth:`bosc`."""
        # wins[r, f]: how often a frame of fake video f scores above one of real video r. A
        # resample only reweights the videos, so its AUC is a bilinear form of this matrix.
        wins = _wins(
            self.score[~self.is_fake], self.real_video, self.score[self.is_fake], self.fake_video
        )
        share = wins / np.multiply.outer(self.real_sizes, self.fake_sizes)
        above = ((real_weight @ wins) * fake_weight).sum(axis=1)
        drawn = above / ((real_weight @ self.real_sizes) * (fake_weight @ self.fake_sizes))
        return _part(drawn, share, min(wins.shape), level)


def _part(
    drawn: NDArray[np.float64], share: NDArray[np.float64], trials: int, level: float
) -> _Part:
    alike = bool((share == share.flat[0]).all())
    value = share.flat[0]
    bounds = _bound(value, trials, level) if alike else (value, value)
    return _Part(drawn, np.subtract(bounds, value), alike)


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


def _weights(
    names: list[NDArray], draws: int, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Names of each set's videos -> for each set (draws, videos), how often a draw takes each.

    Videos that are in the same sets are resampled among each other, so that every set keeps its
    number of videos in every draw.
    """
    place, every = pd.factorize(np.concatenate(names))
    places = np.split(place, np.cumsum([len(found) for found in names])[:-1])
    held = np.zeros((len(every), len(names)), dtype=bool)
    for number, found in enumerate(places):
        held[found, number] = True
    stratum = np.unique(held, axis=0, return_inverse=True)[1].reshape(-1)
    weight = np.empty((draws, len(every)))
    for number in range(stratum.max() + 1):
        inside = stratum == number
        weight[:, inside] = _draw(int(inside.sum()), draws, rng)
    return [weight[:, found] for found in places]


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


def _bound(value: float, trials: int, level: float) -> tuple[float, float]:
    """What the mean can be of something in [0, 1] that had this ``value`` in every trial."""
    share = (1 - level) ** (1 / trials)
    return float(value * share), float(1 - (1 - value) * share)
