"""The paper's three tables as data, and what can be checked on them without running anything.

The numbers lie beside this file as transcribed CSV (``table1.csv`` to ``table3.csv``), and so do
the numbers and ranks that the paper's running text states (``claims.csv``). BOSC and accuracy are
in percent, AUC in [0, 1], as printed; a dash in the paper is NaN here.

Every finding below is computed from those numbers, so that a corrected digit changes the finding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd

from mcxlib import colorspace, metrics

MANIPULATIONS = ("DF", "F2F", "FS", "NT")
"""Columns of Table 1, in print order (the printed Average follows them)."""

CROSS_DATASETS = ("FakeAV", "KoDF", "Celeb-DF")
"""Columns of Table 3, in print order."""

GRID_PERCENT = 0.25
"""Step of nearly every BOSC in Table 1's proposed rows: what 200 real + 200 fake items give."""

_SPACES = {"rgb": "rgb", "hsv": "hsv", "cielab": "lab", "lab": "lab", "ycbcr": "ycbcr"}


@dataclass(frozen=True)
class Entry:
    """One row label of the paper, in this package's words."""

    label: str
    method: str
    colorspace: str


def clean_label(label: str) -> str:
    """A printed row label without its reference number: ``"DCL [44]"`` -> ``"DCL"``."""
    return re.sub(r"\s*\[\d+\]", "", label).strip()


def entry(label: str) -> Entry:
    """What a printed row label means: ``"MCX-API(RGB+CIELab)"`` -> mcx-api on rgb+lab.

    The printed order of the spaces is kept. ``"LAB"``, which the last row of Tables 1 and 3 says
    in place of CIELab, is the same space. Methods that this package does not hold keep their own
    name in lower case and have no colour space ("").

    Raises:
        ValueError: an MCX-API label whose colour spaces are unknown.
    """
    label = clean_label(label)
    if found := re.fullmatch(r"MCX-API\((.+)\)", label):
        names = [name.strip() for name in found[1].split("+")]
        unknown = [name for name in names if name.lower() not in _SPACES]
        if unknown:
            raise ValueError(
                f"unknown colour space {', '.join(map(repr, unknown))} in the row label {label!r}; "
                f"the paper uses {', '.join(map(colorspace.label, colorspace.SPACES))}"
            )
        spec = "+".join(_SPACES[name.lower()] for name in names)
        return Entry(label, "mcx-api", spec)
    if label.startswith("API-Net"):
        return Entry(label, "api-net", "rgb")
    if label == "Xception":
        return Entry(label, "xception", "rgb")
    return Entry(label, label.lower(), "")


def printed_label(method: str, spec: str) -> str:
    """The paper's label for a run: ``("mcx-api", "rgb+lab")`` -> ``"MCX-API(RGB+CIELab)"``."""
    if method == "mcx-api":
        return f"MCX-API({colorspace.label(spec)})"
    if method == "api-net":
        return "API-Net"
    return "Xception" if method == "xception" else method


@cache
def _read(name: str, text: bool = False) -> pd.DataFrame:
    """A CSV beside this file; callers must not change it. ``text`` keeps digits as printed."""
    # Section numbers are text even where they look like numbers.
    kinds = str if text else {"section": str}
    with resources.files(__package__).joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=kinds)


def _table(name: str) -> pd.DataFrame:
    table = _read(name)
    entries = [entry(label) for label in table["method"]]
    table = table.rename(columns={"bosc_percent": "bosc", "acc_percent": "acc"})
    table.insert(0, "label", [item.label for item in entries])
    table["method"] = [item.method for item in entries]
    table.insert(2, "colorspace", [item.colorspace for item in entries])
    texts = _read(name, text=True).fillna("-").iloc[:, -2:]
    table["printed"] = texts.agg("/".join, axis=1).replace("-/-", "-")
    return table


def table1() -> pd.DataFrame:
    """Table 1, closed set, one row a cell.

    Columns: label, method, colorspace, origin ("quoted", "authors' run", which is the paper's
    asterisk, or "proposed"), test_set (DF, F2F, FS, NT or Average), bosc (frame-level, percent),
    auc, printed (the cell as the paper prints it, "98.75/0.9996").
    """
    return _table("table1.csv")


def table2() -> pd.DataFrame:
    """Table 2, one row a method: label, method, colorspace, acc (percent), auc, printed.

    The column ``acc`` mixes two measures: the rows of API-Net and MCX-API are the *BOSC* averages
    of Table 1, the quoted rows are plain accuracies.
    """
    return _table("table2.csv")


def table3() -> pd.DataFrame:
    """Table 3, cross-dataset, video level: columns as in :func:`table1`."""
    return _table("table3.csv")


def averages() -> pd.DataFrame:
    """Table 1's printed averages against the mean of the four printed cells.

    Columns: label, metric, printed, mean, difference, agrees. A printed average agrees when it is
    within one unit of the last printed digit: half for its own rounding, half for its cells'.
    """
    table = table1()
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
    table = table1().query("origin == 'proposed' and test_set != 'Average'")
    nearest = (table["bosc"] / step).round() * step
    table = table.assign(nearest=nearest, difference=table["bosc"] - nearest)
    off = table[table["difference"].abs() > 1e-9]
    return off[["label", "test_set", "bosc", "nearest", "difference"]].reset_index(drop=True)


def text_claims() -> pd.DataFrame:
    """Numbers and ranks stated in the running text, against the tables.

    Columns: section, claim, table, label, test_set, metric, stated, printed (the table's cell, NaN
    if the table has no such row), rank_claimed, rank (1 is the best of the column; ties share the
    better rank), leader (the label of the column's best), finding ("agrees", "number differs",
    "no such row", "rank differs" or the last with the first two).
    """
    # Pandas reads an empty rank as NaN, hence float; nullable integers print as they are meant.
    claims = _read("claims.csv").astype({"rank_claimed": "Int64"})
    claims = claims.rename(columns={"method": "label"})
    sources = {1: table1(), 2: table2().assign(test_set="overall"), 3: table3()}
    printed, ranks, leaders, findings = [], [], [], []
    for claim in claims.itertuples():
        column = sources[claim.table].query("test_set == @claim.test_set")
        values = column.set_index("label")[claim.metric].dropna()
        leaders.append(values.idxmax())
        found = []
        if claim.label not in values.index:
            printed.append(np.nan)
            ranks.append(pd.NA)
            found.append("no such row")
        else:
            value = values[claim.label]
            printed.append(value)
            ranks.append(int((values > value).sum()) + 1)
            if not np.isnan(claim.stated) and abs(claim.stated - value) > 1e-9:
                found.append("number differs")
            if claim.rank_claimed is not pd.NA and ranks[-1] != claim.rank_claimed:
                found.append("rank differs")
        findings.append(", ".join(found) or "agrees")
    claims.insert(claims.columns.get_loc("stated") + 1, "printed", printed)
    return claims.assign(rank=pd.array(ranks, dtype="Int64"), leader=leaders, finding=findings)


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
    source = table1() if table == 1 else table3()
    # The digits as printed say how far each number was rounded.
    printed = _read(f"table{table}.csv", text=True)
    source["bosc_step"] = printed["bosc_percent"].map(_step) / 100
    source["auc_step"] = printed["auc"].map(_step)
    source = source.query("test_set != 'Average'").dropna(subset=["bosc", "auc"])
    rows = []
    for row in source.itertuples():
        bosc = row.bosc / 100
        possible, concave = (
            metrics.bosc_auc_feasible(
                bosc, row.auc, bosc_step=row.bosc_step, auc_step=row.auc_step, concave=shape
            )
            for shape in (False, True)
        )
        bounds = metrics.auc_bounds(bosc)
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
