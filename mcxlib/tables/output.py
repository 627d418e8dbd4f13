"""Tables as files for the book, and as plain text and HTML for notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mcxlib.files import replacing, write_parquet
from mcxlib.tables.compare import (
    MEASURED,
    NOT_RUN,
    closed_set,
    cross_dataset,
    further,
    overall,
)
from mcxlib.tables.cost import cost

NOTHING = "–"
"""What an empty cell shows."""


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """A table of this package as the paper lays it out: one row a method, texts ready to print.

    For Tables 1 and 3 two columns a test set, "DF paper" and "DF measured", each "BOSC/AUC" as in
    the paper ("98.75 / 0.9996"; the spaces let a narrow column break there), with the spread over
    seeds ("97.10±0.42 / 0.9941±0.0011") if there are several. "Status" says whether it was
    measured, on which data and with which backbone.
    """
    if (table["table"] == "Table 2").all():
        return _wide2(table)
    digits = 4 if (table["table"] == "Table 1").all() else 3
    sets = list(dict.fromkeys(table["test_set"]))
    rows = []
    for label, cells in table.groupby("label", sort=False):
        cells = cells.set_index("test_set")
        row = {"Method": label}
        for name in sets:
            cell = cells.loc[name] if name in cells.index else None
            row[f"{name} paper"] = NOTHING if cell is None else _printed(cell)
            row[f"{name} measured"] = NOTHING if cell is None else _pair(cell, "bosc", digits)
        rows.append(row | _about(cells))
    return pd.DataFrame(rows)


def _wide2(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for cell in table.to_dict("records"):
        row = {"Method": cell["label"]}
        accuracy, _, auc = cell["printed"].partition("/")
        row["ACC paper"] = accuracy or NOTHING
        row["which is"] = cell["paper_measure"] or NOTHING
        row["BOSC measured"] = _number(cell, "bosc", 2)
        row["accuracy measured"] = _number(cell, "acc", 2)
        row["AUC paper"] = auc or NOTHING
        row["AUC measured"] = _number(cell, "auc", 4)
        rows.append(row | _about(pd.DataFrame([cell])))
    return pd.DataFrame(rows)


def _about(cells: pd.DataFrame) -> dict[str, str]:
    run = cells[cells["seeds"] > 0]
    # A method run on some of the columns only is "measured"; its other cells are empty.
    if not len(run):
        return {"Status": NOT_RUN}
    said = [", ".join(dict.fromkeys(filter(None, [*run["source"], *run["backbone"]])))]
    if (status := run["status"].iloc[0]) != MEASURED:
        said.insert(0, status)
    for column in ("standing", "note"):
        said += dict.fromkeys(filter(None, run[column]))
    said += [f"video score: {r}" for r in dict.fromkeys(run["video_rule"]) if r not in ("", "mean")]
    if (left_out := int(run["left_out"].max())) > 0:
        said.append(f"{left_out} videos not judged")
    return {"Status": "; ".join(said)}


def _printed(cell: pd.Series) -> str:
    # A lone hyphen at the start of a cell would become a list in the book.
    parts = [NOTHING if part.strip() == "-" else part for part in cell["printed"].split("/")]
    return " / ".join(parts) or NOTHING


def _number(cell: pd.Series | dict, name: str, digits: int) -> str:
    value, spread = cell[f"{name}_measured"], cell[f"{name}_sd"]
    if pd.isna(value):
        return NOTHING
    text = f"{value:.{digits}f}"
    return text if pd.isna(spread) else f"{text}±{spread:.{digits}f}"


def _pair(cell: pd.Series, name: str, digits: int) -> str:
    if not cell["seeds"]:
        return NOTHING
    return f"{_number(cell, name, 2)} / {_number(cell, 'auc', digits)}"


class Display(NamedTuple):
    """What a notebook shows of a table: plain HTML, and text where there is no HTML.

    Not a pandas Styler: that gives its cells random ids, so the same table would differ from
    itself whenever it is shown.
    """

    table: pd.DataFrame

    def _repr_html_(self) -> str:
        return self.table.to_html(index=False, border=0, justify="left")

    def __repr__(self) -> str:
        return self.table.to_string(index=False, justify="left")

    def __str__(self) -> str:
        return repr(self)


def show(table: pd.DataFrame) -> Display:
    """A comparison table as :func:`wide` lays it out, or any other table, whole and as it is."""
    return Display(wide(table) if "table" in table and "status" in table else table)


def write_table(table: pd.DataFrame, results_dir: Path | str) -> list[Path]:
    """Write one table twice: as the paper lays it out (CSV, to print) and tidy (Parquet).

    ``table1.csv`` and ``table1.parquet``, named by the table; each appears whole or not at all.
    """
    name = table["table"].iloc[0].lower().replace(" ", "")
    printed, tidy = (Path(results_dir) / f"{name}.{kind}" for kind in ("csv", "parquet"))
    with replacing(printed) as temporary:
        wide(table).to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")
    write_parquet(tidy, table)
    return [printed, tidy]


def write(runs_dir: Path | str, results_dir: Path | str, video: str | None = None) -> list[Path]:
    """Compute Tables 1 to 3 from the stored scores and write them; returns the files.

    ``cost.csv`` says how much arithmetic and time each run took. Where runs were scored on other
    data sets too, ``further.csv`` has their numbers.

    ``video`` is Table 3's video-level score as in :func:`cross_dataset`. All three tables are
    computed before the first is written. Errors as :func:`closed_set`.
    """
    tables = [closed_set(runs_dir), overall(runs_dir), cross_dataset(runs_dir, video)]
    more = {"cost": cost(runs_dir), "further": further(runs_dir, video)}
    written = [path for table in tables for path in write_table(table, results_dir)]
    for name, table in more.items():
        if len(table):
            written.append(Path(results_dir) / f"{name}.csv")
            with replacing(written[-1]) as temporary:
                table.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")
    return written
