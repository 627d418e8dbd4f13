"""What a change costs: the difference of a metric, before and after, over the same videos."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mcxlib.evaluate import metrics
from mcxlib.evaluate.intervals import (
    Interval,
    Sample,
    _check_settings,
    _Videos,
    _weights,
    _wins,
)


def drop_interval(
    before: Sequence[Sample],
    after: Sequence[Sample],
    metric: str = "auc",
    *,
    threshold: float = 0.5,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """How much lower a metric is after a change, with an interval by bootstrap over videos.

    Each draw takes a video equally often before and after, so that what makes a video hard both
    times cancels. The metric is the mean over several sets of scores, as in
    :func:`mcxlib.evaluate.mean_interval`.

    Where all videos of a set (all pairs of a real and a fake one, for AUC) lose the same, every
    resample gives that loss again, and the bootstrap would call it certain. There the share of
    videos that lose just that is at least (1 - level) ** (1 / n), as in
    :func:`mcxlib.evaluate.bootstrap_interval`, and the others may lose or win anything: two perfect
    scores of few videos are no certain zero.

    Args:
        before: sets of scores, such as one a manipulation.
        after: the same sets after the change, of the same videos.
        metric: ``"bosc"`` or ``"auc"``.
        threshold: of BOSC.
        level: of confidence, in (0, 1).
        draws: number of resamples.
        seed: of the draws.

    Returns:
        before - after, positive for a loss; "exact bound" if no resample differs.

    Raises:
        ValueError: as :func:`mcxlib.evaluate.mean_interval`; for another number of sets, or sets of
            other videos, before and after.
    """
    _check_settings(metric, level, draws)
    if not before or len(before) != len(after):
        raise ValueError(f"{len(before)} sets of scores before and {len(after)} after")
    sets = [_Videos(*sample, threshold) for sample in (*before, *after)]
    half = len(before)
    pairs = list(zip(sets[:half], sets[half:], strict=True))
    for one, other in pairs:
        if {*one.real_names, *one.fake_names} != {*other.real_names, *other.fake_names}:
            raise ValueError("the videos before and after the change are not the same")
    rng = np.random.default_rng(seed)
    real = _weights([one.real_names for one in sets], draws, rng)
    fake = _weights([one.fake_names for one in sets], draws, rng)
    drawn = [
        getattr(one, metric)(real_weight, fake_weight, level).drawn
        for one, real_weight, fake_weight in zip(sets, real, fake, strict=True)
    ]
    function = metrics.auc if metric == "auc" else partial(metrics.bosc, threshold=threshold)
    values = [function(one.is_fake, one.score) for one in sets]
    lost = np.mean(drawn[:half], axis=0) - np.mean(drawn[half:], axis=0)
    gaps = [_auc_gaps(*pair) if metric == "auc" else _bosc_gaps(*pair) for pair in pairs]
    left_open = np.mean([_left_open(of_set, level) for of_set in gaps], axis=0)
    tail = (1 - level) / 2
    low, high = np.quantile(lost, [tail, 1 - tail]) + left_open
    exact = all(_alike(gap) for of_set in gaps for gap, _ in of_set)
    kind: Literal["bootstrap", "exact bound"] = "exact bound" if exact else "bootstrap"
    estimate = float(np.mean(values[:half]) - np.mean(values[half:]))
    return Interval(estimate, float(low), float(high), kind)


Gaps = list[tuple[NDArray[np.float64], int]]
"""What videos, or pairs of them, lose; and how many of them are independent. The metric's loss is
the mean over the entries."""


def _auc_gaps(before: _Videos, after: _Videos) -> Gaps:
    shares = []
    for one in (before, after):
        real, fake = one.score[~one.is_fake], one.score[one.is_fake]
        wins = _wins(real, one.real_video, fake, one.fake_video)
        share = wins / np.multiply.outer(one.real_sizes, one.fake_sizes)
        shares.append(share[np.ix_(np.argsort(one.real_names), np.argsort(one.fake_names))])
    return [(shares[0] - shares[1], min(shares[0].shape))]


def _bosc_gaps(before: _Videos, after: _Videos) -> Gaps:
    found = []
    for fake in (False, True):
        shares = []
        for one in (before, after):
            video, sizes, names = (
                (one.fake_video, one.fake_sizes, one.fake_names)
                if fake
                else (one.real_video, one.real_sizes, one.real_names)
            )
            called_fake = one.score[one.is_fake == fake] > one.threshold
            share = np.bincount(video, weights=called_fake == fake) / sizes
            shares.append(share[np.argsort(names)])
        found.append((shares[0] - shares[1], len(shares[0])))
    return found


def _alike(gap: NDArray[np.float64]) -> bool:
    return bool((gap == gap.flat[0]).all())


def _left_open(gaps: Gaps, level: float) -> NDArray[np.float64]:
    """(2,): what is added at either end for videos that all lose the same."""
    added = np.zeros(2)
    for gap, trials in gaps:
        if _alike(gap):
            others = 1 - (1 - level) ** (1 / trials)
            added += others * (np.array([-1.0, 1.0]) - gap.flat[0]) / len(gaps)
    return added
