"""Rows that take long to train: their numbers of the last `make full`, kept with the book."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mcxlib import paper
from mcxlib.files import replacing
from mcxlib.settings.matrix import FULL
from mcxlib.tables.compare import NOT_RUN
from mcxlib.tables.stored import Run

_METHOD, _STATUS = "Method", "Status"


def keep(table: pd.DataFrame, laid_out: pd.DataFrame, found: list[Run], path: Path) -> None:
    """Write the measured rows of the detectors that only `make full` trains.

    Args:
        table: one row a cell.
        laid_out: the same as :func:`mcxlib.tables.wide` lays it out.
        found: the runs behind it; each says when and by which commit it was made.
        path: a CSV file; nothing is written where no such row was measured.
    """
    runs = {run.key: run for run in found if run.method in _larger(found)}
    ran = table[(table["seeds"] > 0) & table["method"].isin(_larger(found))]
    made = {label: _made(runs, label) for label in ran["label"].unique()}
    rows = laid_out[laid_out[_METHOD].isin(list(made))].copy()
    if rows.empty:
        return
    rows[_STATUS] = [f"{made[m]}; {s}" for m, s in zip(rows[_METHOD], rows[_STATUS], strict=True)]
    columns = [_METHOD, *(c for c in rows if c.endswith(" measured")), _STATUS]
    with replacing(path) as temporary:
        rows[columns].to_csv(temporary, index=False, lineterminator="\n")


def _larger(found: list[Run]) -> set[str]:
    return {row.detector for run in found for row in FULL.get(run.preset, ())}


def _made(runs: dict[str, Run], label: str) -> str:
    record = runs[paper.row_key(label)].folder.read_provenance() or {}
    day, commit = str(record.get("finished", ""))[:10], str(record.get("commit", ""))[:7]
    return f"measured on {day or 'a day not known'}, commit {commit or 'not known'}"


def filled(laid_out: pd.DataFrame, path: Path, empty: str) -> pd.DataFrame:
    """The same table, where rows that were not run have the numbers that were kept; those that the
    paper's table does not have come at the end, with ``empty`` in its columns."""
    if not path.is_file():
        return laid_out
    stored = pd.read_csv(path, dtype=str).set_index(_METHOD)
    table = laid_out.set_index(_METHOD)
    for label, row in stored.iterrows():
        known = row[row.index.intersection(table.columns)]
        if label not in table.index:
            table.loc[label] = {column: known.get(column, empty) for column in table.columns}
        elif table.loc[label, _STATUS] == NOT_RUN:
            table.loc[label, known.index] = known
    return table.reset_index()
