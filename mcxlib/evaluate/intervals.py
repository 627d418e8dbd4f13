"""How far a number could move with other test videos: resampled videos, and exact bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mcxlib.evaluate.checks import confidence
from mcxlib.evaluate.resampling import LEAST_DRAWS, LEAST_VIDEOS, METRICS, Sample, resampled
from mcxlib.evaluate.score_intervals import scarce, score_interval

__all__ = [
    "LEAST_DRAWS",
    "LEAST_VIDEOS",
    "METRICS",
    "Interval",
    "Sample",
    "bootstrap_interval",
    "mean_interval",
    "proportion_interval",
    "video_interval",
]


class Interval(NamedTuple):
    """A confidence interval and the value it is for."""

    estimate: float
    low: float
    high: float
    kind: Literal["bootstrap", "score", "exact bound"]
    """"bootstrap" holds for many videos; "score" where few of them would have made it too narrow;
    "exact bound" for any number of them."""


def video_interval(
    samples: Sequence[Sample],
    metric: str = "bosc",
    *,
    threshold: float = 0.5,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """The interval that tables show: :func:`mean_interval`'s, and where videos are scarce at least
    :func:`mcxlib.evaluate.score_intervals.score_interval`'s.

    A bootstrap over few videos, or near perfection, is too narrow: it scatters only what it has
    seen. A score interval is never narrower than the number of videos allows, but knows nothing of
    how these scores scatter. Where :func:`mcxlib.evaluate.score_intervals.scarce` says so, each end
    is the outer one of the two. Where all videos are alike, the exact bound stands as it is.

    Args, results and errors as :func:`mean_interval`; the kind is "score" if it moved an end.
    """
    settings = {"threshold": threshold, "level": level}
    found = mean_interval(samples, metric, draws=draws, seed=seed, **settings)
    if found.kind == "exact bound" or not scarce(samples, metric, threshold=threshold):
        return found
    low, high = score_interval(samples, metric, **settings)
    if found.low <= low and high <= found.high:
        return found
    return Interval(found.estimate, min(low, found.low), max(high, found.high), "score")


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
    sets = resampled(samples, metric, threshold=threshold, level=level, draws=draws, seed=seed)
    estimate = float(np.mean([one.estimate for one in sets]))
    drawn = np.mean([one.part.drawn for one in sets], axis=0)
    tail = (1 - level) / 2
    ends = np.quantile(drawn, [tail, 1 - tail])
    ends += np.mean([one.part.open for one in sets], axis=0)
    exact = all(one.part.alike for one in sets)
    kind: Literal["bootstrap", "exact bound"] = "exact bound" if exact else "bootstrap"
    return Interval(estimate, float(ends[0]), float(ends[1]), kind)


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
