"""What the paper says of its results, claim by claim, and what its own printed tables say to each.

``claims.csv`` holds the claims of the abstract and of sections 4.2, 5 and 6: their place, their
words in short, and by which function each is looked up. A claim about one cell of a table is
compared with that cell (:func:`mcxlib.paper.text_claims`); one about several has a function here.
Nothing in this module was measured by this project.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mcxlib.method import colorspace
from mcxlib.paper import audit, digits, survival, tables
from mcxlib.paper.tables import CROSS_DATASETS, MANIPULATIONS

AGREES = "agrees"
CONTRADICTED = "contradicted"
NOT_IN_TABLES = "not in the tables"


class Number(NamedTuple):
    """One of the numbers that a verdict rests on."""

    what: str
    """Such as "bosc", or words."""
    value: float
    low: float = float("nan")
    high: float = float("nan")
    """The 95 % interval, or what it can be otherwise; NaN for none."""
    unit: str = "share"
    of: str = ""
    """The row, network or class that it is of."""
    on: str = ""
    """The test set, where there are several."""


class Finding(NamedTuple):
    """A verdict, and the numbers it rests on: in one sentence, and one by one."""

    verdict: str
    said: str
    numbers: tuple[Number, ...] = ()


def claims() -> pd.DataFrame:
    """All claims in the paper's order, one a row.

    Columns: id, section, claim (in short), printed (what the paper's tables have to do with it: a
    :class:`Finding`), measured (the name of what is measured here, "" for nothing), label,
    test_set, metric and rank_claimed (of a claim about one cell), tests (what would test it).
    """
    table = tables.read("claims.csv")
    cells = {row["id"]: row for row in audit.text_claims().to_dict("records")}
    printed = [
        _of_cell(cells[row.id]) if row.id in cells else _of_sentence(row.printed)
        for row in table.itertuples()
    ]
    found = table.rename(columns={"method": "label"}).assign(printed=printed)
    texts = ["measured", "label", "test_set", "metric"]
    found[texts] = found[texts].fillna("")
    columns = ["id", "section", "claim", "printed", *texts, "rank_claimed", "tests"]
    return found[columns].astype({"rank_claimed": "Int64"})


def _of_cell(claim: dict[str, Any]) -> Finding:
    """What the cell that a claim is about says."""
    digit = 4 if claim["metric"] == "auc" and claim["table"] != 3 else 2
    unit = "" if claim["metric"] == "auc" else " %"
    where, leader = f"Table {claim['table']}", claim["leader"]
    number = f"{claim['printed']:.{digit}f}{unit}"
    if np.isnan(claim["printed"]):
        above = f"prints no more than {claim['best']:.{digit}f}{unit}, of {leader}"
        return Finding(CONTRADICTED, f"{where} has no such row, and in that column {above}")
    said = f"{where} prints {number}"
    if not np.isnan(claim["stated"]) and claim["stated"] != claim["printed"]:
        said += f", not {claim['stated']:.{digit}f}{unit}"
    if not pd.isna(claim["rank_claimed"]):
        said += f"; rank {claim['rank']} of its column"
        said += f", behind {leader}" if claim["rank"] == 2 else ""
        said += (
            f", level with {claim['level']}" if claim["level"] and claim["metric"] == "bosc" else ""
        )
        if claim["metric"] == "auc":
            sure = survival.auc_chance(claim["table"], claim["test_set"], claim["label"])
            said += f"; {sure}" if sure else ""
    return Finding(AGREES if claim["finding"] == "agrees" else CONTRADICTED, said)


def _of_sentence(name: object) -> Finding:
    if not isinstance(name, str):
        return Finding(NOT_IN_TABLES, "The tables do not speak of it")
    return CHECKS[name]()


def one_row_on_all_sets() -> Finding:
    """Is one proposed row ahead of all others on the mean of Table 3?"""
    found = digits.means()
    own = found[found["origin"] == "proposed"].iloc[0]
    other = found[found["origin"] != "proposed"].iloc[0]
    ahead = own["mean"] > other["mean"]
    return Finding(
        AGREES if ahead else CONTRADICTED,
        f"Mean BOSC over the three sets of Table 3: {other['label']} {other['mean']:.1f} %, the "
        f"best of the proposed rows, {own['label']}, {own['mean']:.1f} %",
    )


def columns_led() -> Finding:
    """Is one proposed row ahead of all others in most columns of Table 3?"""
    best = digits.headline()
    led = best[best["lead"] > 0]
    table = tables.table3()
    wide = table[table["origin"] == "proposed"].pivot(
        index="label", columns="test_set", values="bosc"
    )
    most = int((wide.gt(best.set_index("test_set")["other_bosc"])).sum(axis=1).max())
    each = ", ".join(f"{row.test_set} ({row.label}, by {row.lead:g})" for row in led.itertuples())
    return Finding(
        AGREES if 2 * most > len(best) else CONTRADICTED,
        f"The best of {best['rows'].iloc[0]} proposed rows leads in {len(led)} of {len(best)} "
        f"columns of Table 3, each time another: {each} points; no single row leads in more than "
        f"{most}",
    )


def three_channels() -> Finding:
    """Is there another closed-set row of three channels to compare RGB with?"""
    closed = _proposed(tables.table1(), 1)
    unseen = digits.means().set_index("label")["mean"]
    each = ", ".join(f"{name} {unseen[name]:.2f} %" for name in _proposed(tables.table3(), 1))
    return Finding(
        NOT_IN_TABLES,
        f"Table 1 has {len(closed)} row of three channels. Means over Table 3's unseen sets: "
        f"{each}",
    )


def ahead_in_table_2() -> Finding:
    """Is the proposed row of Table 2 ahead in both columns?"""
    table = tables.table2()
    own = table[table["method"] == "mcx-api"].iloc[0]
    others = table[~table["method"].isin(["mcx-api", "api-net"])]
    ahead = own["acc"] > others["acc"].max() and own["auc"] > others["auc"].max()
    return Finding(
        AGREES if ahead else CONTRADICTED,
        f"Ahead by {own['acc'] - others['acc'].max():.2f} points and by "
        f"{own['auc'] - others['auc'].max():.4f} AUC; but its first number is a BOSC, and those "
        "of the quoted rows are accuracies",
    )


def pairs_in_table_1() -> Finding:
    """Is the proposed row on RGB ahead of the same backbone without pairs?"""
    mean = _averages()
    ahead = mean["MCX-API(RGB)"] > mean["Xception"]
    return Finding(
        AGREES if ahead else CONTRADICTED,
        f"MCX-API(RGB) {mean['MCX-API(RGB)']:.2f} %, its backbone without pairs (Xception) "
        f"{mean['Xception']:.2f} %; API-Net, which learns by pairs too, on another backbone, "
        f"{mean['API-Net(ResNet101)']:.2f} %",
    )


def nt_is_lowest() -> Finding:
    """Is NT the lowest column of the proposed rows of Table 1?"""
    table = tables.table1().query("origin == 'proposed' and test_set in @MANIPULATIONS")
    wide = table.pivot(index="label", columns="test_set", values="bosc")[list(MANIPULATIONS)]
    lowest = wide["NT"] <= wide.min(axis=1)
    row = wide.loc["MCX-API(RGB)"]
    return Finding(
        AGREES if lowest["MCX-API(RGB)"] else CONTRADICTED,
        f"NT has the lowest BOSC in {lowest.sum()} of {len(wide)} proposed rows of Table 1; "
        f"MCX-API(RGB) {row['NT']:.2f} % beside {row.drop('NT').min():.2f} % or more. Of a "
        "boundary the tables say nothing",
    )


def more_spaces() -> Finding:
    """Does any proposed row of Table 1 with more colour spaces have a higher mean BOSC?"""
    mean = _averages()
    alone = mean["MCX-API(RGB)"]
    groups = {n: mean[_proposed(tables.table1(), n)] for n in (2, 3)}
    gain = any((group > alone).any() for group in groups.values())
    each = "; ".join(f"with {n}, mean {g.mean():.2f} %" for n, g in groups.items())
    return Finding(CONTRADICTED if gain else AGREES, f"RGB alone {alone:.2f} %; {each}")


def best_differs() -> Finding:
    """Is another proposed row the best in each column of Table 3?"""
    best = digits.headline()
    own = digits.means().query("origin == 'proposed'")
    safest = own.loc[own["lowest"].idxmax()]
    each = ", ".join(f"{row.label} on {row.test_set}" for row in best.itertuples())
    return Finding(
        AGREES if best["label"].nunique() == len(CROSS_DATASETS) else CONTRADICTED,
        f"The best rows are {each}; the row whose lowest cell is highest, {safest['label']}, has "
        f"{safest['lowest']:.2f} % there",
    )


def _averages() -> pd.Series:
    """Table 1's printed mean BOSC by label."""
    return tables.table1().query("test_set == 'Average'").set_index("label")["bosc"]


def _proposed(table: pd.DataFrame, spaces: int) -> list[str]:
    """Labels of the proposed rows of so many colour spaces."""
    own = table[table["origin"] == "proposed"].drop_duplicates("label")
    counts = [len(colorspace.parse(spec)) for spec in own["colorspace"]]
    return own.loc[np.equal(counts, spaces), "label"].tolist()


CHECKS: dict[str, Callable[[], Finding]] = {
    check.__name__: check
    for check in (
        *(one_row_on_all_sets, columns_led, three_channels, ahead_in_table_2),
        *(pairs_in_table_1, nt_is_lowest, more_spaces, best_differs),
    )
}
"""The functions that ``claims.csv`` names in its column ``printed``."""
