"""What the digits of Table 3 say: which row leads where, on the mean, and by how little."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mcxlib.paper import tables
from mcxlib.paper.tables import CROSS_DATASETS

KODF_TEST = {"n_real": 265, "n_fake": 734}
"""Videos of the paper's KoDF test set, drawn at random (section 4.1)."""


def headline() -> pd.DataFrame:
    """Of each column of Table 3 the best proposed row and the best of the others, by BOSC.

    Columns: test_set, label, bosc, rows (proposed rows it is the best of), other, other_bosc,
    lead (percentage points; negative where the other leads).
    """
    table = tables.table3().dropna(subset="bosc")
    rows = []
    for name in CROSS_DATASETS:
        column = table[table["test_set"] == name]
        own = column[column["origin"] == "proposed"]
        best = own.loc[own["bosc"].idxmax()]
        others = column[column["origin"] != "proposed"]
        other = others.loc[others["bosc"].idxmax()]
        rows.append(
            {"test_set": name, "label": best["label"], "bosc": best["bosc"], "rows": len(own)}
            | {"other": other["label"], "other_bosc": other["bosc"]}
            | {"lead": round(best["bosc"] - other["bosc"], 2)}
        )
    return pd.DataFrame(rows)


def means() -> pd.DataFrame:
    """Mean BOSC over the three columns of Table 3 of each row that has all, the best first.

    Columns: label, origin, mean, lowest (percent).
    """
    table = tables.table3()
    groups = table.groupby("label", sort=False)
    found = pd.DataFrame(
        {
            "origin": groups["origin"].first(),
            "mean": groups["bosc"].mean(),
            "lowest": groups["bosc"].min(),
        }
    )
    complete = groups["bosc"].count() == len(CROSS_DATASETS)
    return found[complete].sort_values("mean", ascending=False, kind="stable").reset_index()


def lead_chance(
    detectors: int, lead: float, rate: float, n_real: int, n_fake: int, *, fixed: bool = False
) -> float:
    """The chance that the best of several detectors leads an equally good one by ``lead`` or more.

    Every detector, the rival too, calls each real and each fake video rightly with the same
    probability, independently of the others and of other videos. Then a BOSC is the mean of two
    binomial shares, and the chance is a sum over all that the rival can get: exact, nothing is
    drawn. Detectors that fail on the same videos are alike, so that the best of them leads less
    often: of ones that never differ the chance is that of one.

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
    # Here and not above: no other number of the paper needs scipy, which takes a while to import.
    from scipy.stats import binom

    real, fake = np.arange(n_real + 1), np.arange(n_fake + 1)
    # In units of 1 / (2 n_real n_fake): whole numbers, so that equal values are equal.
    value = (real[:, None] * n_fake + fake[None, :] * n_real).ravel()
    chance = np.outer(binom.pmf(real, n_real, rate), binom.pmf(fake, n_fake, rate)).ravel()
    order = np.argsort(value, kind="stable")
    value, chance = value[order], chance[order]
    unit = 2 * n_real * n_fake
    below = np.concatenate([[0.0], np.cumsum(chance)])
    rivals = np.array([rate * unit]) if fixed else value
    weights = np.ones(1) if fixed else chance
    # The slack keeps a lead that is met exactly from being lost to rounding.
    missed = below[np.searchsorted(value, rivals + lead * unit - 1e-6, side="left")]
    return float((weights * (1 - np.minimum(missed, 1) ** detectors)).sum())
