"""Score intervals: how far a number could move at least, judged by how many videos there are.

The bootstrap learns how scores scatter from the videos at hand. Of ten videos with one near miss it
learns little, and calls an AUC of 0.998 nearly certain: with ten videos of each class and a true
AUC of 0.99, its interval of 95 % holds the truth in three cases of four (tried in the tests).
A score interval asks the other way round, which true values would make the estimate surprising,
and how surprising depends on the supposed truth and the number of videos only.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from mcxlib.evaluate import metrics
from mcxlib.evaluate.checks import confidence
from mcxlib.evaluate.resampling import Sample

FEW = 5
"""Videos' worth of errors, and of right decisions, below which a bootstrap has seen too little."""

_HALVINGS = 60  # of an interval no longer than 1: to rounding


def score_interval(
    samples: Sequence[Sample], metric: str, *, threshold: float = 0.5, level: float = 0.95
) -> tuple[float, float]:
    """The score interval of the mean of a metric over several sets of scores, as if each video
    that is in any of them were one sample: frames add nothing, other scores of the same video
    neither.

    AUC: method 5 of Newcombe (2006), :func:`auc_interval`. BOSC: Wilson's (1927) intervals of
    sensitivity and specificity, joined by :func:`mean_of_two`.

    References:
        R. G. Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney
        statistic, part 2, Statistics in Medicine 25 (2006), 559-573.
        E. B. Wilson, Probable inference, the law of succession, and statistical inference, Journal
        of the American Statistical Association 22 (1927), 209-212.

    Args:
        samples, threshold, level: as of :func:`mcxlib.evaluate.mean_interval`.
        metric: ``"bosc"`` or ``"auc"``.

    Returns:
        The two ends, in [0, 1].

    Raises:
        ValueError: as :func:`mcxlib.evaluate.bosc`; for a level outside (0, 1).
    """
    confidence(level)
    real, fake = _videos(samples)
    if metric == "auc":
        estimate = np.mean([metrics.auc(one.is_fake, one.fake_score) for one in samples])
        return auc_interval(float(estimate), real, fake, level)
    right = _right(samples, threshold)
    return mean_of_two(right[0], real, right[1], fake, level)


def scarce(samples: Sequence[Sample], metric: str, *, threshold: float = 0.5) -> bool:
    """Whether there are too few videos for the bootstrap alone: fewer than :data:`FEW` videos'
    worth of errors, or of right decisions. Of BOSC in one of the classes; of AUC, whose errors are
    pairs in the wrong order, counted in as many independent pairs as the smaller class has videos.

    It is the rule of thumb for a normal approximation of a binomial share. Beyond it frames tell
    more than their number of videos, and the bootstrap knows how much.

    Args and errors as :func:`score_interval`.
    """
    counts = _videos(samples)
    if metric == "auc":
        shares = [float(np.mean([metrics.auc(one.is_fake, one.fake_score) for one in samples]))]
        counts = (min(counts),)
    else:
        shares = _right(samples, threshold)
    # The slack is for means: a tenth of 50 videos is not 5 exactly.
    return any(
        n * min(share, 1 - share) < FEW - 1e-9 for share, n in zip(shares, counts, strict=True)
    )


def auc_interval(auc: float, n_real: int, n_fake: int, level: float = 0.95) -> tuple[float, float]:
    """True AUCs from which ``auc`` lies at most z standard deviations away.

    The variance under a true AUC t is that of Hanley and McNeil (1982) for exponential scores, made
    the same for both classes by n = (n_real + n_fake) / 2 (Newcombe's method 5):
    t (1 - t) (1 + (n - 1) (1 - t) / (2 - t) + (n - 1) t / (1 + t)) / (n_real n_fake).

    Args:
        auc: in [0, 1].
        n_real, n_fake: videos.
        level: in (0, 1).
    """
    z, n = NormalDist().inv_cdf((1 + level) / 2), (n_real + n_fake) / 2

    def near(t: float) -> bool:
        variance = t * (1 - t) * (1 + (n - 1) * ((1 - t) / (2 - t) + t / (1 + t)))
        return (auc - t) ** 2 <= z**2 * variance / (n_real * n_fake)

    ends = []
    for far in (0.0, 1.0):
        inside = auc
        for _ in range(_HALVINGS):
            middle = (inside + far) / 2
            inside, far = (middle, far) if near(middle) else (inside, middle)
        ends.append(inside)
    return ends[0], ends[1]


def wilson(share: float, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share of ``trials``, which may be of frames and so between two
    numbers of whole videos."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = share + z**2 / (2 * trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    return float((middle - half) / scale), float((middle + half) / scale)


def mean_of_two(
    first: float, n_first: int, second: float, n_second: int, level: float = 0.95
) -> tuple[float, float]:
    """The interval of the mean of two independent shares from Wilson's of each.

    The distances to each share's end are added as variances are, which Newcombe did for a
    difference (1998) and Zou and Donner (2008) for any sum.

    References:
        R. G. Newcombe, Interval estimation for the difference between independent proportions,
        Statistics in Medicine 17 (1998), 873-890.
        G. Y. Zou, A. Donner, Construction of confidence limits about effect measures, Statistics
        in Medicine 27 (2008), 1693-1702.
    """
    one, two = wilson(first, n_first, level), wilson(second, n_second, level)
    mean = (first + second) / 2
    low = mean - np.hypot(first - one[0], second - two[0]) / 2
    high = mean + np.hypot(one[1] - first, two[1] - second) / 2
    return max(0.0, float(low)), min(1.0, float(high))


def _videos(samples: Sequence[Sample]) -> tuple[int, ...]:
    """How many real and how many fake videos are in any of them."""
    return tuple(
        len(set().union(*(np.asarray(one.video)[_fakes(one) == kind] for one in samples)))
        for kind in (False, True)
    )


def _right(samples: Sequence[Sample], threshold: float) -> list[float]:
    """Specificity and sensitivity, means over the sets."""
    return [
        float(np.mean([share(one.is_fake, one.fake_score, threshold) for one in samples]))
        for share in (metrics.specificity, metrics.sensitivity)
    ]


def _fakes(one: Sample) -> np.ndarray:
    return np.asarray(one.is_fake, dtype=bool)
