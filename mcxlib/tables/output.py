"""Tables as files for the book, and as plain text and HTML for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mcxlib import paper
from mcxlib.files import replacing, write_parquet, write_text
from mcxlib.tables import kept, layout, results, seeds
from mcxlib.tables.compare import (
    MEASURED,
    NOT_RUN,
    RATES,
    closed_set,
    cross_dataset,
    further,
    overall,
)
from mcxlib.tables.cost import cost
from mcxlib.tables.headline import ROW, headline, machine
from mcxlib.tables.layout import NOTHING, Layout
from mcxlib.tables.remarks import remarks
from mcxlib.tables.stored import find_runs


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
        for name in RATES:
            row[f"{name} measured"] = _rate(cell, name)
        row["accuracy measured"] = _number(cell, "acc", 2)
        row["AUC paper"] = auc or NOTHING
        row["AUC measured"] = _number(cell, "auc", 4)
        rows.append(row | _about(pd.DataFrame([cell])))
    return pd.DataFrame(rows)


def rates(table: pd.DataFrame) -> pd.DataFrame:
    """BOSC with its two halves, of every measured cell: one row a method, texts ready to print.

    A column a test set, "87.50 (100.00 / 75.00)": BOSC, then sensitivity and specificity, of
    which it is the mean; in percent, means over the seeds.
    """
    ran = table[table["seeds"] > 0]
    rows = []
    for label, cells in ran.groupby("label", sort=False):
        row = {"Method": label} | dict.fromkeys(table["test_set"], NOTHING)
        for cell in cells.to_dict("records"):
            bosc = NOTHING if pd.isna(cell["bosc_measured"]) else f"{cell['bosc_measured']:.2f}"
            halves = " / ".join(_rate(cell, name) for name in RATES)
            row[cell["test_set"]] = f"{bosc} ({halves})"
        rows.append(row)
    rows = rows or [{"Method": "nothing measured yet"} | dict.fromkeys(table["test_set"], NOTHING)]
    shown = pd.DataFrame(rows)
    shown.attrs["rates"] = True
    return shown


def _rate(cell: dict, name: str) -> str:
    value = cell[f"{name}_measured"]
    return NOTHING if pd.isna(value) else f"{value:.2f}"


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
    printed: Layout | None = None

    def _repr_html_(self) -> str:
        if self.printed:
            return self.printed.html()
        return self.table.to_html(index=False, border=0, justify="left")

    def __repr__(self) -> str:
        return self.table.to_string(index=False, justify="left")

    def __str__(self) -> str:
        return repr(self)


def show(table: pd.DataFrame) -> Display:
    """A comparison table or its rates as the book prints them, or any other table as it is."""
    if "table" in table and "status" in table:
        plain = wide(table)
        return Display(plain, printed(table, plain))
    if table.columns.nlevels == 1:
        table = table.rename_axis(columns=None)  # or it is printed as a header of nothing
    return Display(table, layout.of_rates(table) if table.attrs.get("rates") else None)


def printed(table: pd.DataFrame, laid_out: pd.DataFrame) -> Layout:
    """A comparison table as it is printed; ``laid_out`` is the same as :func:`wide` gives it."""
    one_number = (table["table"] == "Table 2").all()
    return (layout.of_one_number if one_number else layout.of_pairs)(laid_out, table)


def write_table(
    table: pd.DataFrame, results_dir: Path | str, others: Path | None = None
) -> list[Path]:
    """Write one table in all its forms; each file appears whole or not at all.

    Of Table 1: ``table1.csv`` to print (:class:`mcxlib.tables.layout.Layout`: two header rows, best
    numbers marked) with its notes in ``table1_notes.md``; ``table1_cells.csv`` and
    ``table1.parquet``, one row a cell with every column; ``table1_rates.csv`` (:func:`rates`; not
    of Table 2, which holds them); ``table1.md``, its remarks. In the first, rows that were not run
    have the numbers kept in the folder ``others``, if there are any (:mod:`mcxlib.tables.kept`).
    """
    folder, name = Path(results_dir), table["table"].iloc[0].lower().replace(" ", "")
    laid_out = wide(table)
    if others:
        laid_out = kept.filled(laid_out, kept_file(others, table), NOTHING)
    shown = printed(table, laid_out)
    written = [
        _csv(folder / f"{name}.csv", shown.csv(), header=False),
        _csv(folder / f"{name}_cells.csv", table),
        folder / f"{name}.parquet",
        folder / f"{name}.md",
        folder / f"{name}_notes.md",
    ]
    write_parquet(written[2], table)
    write_text(written[3], remarks(table).markdown())
    write_text(written[4], shown.markdown_notes())
    if name != "table2":
        file = folder / f"{name}_rates.csv"
        written.append(_csv(file, layout.of_rates(rates(table)).csv(), header=False))
    return written


def kept_file(folder: Path, table: pd.DataFrame) -> Path:
    """Where the numbers of a table's larger rows are kept."""
    return Path(folder) / f"full_{table['table'].iloc[0].lower().replace(' ', '')}.csv"


def _csv(path: Path, table: pd.DataFrame, header: bool = True) -> Path:
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, header=header, encoding="utf-8", lineterminator="\n")
    return path


def write(
    runs_dir: Path | str,
    results_dir: Path | str,
    video: str | None = None,
    others: Path | None = None,
    keep: bool = False,
    studies: Sequence[dict[str, Any]] = (),
) -> list[Path]:
    """Compute Tables 1 to 3 from the stored scores and write them; returns the files.

    ``results.csv`` and ``results.parquet`` hold every number of them, and those of ``studies``, one
    a row (:mod:`mcxlib.tables.results`).
    ``headline.md`` and ``machine.md`` say in a sentence each what came out and what it took;
    ``seeds.csv`` and ``seeds.md`` how far another seed moves the numbers
    (:mod:`mcxlib.tables.seeds`).
    ``cost.csv`` says how much arithmetic and time each run took. Where runs were scored on other
    data sets too, ``further.csv`` has their numbers.

    ``video`` is Table 3's video-level score as in :func:`cross_dataset`. All three tables are
    computed before the first is written. ``others`` is the folder with the kept numbers of rows
    that only `make full` trains; with ``keep``, those measured now are written there. Errors as
    :func:`closed_set`.
    """
    tables = [closed_set(runs_dir), overall(runs_dir), cross_dataset(runs_dir, video)]
    more = {"cost": cost(runs_dir), "further": further(runs_dir, video)}
    found = find_runs(runs_dir)
    if keep and others:
        for table in tables:
            kept.keep(table, wide(table), found, kept_file(others, table))
        seeds.keep(seeds.by_seed(runs_dir), others)
    numbers = [row for table in tables for row in results.of_table(table, found)]
    for table in tables if others else ():
        numbers += results.of_kept(table, kept_file(Path(others or ""), table))
    numbers += results.of_further(more["further"], found) + results.of_cost(more["cost"], runs_dir)
    moved, old = seeds.at_hand(runs_dir, others)
    numbers += seeds.numbers(moved, old)
    every = results.tidy([*numbers, *studies])
    written = [path for table in tables for path in write_table(table, results_dir, others)]
    written += [_csv(Path(results_dir) / "results.csv", every)]
    written += [Path(results_dir) / "results.parquet"]
    write_parquet(written[-1], every)
    how_far = seeds.of_row(moved, paper.row_key(ROW), old)
    said = {"headline": headline(tables[0], tables[2], how_far), "machine": machine(runs_dir)}
    said["seeds"] = "\n".join(f"- {line}" for line in seeds.words(moved, old))
    written.append(_csv(Path(results_dir) / "seeds.csv", seeds.shown(moved)))
    for name, text in said.items():
        written.append(Path(results_dir) / f"{name}.md")
        write_text(written[-1], text + "\n")
    for name, table in more.items():
        if len(table):
            written.append(_csv(Path(results_dir) / f"{name}.csv", table))
    return written
