"""What can be checked on the paper's tables and text without running anything.

Every finding is computed from the transcribed numbers (the tables, and ``claims.csv`` for what the
running text states), so that a corrected digit changes the finding.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mcxlib.evaluate.bounds import auc_bounds, bosc_auc_feasible
from mcxlib.paper import tables
from mcxlib.paper.tables import MANIPULATIONS

GRID_PERCENT = 0.25
"""Step of nearly every BOSC in Table 1's proposed rows: what 200 real + 200 fake items give."""


_CELL = (
    *("id", "section", "claim", "table", "method", "test_set", "metric"),
    *("stated", "rank_claimed"),
)
"""Columns of ``claims.csv`` that say which cell a claim is about, and what it says of it."""


def averages() -> pd.DataFrame:
    """Table 1's printed averages against the mean of the four printed cells.

    Columns: label, metric, printed, mean, difference, agrees. A printed average agrees when it is
    within one unit of the last printed digit: half for its own rounding, half for its cells'.
    """
    table = tables.table1()
    rows = []
    for metric, unit in (("bosc", 0.01), ("auc", 0.0001)):
        wide = table.pivot(index="label", columns="test_set", values=metric)
        for label in table["label"].unique():
            printed = wide.loc[label, "Average"]
            if np.isnan(printed):
                continue
            mean = wide.loc[label, list(MANIPULATIONS)].mean()
            gap = printed - mean
            rows.append((label, metric, printed, mean, gap, bool(abs(gap) <= unit + 1e-9)))
    return pd.DataFrame(
        rows, columns=["label", "metric", "printed", "mean", "difference", "agrees"]
    )


def off_grid(step: float = GRID_PERCENT) -> pd.DataFrame:
    """Cells of Table 1's proposed rows whose BOSC is no multiple of ``step`` percent.

    Averages are left out: a mean of four multiples of 0.25 need not be one. Columns: label,
    test_set, bosc, nearest (the closest multiple), difference.
    """
    table = tables.table1().query("origin == 'proposed' and test_set != 'Average'")
    nearest = (table["bosc"] / step).round() * step
    table = table.assign(nearest=nearest, difference=table["bosc"] - nearest)
    off = table[table["difference"].abs() > 1e-9]
    return off[["label", "test_set", "bosc", "nearest", "difference"]].reset_index(drop=True)


def text_claims() -> pd.DataFrame:
    """Numbers and ranks stated in the running text, against the tables.

    Of ``claims.csv`` the rows that name a cell; the others are sentences (:mod:`.statements`).

    Columns: id, section, claim, table, label, test_set, metric, stated, printed (the table's cell,
    NaN if the table has no such row), rank_claimed, rank (1 is the best of the column; ties share
    the better rank), level (labels of other rows with the same number), leader and best (label
    and number of the column's best), finding ("agrees", "number
    differs", "no such row", "rank differs" or the last with the first two).
    """
    # Pandas reads an empty rank as NaN, hence float; nullable integers print as they are meant.
    claims = tables.read("claims.csv").dropna(subset="table")
    claims = claims.astype({"table": int, "rank_claimed": "Int64"})[list(_CELL)]
    claims = claims.rename(columns={"method": "label"}).reset_index(drop=True)
    keys = [tables.row_key(label) for label in claims["label"]]
    sources = {
        1: tables.table1(),
        2: tables.table2().assign(test_set="overall"),
        3: tables.table3(),
    }
    printed, ranks, level, leaders, best, findings = [], [], [], [], [], []
    for key, claim in zip(keys, claims.itertuples(), strict=True):
        column = sources[claim.table].query("test_set == @claim.test_set").set_index("key")
        values = column[claim.metric].dropna()
        leaders.append(column.loc[values.idxmax(), "label"])
        best.append(values.max())
        level.append("")
        found = []
        if key not in values.index:
            printed.append(np.nan)
            ranks.append(pd.NA)
            found.append("no such row")
        else:
            value = values[key]
            printed.append(value)
            alike = values.index[values == value].drop(key)
            level[-1] = " and ".join(column.loc[alike, "label"])
            ranks.append(int((values > value).sum()) + 1)
            if not np.isnan(claim.stated) and abs(claim.stated - value) > 1e-9:
                found.append("number differs")
            if claim.rank_claimed is not pd.NA and ranks[-1] != claim.rank_claimed:
                found.append("rank differs")
        findings.append(", ".join(found) or "agrees")
    claims.insert(claims.columns.get_loc("stated") + 1, "printed", printed)
    places = {"rank": pd.array(ranks, dtype="Int64"), "level": level}
    return claims.assign(**places, leader=leaders, best=best, finding=findings)


def contradictions() -> pd.DataFrame:
    """The rows of :func:`text_claims` where text and table disagree."""
    claims = text_claims()
    return claims[claims["finding"] != "agrees"].reset_index(drop=True)


def pair_bounds(table: int = 3) -> pd.DataFrame:
    """Every printed (BOSC, AUC) pair of Table 1 or 3 against the bounds that tie the two.

    A BOSC of b means a point (FPR f, TPR t) of the ROC with t - f = 2b - 1. Both tests below give
    each number its printed rounding, so a failure is no matter of the last digit:

    - ``possible``: some ROC has both, that is 2b - 1 <= AUC <= 2b (inside [0, 1]).
    - ``concave``: a *concave* ROC has both, that is AUC >= b and b >= 1/2. A pair that fails only
      this test is possible, but its ROC has a dent: deciding the other way in some range of
      scores would do better, or the two numbers come from different scores.

    Columns: label, origin, test_set, bosc (percent), auc, min_auc, max_auc, possible, concave.

    Raises:
        ValueError: for a table without such pairs.
    """
    if table not in (1, 3):
        raise ValueError(f"table {table!r} holds no (BOSC, AUC) pairs; valid: 1, 3")
    source = tables.table1() if table == 1 else tables.table3()
    # The digits as printed say how far each number was rounded.
    printed = tables.read(f"table{table}.csv", text=True)
    source["bosc_step"] = printed["bosc_percent"].map(_step) / 100
    source["auc_step"] = printed["auc"].map(_step)
    source = source.query("test_set != 'Average'").dropna(subset=["bosc", "auc"])
    rows = []
    for row in source.itertuples():
        bosc = row.bosc / 100
        possible, concave = (
            bosc_auc_feasible(
                bosc, row.auc, bosc_step=row.bosc_step, auc_step=row.auc_step, concave=shape
            )
            for shape in (False, True)
        )
        bounds = auc_bounds(bosc)
        rows.append(
            (row.label, row.origin, row.test_set, row.bosc, row.auc, *bounds, possible, concave)
        )
    columns = ["label", "origin", "test_set", "bosc", "auc"]
    return pd.DataFrame(rows, columns=[*columns, "min_auc", "max_auc", "possible", "concave"])


def _step(printed: object) -> float:
    """The unit of the last printed digit: "95.0" -> 0.1; NaN for an empty cell."""
    if not isinstance(printed, str):
        return float("nan")
    return 10.0 ** -len(printed.partition(".")[2])


def dented_pairs(table: int = 3) -> pd.DataFrame:
    """The rows of :func:`pair_bounds` that no concave ROC can give."""
    bounds = pair_bounds(table)
    return bounds[~bounds["concave"]].reset_index(drop=True)
