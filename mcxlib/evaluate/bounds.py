"""Which AUCs and BOSCs can go together: geometry of the ROC curve, no data needed."""

from __future__ import annotations

from typing import NamedTuple

from mcxlib.evaluate.checks import fraction

_SLACK = 1e-12  # printed digits are decimal, the arithmetic is not


class Bounds(NamedTuple):
    """The smallest and largest value possible."""

    low: float
    high: float


def max_auc(fpr: float, tpr: float) -> float:
    """The largest AUC of any ROC curve through the point (false, true positive rate).

    A ROC curve never falls, so it is at most ``tpr`` up to ``fpr`` and at most 1 after it.

    Raises:
        ValueError: if a rate lies outside [0, 1].
    """
    for name, value in (("fpr", fpr), ("tpr", tpr)):
        fraction(name, value)
    return tpr * fpr + (1 - fpr)


def auc_bounds(bosc: float, *, concave: bool = False) -> Bounds:
    """Which AUCs are possible for scores with this BOSC at some threshold.

    The threshold is a point (f, t) of the ROC curve with t - f = 2 BOSC - 1. Over all such points
    the area ``t f + 1 - f`` under the highest curve is at most 2 BOSC, and the area ``t (1 - f)``
    under the lowest at least 2 BOSC - 1. So a BOSC below chance caps the AUC, and one above it
    lifts the AUC.

    Args:
        bosc: a fraction in [0, 1].
        concave: only concave ROC curves, which scores have whose likelihood ratio grows with the
            score. Such a curve lies above the lines from (0, 0) to (f, t) and on to (1, 1), so
            its AUC is at least BOSC (and at least one half).

    Raises:
        ValueError: if ``bosc`` lies outside [0, 1], or below 0.5 with ``concave``, where no
            concave ROC curve exists.
    """
    fraction("bosc", bosc)
    if concave:
        if bosc < 0.5 - _SLACK:
            raise ValueError(f"no concave ROC curve has a point with BOSC {bosc} < 0.5")
        return Bounds(max(0.5, bosc), 1.0)
    return Bounds(max(0.0, 2 * bosc - 1), min(1.0, 2 * bosc))


def bosc_auc_feasible(
    bosc: float,
    auc: float,
    *,
    bosc_step: float = 0.0,
    auc_step: float = 0.0,
    concave: bool = False,
) -> bool:
    """Whether one set of scores can have this BOSC (at some threshold) and this AUC.

    Args:
        bosc: a fraction in [0, 1], as printed.
        auc: a fraction in [0, 1], as printed.
        bosc_step: unit of the last printed digit of ``bosc`` (1e-4 for 90.87 %): the true value
            lies within half of it.
        auc_step: the same for ``auc`` (1e-2 for 0.90).
        concave: as in :func:`auc_bounds`.

    Raises:
        ValueError: if a value lies outside [0, 1] or a step is negative.
    """
    fraction("bosc", bosc)
    fraction("auc", auc)
    for name, step in (("bosc_step", bosc_step), ("auc_step", auc_step)):
        if step < 0:
            raise ValueError(f"{name} must be at least 0, not {step}")
    lowest_bosc = max(0.0, bosc - bosc_step / 2 - _SLACK)
    highest_bosc = min(1.0, bosc + bosc_step / 2 + _SLACK)
    lowest_auc = auc - auc_step / 2 - _SLACK
    highest_auc = auc + auc_step / 2 + _SLACK
    # Both bounds grow with BOSC, so the ends of its rounding interval decide.
    if concave:
        if highest_bosc < 0.5:
            return False
        return highest_auc >= auc_bounds(max(0.5, lowest_bosc), concave=True).low
    return (
        auc_bounds(lowest_bosc).low <= highest_auc and lowest_auc <= auc_bounds(highest_bosc).high
    )
