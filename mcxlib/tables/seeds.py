"""How far another training moves a number: the rows' numbers of each seed, side by side.

Three seeds of every row take longer than a first look should, so `make` trains one. What the last
`make full` found stays with the book, with the day and the commit, until the next.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mcxlib import paper
from mcxlib.files import replacing
from mcxlib.tables.compare import closed_set, cross_dataset
from mcxlib.tables.stored import DATASETS, FACEFORENSICS, Run, find_runs

COLUMNS = ["table", "label", "test_set", "seed", "bosc", "auc", "source", "run_id", "made"]
"""BOSC in percent; ``made`` says when and by which commit the runs were trained."""

FILE = "full_seeds.csv"

NONE = "–"

AVERAGE = "closed set"
"""What Table 1's average is called here."""

NOTHING = "No row was trained with more than one seed; `make full` does that."


def by_seed(runs_dir: Path | str) -> pd.DataFrame:
    """A row a detector, test set (the closed set's average and Table 3's) and seed, of detectors
    that were trained with at least two. Runs with settings of their own are left out.

    Returns:
        :data:`COLUMNS`, in the order of the tables.

    Raises:
        ValueError: as :func:`mcxlib.tables.closed_set`.
    """
    found = [run for run in find_runs(runs_dir) if not run.variant]
    parts = []
    for seed in sorted({run.seed for run in found}):
        runs = {run.key: run for run in found if run.seed == seed}
        closed = closed_set(runs_dir, draws=0, seed=seed)
        closed = closed[closed["test_set"] == "Average"].assign(test_set=AVERAGE)
        both = pd.concat([closed, cross_dataset(runs_dir, draws=0, seed=seed)])
        both = both[(both["seeds"] > 0) & (both["variant"] == "") & both["auc_measured"].notna()]
        both = both.rename(columns={"bosc_measured": "bosc", "auc_measured": "auc"})
        # The paper spells a row differently in each table.
        both["label"] = both["label"].map(paper.row_key)
        run_of = [runs[label] for label in both["label"]]
        about = {"run_id": [run.run_id for run in run_of], "made": list(map(_made, run_of))}
        parts.append(both.assign(seed=seed, **about))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    several = table.groupby(["label", "test_set"])["seed"].transform("nunique") > 1
    table = table.loc[several, COLUMNS].astype({"seed": int, "bosc": float, "auc": float})
    place = table.groupby("label", sort=False).ngroup()
    order = table.assign(place=place).sort_values(["table", "place", "seed"], kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _made(run: Run) -> str:
    record = run.folder.read_provenance() or {}
    day, commit = str(record.get("finished", ""))[:10], str(record.get("commit", ""))[:7]
    return f"{day or 'a day not known'}, commit {commit or 'not known'}"


def keep(table: pd.DataFrame, folder: Path) -> None:
    """Write :func:`by_seed` beside the book; nothing is written of an empty one."""
    if len(table):
        with replacing(folder / FILE) as temporary:
            table.round({"bosc": 2, "auc": 4}).to_csv(
                temporary, index=False, lineterminator="\n", encoding="utf-8"
            )


def at_hand(runs_dir: Path | str, kept: Path | None = None) -> tuple[pd.DataFrame, bool]:
    """:func:`by_seed` of what lies there, or, where there are no several seeds, what was kept.

    Returns:
        The table, and whether it is the kept one.
    """
    table = by_seed(runs_dir)
    if len(table) or kept is None or not (kept / FILE).is_file():
        return table, False
    return pd.read_csv(kept / FILE, keep_default_na=False), True


def spread(table: pd.DataFrame) -> pd.DataFrame:
    """A row a detector and test set: table, label, test_set, seeds, run_ids, and of bosc and auc
    the mean, ``_sd``, ``_least`` and ``_most`` over the seeds."""
    groups = table.groupby(["table", "label", "test_set"], sort=False)
    found = groups.agg(seeds=("seed", _joined), run_ids=("run_id", _joined))
    for name in ("bosc", "auc"):
        found[name] = groups[name].mean()
        found[f"{name}_sd"] = groups[name].std(ddof=1)
        found[f"{name}_least"], found[f"{name}_most"] = groups[name].min(), groups[name].max()
    return found.reset_index()


def _joined(values: pd.Series) -> str:
    return " ".join(map(str, values))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """To print: a row a detector, a column a test set, AUC as mean (least to most). A table in the
    book needs a row: of nothing, there is one that says so."""
    if table.empty:
        return pd.DataFrame({"AUC": ["no row"], "": [NONE]})
    found = spread(table)
    found["text"] = [
        f"{row.auc:.3f} ({row.auc_least:.3f} to {row.auc_most:.3f})" for row in found.itertuples()
    ]
    found["column"] = found["test_set"].map(paper.shown)
    wide = found.pivot_table("text", "label", "column", aggfunc="first", sort=False)
    return wide.fillna(NONE).rename_axis(columns=None).rename_axis("AUC").reset_index()


def words(table: pd.DataFrame, kept: bool) -> list[str]:
    """What seeds change, a sentence a line: how far numbers move, and who is first each time."""
    if table.empty:
        return [NOTHING]
    found = spread(table)
    width = found["auc_most"] - found["auc_least"]
    most = found.loc[width.idxmax()]
    counts = sorted(set(found["seeds"].str.split().map(len)))
    numbers = " or ".join(map(str, counts))
    said = [
        f"{found['label'].nunique()} rows were trained with {numbers} seeds each"
        + (f", in a `make full` ({_days(table)}):" if kept else ":")
        + f" between the lowest and the highest, an AUC lies {width.mean():.3f} apart on average, "
        f"and {width.max():.3f} at most ({most['label']} on "
        f"{'the closed set' if most['test_set'] == AVERAGE else paper.shown(most['test_set'])}, "
        f"{most['auc_least']:.3f} to {most['auc_most']:.3f})."
    ]
    for name, part in table.groupby("test_set", sort=False):
        whole = part.groupby("seed")["label"].nunique()
        # A seed that some rows lack would have fewer to be first among.
        seeds = whole.index[whole == whole.max()]
        firsts = part[part["seed"].isin(seeds)].groupby("seed")
        best = {seed: _first(rows_of) for seed, rows_of in firsts}
        where = "On the closed set" if name == AVERAGE else f"On {paper.shown(str(name))}"
        if len(set(best.values())) == 1:
            said.append(f"{where}, {next(iter(best.values()))} has the highest AUC in each seed.")
        else:
            each = "; ".join(f"{label} in seed {seed}" for seed, label in best.items())
            said.append(f"{where}, the highest AUC is that of another row by seed: {each}.")
    return said


def of_row(table: pd.DataFrame, label: str, kept: bool) -> str:
    """How far seeds move one row's AUC, in a sentence; "" where it has no several."""
    found = spread(table[table["label"] == label]) if len(table) else table
    if found.empty:
        return ""
    each = ", ".join(
        f"{row.auc_least:.3f} to {row.auc_most:.3f} on "
        + ("the closed set" if row.test_set == AVERAGE else paper.shown(row.test_set))
        for row in found.itertuples()
    )
    where = f" (of a `make full`, {_days(table)})" if kept else ""
    *most, last = found["seeds"].iloc[0].split()
    seeds = f"{', '.join(most)} and {last}"
    return f"Another seed moves these: over the seeds {seeds}{where}, its AUC is {each}."


def _first(part: pd.DataFrame) -> str:
    """The row with the highest AUC, or all that share it."""
    *most, last = part.loc[part["auc"] == part["auc"].max(), "label"]
    return f"{', '.join(most)} and {last}" if most else str(last)


def _days(table: pd.DataFrame) -> str:
    """The first and the last day; commits are in the file."""
    days = sorted(set(table["made"].str.partition(",")[0]))
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def numbers(table: pd.DataFrame, kept: bool) -> list[dict[str, Any]]:
    """The rows of :mod:`mcxlib.tables.results`: what seeds do to each number."""
    if table.empty:
        return []
    source = dict(zip(table["label"], table["source"], strict=True))
    made = dict(zip(table["label"], table["made"], strict=True))
    found = []
    for row in spread(table).to_dict("records"):
        closed = row["test_set"] == AVERAGE
        about = {"table": "seeds", "row": row["label"]}
        about |= {name: row[name] for name in ("seeds", "run_ids")}
        about |= {"test_set": row["test_set"], "level": "frame" if closed else "video"}
        about |= {"dataset": FACEFORENSICS if closed else DATASETS[row["test_set"]]}
        about |= {"source": source[row["label"]], "interval": "lowest and highest seed"}
        about["note"] = f"kept: measured on {made[row['label']]}" if kept else ""
        for name, unit in (("bosc", "percent"), ("auc", "share")):
            number = {"metric": name, "unit": unit, "value": row[name], "sd": row[f"{name}_sd"]}
            number |= {"low": row[f"{name}_least"], "high": row[f"{name}_most"]}
            found.append(about | number)
    return found
