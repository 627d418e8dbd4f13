"""What equally good detectors would print: BOSCs drawn as counts of videos judged rightly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcxlib.evaluate.checks import fraction

DRAWS = 20_000
"""A share of one in twenty is then known to about 0.15 points."""


class BestOf(NamedTuple):
    """How far the best of several equal detectors stands above what each of them is."""

    mean: float
    low: float
    high: float
    """Ends of the middle 95 % of the draws."""


def drawn_bosc(
    bosc: float | tuple[float, float],
    n_real: int,
    n_fake: int,
    detectors: int = 1,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> NDArray[np.float64]:
    """(draws, detectors): BOSCs on as many test sets of n_real + n_fake independent videos.

    Every detector has the same true specificity and sensitivity, ``bosc`` if it is a pair, and is
    tested on videos of its own. One number is taken for both: of all ways to divide a BOSC between
    the two, this one moves most where both classes are equally many.

    Raises:
        ValueError: ``bosc`` outside [0, 1], or a number below 1.
    """
    rates = bosc if isinstance(bosc, tuple) else (bosc, bosc)
    for rate in rates:
        fraction("bosc", rate)
    for name, value in (("n_real", n_real), ("n_fake", n_fake), ("detectors", detectors)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    rng = np.random.default_rng(seed)
    real, fake = (
        rng.binomial(n, rate, (draws, detectors)) / n
        for n, rate in zip((n_real, n_fake), rates, strict=True)
    )
    return (real + fake) / 2


def best_of(
    detectors: int,
    bosc: float | tuple[float, float],
    n_real: int,
    n_fake: int,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> BestOf:
    """What choosing the best of equal detectors on the test set gains: a gain of nothing, since
    all of them are as good on other videos. Args and errors as :func:`drawn_bosc`."""
    best = drawn_bosc(bosc, n_real, n_fake, detectors, draws=draws, seed=seed).max(axis=1)
    best -= np.mean(bosc)
    low, high = np.quantile(best, [0.025, 0.975])
    return BestOf(float(best.mean()), float(low), float(high))


def chance_of_lead(
    lead: float,
    detectors: int,
    bosc: float,
    n_real: int,
    n_fake: int,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> float:
    """How often the best of equal detectors leads the second by at least ``lead`` (a fraction).

    Two detectors: how often they are that far apart. Args and errors as :func:`drawn_bosc`; at
    least two detectors.
    """
    if detectors < 2:
        raise ValueError(f"a lead needs at least 2 detectors, not {detectors}")
    drawn = drawn_bosc(bosc, n_real, n_fake, detectors, draws=draws, seed=seed)
    drawn.sort(axis=1)
    return float((drawn[:, -1] - drawn[:, -2] >= lead - 1e-12).mean())


def chance_of_turning(
    first: float, second: float, n_real: int, n_fake: int, *, draws: int = DRAWS, seed: int = 0
) -> float:
    """How often other test videos put the second detector level with or above the first, if their
    true BOSCs are these. Args and errors as :func:`drawn_bosc`."""
    ahead = drawn_bosc(first, n_real, n_fake, draws=draws, seed=seed)
    behind = drawn_bosc(second, n_real, n_fake, draws=draws, seed=seed + 1)
    return float((behind >= ahead - 1e-12).mean())
