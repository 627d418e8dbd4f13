"""What equally good detectors would print, computed exactly: nothing is drawn.

A BOSC is the mean of two shares of videos judged rightly, each of them binomial; what several
detectors would print follows from that distribution alone. Videos are taken to be independent, and
detectors too: those that fail on the same videos are more alike, and lead each other by less.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcxlib.evaluate.checks import fraction


class BestOf(NamedTuple):
    """How far the best of several equal detectors stands above what each of them is."""

    mean: float
    low: float
    high: float
    """Ends of the middle 95 %."""


def chances(
    bosc: float | tuple[float, float], n_real: int, n_fake: int
) -> tuple[NDArray[np.float64], int]:
    """How likely each BOSC of a detector is on n_real + n_fake independent videos.

    ``bosc`` is its true specificity and sensitivity: a pair, or one number for both. Of all ways to
    divide a BOSC between the two, one number moves most where both classes are equally many.
    Of equally many videos and one number it is one binomial; otherwise it takes time and memory by
    the product of the two counts.

    Returns:
        The chances of the BOSCs 0, 1 / steps, 2 / steps, ..., 1, and steps.

    Raises:
        ValueError: ``bosc`` outside [0, 1], or no video of a class.
    """
    rates = bosc if isinstance(bosc, tuple) else (bosc, bosc)
    for rate in rates:
        fraction("bosc", rate)
    for name, value in (("n_real", n_real), ("n_fake", n_fake)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    # Here and not above: few numbers need scipy, which takes a while to import.
    from scipy.stats import binom

    steps = 2 * math.lcm(n_real, n_fake)
    if n_real == n_fake and rates[0] == rates[1]:
        return binom.pmf(np.arange(steps + 1), steps, rates[0]), steps
    few, many = sorted(((n_real, rates[0]), (n_fake, rates[1])))
    of_many = binom.pmf(np.arange(many[0] + 1), *many)
    found = np.zeros(steps + 1)
    wide, narrow = steps // 2 // few[0], steps // 2 // many[0]
    for right, chance in enumerate(binom.pmf(np.arange(few[0] + 1), *few)):
        start = right * wide
        found[start : start + steps // 2 + 1 : narrow] += chance * of_many
    return found, steps


def best_of(detectors: int, bosc: float | tuple[float, float], n_real: int, n_fake: int) -> BestOf:
    """What choosing the best of equal detectors on the test set gains: a gain of nothing, since
    all of them are as good on other videos. Args and errors as :func:`chances`; at least one
    detector."""
    if detectors < 1:
        raise ValueError(f"detectors must be at least 1, not {detectors}")
    found, steps = chances(bosc, n_real, n_fake)
    below = np.minimum(np.cumsum(found), 1) ** detectors
    mean = float(np.arange(steps + 1) @ np.diff(below, prepend=0)) / steps
    # The slack is for a chance that is met exactly.
    low, high = (int((below < share - 1e-12).sum()) / steps for share in (0.025, 0.975))
    truth = float(np.mean(bosc))
    return BestOf(mean - truth, low - truth, high - truth)


def chance_of_lead(lead: float, detectors: int, bosc: float, n_real: int, n_fake: int) -> float:
    """How often the best of equal detectors leads the second by at least ``lead`` (a fraction).

    Two detectors: how often they are that far apart. Args and errors as :func:`chances`; at least
    two detectors.
    """
    if detectors < 2:
        raise ValueError(f"a lead needs at least 2 detectors, not {detectors}")
    if lead <= 0:
        return 1.0
    found, steps = chances(bosc, n_real, n_fake)
    missed = _below(found, _places(lead, steps))
    # One of them is best, and all others lie below it by the lead.
    return detectors * float(found @ missed ** (detectors - 1))


def lead_chance(
    detectors: int, lead: float, rate: float, n_real: int, n_fake: int, *, fixed: bool = False
) -> float:
    """The chance that the best of several detectors leads an equally good rival, chosen before, by
    ``lead`` or more.

    Every detector, the rival too, calls each video rightly with the same probability.

    Args:
        detectors: how many there are to choose from.
        lead: in BOSC, as a share (0.0006 for 0.06 percentage points).
        rate: the probability of a right call.
        n_real: real videos of the test set.
        n_fake: fake videos.
        fixed: the rival's BOSC is ``rate`` itself, and not another draw.

    Raises:
        ValueError: no detector, no video of a class, or a rate outside (0, 1).
    """
    if min(detectors, n_real, n_fake) < 1 or not 0 < rate < 1:
        raise ValueError(
            f"needed are a detector, a video of each class and a rate between 0 and 1, not "
            f"{detectors}, {n_real} real, {n_fake} fake and {rate}"
        )
    found, steps = chances(rate, n_real, n_fake)
    if fixed:
        least = math.ceil((rate + lead) * steps - 1e-6)
        return 1 - float(found[:least].sum()) ** detectors
    # A rival at place i is not led if all lie below i + lead.
    below = np.concatenate([[0.0], np.minimum(np.cumsum(found), 1)])
    reached = (np.arange(steps + 1) + _places(lead, steps)).clip(0, steps + 1)
    return float(found @ (1 - below[reached] ** detectors))


def chance_of_turning(first: float, second: float, n_real: int, n_fake: int) -> float:
    """How often other test videos put the second detector level with or above the first, if their
    true BOSCs are these. Args and errors as :func:`chances`."""
    ahead, _ = chances(first, n_real, n_fake)
    behind, _ = chances(second, n_real, n_fake)
    return float(behind @ np.minimum(np.cumsum(ahead), 1))


def _places(lead: float, steps: int) -> int:
    """The fewest steps that are at least ``lead``; the slack keeps one that is met exactly."""
    return max(math.ceil(lead * steps - 1e-6), int(lead > 0))


def _below(found: NDArray[np.float64], places: int) -> NDArray[np.float64]:
    """At each place, the chance of lying at least so many ``places`` below it."""
    sums = np.minimum(np.cumsum(found), 1)
    return np.concatenate([np.zeros(places), sums])[: len(sums)]
