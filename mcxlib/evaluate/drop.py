"""What a change costs: the difference of a metric, before and after, over the same videos."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from mcxlib.evaluate import metrics
from mcxlib.evaluate.intervals import Interval, Sample, _check_settings, _Videos, _weights


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
    :func:`mcxlib.evaluate.mean_interval`, and so is the treatment of videos that are all alike:
    where every resample gives the same value, what an exact bound leaves open below it widens the
    interval of the difference, and two perfect scores of few videos are no certain zero.

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
    for one, other in zip(sets[:half], sets[half:], strict=True):
        if {*one.real_names, *one.fake_names} != {*other.real_names, *other.fake_names}:
            raise ValueError("the videos before and after the change are not the same")
    rng = np.random.default_rng(seed)
    real = _weights([one.real_names for one in sets], draws, rng)
    fake = _weights([one.fake_names for one in sets], draws, rng)
    parts = [
        getattr(one, metric)(real_weight, fake_weight, level)
        for one, real_weight, fake_weight in zip(sets, real, fake, strict=True)
    ]
    function = metrics.auc if metric == "auc" else partial(metrics.bosc, threshold=threshold)
    values = [function(one.is_fake, one.score) for one in sets]
    drawn = np.mean([part.drawn for part in parts[:half]], axis=0)
    drawn = drawn - np.mean([part.drawn for part in parts[half:]], axis=0)
    first, second = (np.mean([part.open for part in p], 0) for p in (parts[:half], parts[half:]))
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]) + (first - second[::-1])
    exact = all(part.alike for part in parts)
    kind: Literal["bootstrap", "exact bound"] = "exact bound" if exact else "bootstrap"
    estimate = float(np.mean(values[:half]) - np.mean(values[half:]))
    return Interval(estimate, float(low), float(high), kind)
