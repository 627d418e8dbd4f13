"""What a change costs: the difference of a metric, before and after, over the same videos."""

from __future__ import annotations

from collections.abc import Sequence

from mcxlib.evaluate.intervals import Interval
from mcxlib.evaluate.paired import paired_difference
from mcxlib.evaluate.resampling import Sample


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
    """How much lower a metric is after a change, with an interval by bootstrap over videos:
    :func:`mcxlib.evaluate.paired.paired_difference`, turned round, of as many sets as there are
    manipulations, say.

    Returns:
        before - after, positive for a loss; "exact bound" if no resample differs.

    Raises:
        ValueError: as :func:`mcxlib.evaluate.mean_interval`; for another number of sets, or sets of
            other videos, before and after.
    """
    if not before or len(before) != len(after):
        raise ValueError(f"{len(before)} sets of scores before and {len(after)} after")
    both = {"threshold": threshold, "level": level}
    found = paired_difference(before, after, metric, **both, draws=draws, seed=seed)
    return Interval(-found.estimate, -found.high, -found.low, found.kind)
