"""The tables as they are printed: two header rows, a cell a number, notes in place of repetition.

Everything here is text. A page shows it as a table of two header rows (``tools/book_extension.py``
joins the cells of the first), a notebook as HTML.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from html import escape
from typing import NamedTuple

import pandas as pd

from mcxlib import paper
from mcxlib.tables.compare import NOT_IN_PAPER, NOT_RUN

NOTHING = "–"
"""What an empty cell shows."""

METHOD, STATUS = "Method", "Status"
MEASURED = "measured"
OWN = "The paper's own: MCX-API on"
OTHERS = "Compared with"

_MARKS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Layout(NamedTuple):
    """A table to print."""

    header: tuple[list[str], list[str]]
    """Groups of columns and columns. An empty group goes on with the one at its left."""
    rows: list[list[str]]
    """A row with its first cell alone is a heading. ``**99.50** 98.1–100.0`` is the best of a
    column with its interval."""
    notes: list[str]

    @property
    def measured(self) -> list[bool]:
        """Which columns hold measured numbers."""
        groups = _filled(self.header[0])
        return [MEASURED in group for group in groups]

    def csv(self) -> pd.DataFrame:
        """Header and rows as the lines of a CSV file."""
        return pd.DataFrame([*self.header, *self.rows])

    def markdown_notes(self) -> str:
        """The notes, for a page."""
        return "".join(f"- {note}\n" for note in self.notes)

    def html(self) -> str:
        """The table with its notes, for a notebook; the same table gives the same text."""
        head = "".join(f"<tr>{''.join(_head(row))}</tr>" for row in self.header)
        body = "".join(f"<tr>{''.join(self._cells(row))}</tr>" for row in self.rows)
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        table = f"<table class='results'><thead>{head}</thead><tbody>{body}</tbody></table>"
        scrolls = f"<div class='results-scroll' tabindex='0'>{table}</div>"
        return scrolls + (f"<ul class='table-notes'>{notes}</ul>" if notes else "")

    def _cells(self, row: list[str]) -> Iterable[str]:
        if is_heading(row):
            yield f"<th scope='rowgroup' colspan='{len(row)}'>{escape(row[0])}</th>"
            return
        yield f"<th scope='row'>{escape(row[0])}</th>"
        for text, measured in list(zip(row, self.measured, strict=True))[1:]:
            kind = " class='measured'" if measured else ""
            shown = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(text))
            yield f"<td{kind}>{shown}</td>"


def is_heading(row: list[str]) -> bool:
    """Whether a row is the heading of those below it."""
    return len(row) > 1 and not any(row[1:])


def of_pairs(laid_out: pd.DataFrame, cells: pd.DataFrame) -> Layout:
    """Tables 1 and 3: for each test set the paper's BOSC and AUC, and the measured ones.

    Args:
        laid_out: one row a method, as :func:`mcxlib.tables.wide` gives it, "BOSC / AUC" in a cell.
        cells: one row a cell, for the intervals.
    """
    groups: list[str] = [""]
    columns: list[str] = [METHOD]
    body: dict[str, list[str]] = {label: [label] for label in laid_out[METHOD]}
    for column in [c for c in laid_out if c not in (METHOD, STATUS)]:
        name, _, kind = column.rpartition(" ")
        groups += [f"{paper.shown(name)}, {kind}", ""]
        columns += ["BOSC", "AUC"]
        for label, text in zip(laid_out[METHOD], laid_out[column], strict=True):
            body[label] += _two(text)
    names = [c.rpartition(" ")[0] for c in laid_out if c not in (METHOD, STATUS)]
    keys = [("", "")] + [(name, kind) for name in names for kind in ("bosc", "auc")]
    return _finished(groups, columns, body, keys, laid_out, cells)


def of_one_number(laid_out: pd.DataFrame, cells: pd.DataFrame) -> Layout:
    """Table 2: the paper's accuracy or BOSC and its AUC; what was measured of each.

    Arguments as :func:`of_pairs`.
    """
    groups = ["", "paper", "", "", "measured", "", "", "", ""]
    columns = [METHOD, "accuracy", "BOSC", "AUC"]
    columns += ["BOSC", "sensitivity", "specificity", "accuracy", "AUC"]
    body = {}
    for row in laid_out.to_dict("records"):
        printed = row["ACC paper"]
        bosc = row["which is"] == "BOSC"
        body[row[METHOD]] = [
            row[METHOD],
            *((NOTHING, printed) if bosc else (printed, NOTHING)),
            row["AUC paper"],
            *(row[f"{name} measured"] for name in (*columns[4:8], "AUC")),
        ]
    kinds = ("", "", "", "", "bosc", "sensitivity", "specificity", "acc", "auc")
    keys = [("overall" if kind else "", kind) for kind in kinds]
    return _finished(groups, columns, body, keys, laid_out, cells)


def of_rates(rates: pd.DataFrame) -> Layout:
    """BOSC with its two halves, as :func:`mcxlib.tables.rates` gives it: three cells a test set."""
    sets = [column for column in rates if column != METHOD]
    groups, columns = [""], [METHOD]
    for name in sets:
        groups += [f"{paper.shown(name)}, measured", "", ""]
        columns += ["BOSC", "sens.", "spec."]
    rows = []
    for row in rates.to_dict("records"):
        cells = [part for name in sets for part in _three(row[name])]
        rows.append([paper.shown(row[METHOD]), *cells])
    rows = _grouped(rows) if len(rows) > 1 else rows
    return Layout((groups, columns), rows, [])


def _finished(
    groups: list[str],
    columns: list[str],
    body: dict[str, list[str]],
    keys: list[tuple[str, str]],
    laid_out: pd.DataFrame,
    cells: pd.DataFrame,
) -> Layout:
    """With the best of each measured column marked, rows in two groups, and notes."""
    measured = [MEASURED in group for group in _filled(groups)]
    ends = _intervals(cells)
    # Numbers that were kept from another day stand by, and compete with nothing.
    now = set(cells.loc[cells["seeds"] > 0, "label"])
    for place, key in enumerate(keys):
        # The halves of BOSC have no best of their own: calling everything fake maximises one. And
        # accuracy has no interval.
        if measured[place] and key[1] in ("bosc", "auc"):
            _mark_best([row for label, row in body.items() if label in now], place, key, ends)
    marks, notes = _notes(dict(zip(laid_out[METHOD], laid_out[STATUS], strict=True)), cells)
    # A cell may break before the spread over seeds: on paper the table is as wide as the page.
    rows = [
        [
            paper.shown(row[0]) + marks.get(row[0], ""),
            *(cell.replace("±", " ±") for cell in row[1:]),
        ]
        for row in body.values()
    ]
    return Layout((groups, columns), _grouped(rows), notes)


def _mark_best(
    rows: list[list[str]],
    place: int,
    key: tuple[str, str],
    ends: dict[tuple[str, str, str], str],
) -> None:
    values = [_value(row[place]) for row in rows]
    known = [value for value in values if value is not None]
    # One number alone, or all alike, is the best of nothing.
    if len(known) < 2 or min(known) == max(known):
        return
    for row, value in zip(rows, values, strict=True):
        if value == max(known):
            row[place] = f"**{row[place]}** {ends.get((row[0], *key), '')}".strip()


def _intervals(cells: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """(row, test set, number) -> its 95 % interval, where the table has one."""
    found = {}
    for cell in cells.to_dict("records"):
        for name, digits in (("bosc", 1), ("auc", 3)):
            low, high = cell[f"{name}_low"], cell[f"{name}_high"]
            if not (pd.isna(low) or pd.isna(high)):
                text = f"{low:.{digits}f}–{high:.{digits}f}"
                found[cell["label"], cell["test_set"], name] = text
    return found


def _notes(status: dict[str, str], cells: pd.DataFrame) -> tuple[dict[str, str], list[str]]:
    """Marks by row, and the notes: what most rows have in common once, the rest numbered."""
    source, backbone = _common(cells)
    said = {
        label: [_short(part, source, backbone) for part in text.split("; ")]
        for label, text in status.items()
        if text != NOT_RUN
    }
    numbers: dict[str, str] = {}
    marks = {}
    for label, parts in said.items():
        if rest := "; ".join(filter(None, parts)):
            marks[label] = numbers.setdefault(rest, str(len(numbers) + 1).translate(_MARKS))
    notes = []
    if source:
        network = f"; backbone, where a method leaves it open: {backbone}" if backbone else ""
        notes.append(f"Measured: {source}{network}. Notes say what differs.")
    notes += [f"{number} {text}." for text, number in numbers.items()]
    if source:
        notes.append(
            "Bold, of BOSC and AUC: the highest number of its column among those measured "
            "together, with its 95 % interval, which is about the choice of test videos: an exact "
            "bound where every decision was right, else a bootstrap, and where few errors were "
            "seen at least the score interval of so many videos. "
            "Another seed may move a number further."
        )
    empty = f"{NOTHING}: not printed in the paper, or not measured here"
    missing = [paper.shown(label) for label, text in status.items() if text == NOT_RUN]
    listed = f" Not run here: {', '.join(missing)}." if missing else ""
    return marks, [*notes, f"{empty}.{listed}"]


def _common(cells: pd.DataFrame) -> tuple[str, str]:
    """The data that most measured rows come from, and the backbone that most of them have."""
    rows = cells[cells["seeds"] > 0].groupby("label", sort=False)
    sources = Counter(", ".join(dict.fromkeys(filter(None, row["source"]))) for _, row in rows)
    backbones = Counter(name for _, row in rows for name in set(filter(None, row["backbone"])))
    first = [found.most_common(1)[0][0] if found else "" for found in (sources, backbones)]
    return first[0], first[1]


def _short(part: str, source: str, backbone: str) -> str:
    """A part of a row's status without what all rows have in common."""
    if part in (NOT_IN_PAPER, source, f"{source}, {backbone}"):
        return ""
    own = part.removeprefix(f"{source}, ")
    return f"backbone {own}" if own != part else part


def _grouped(rows: list[list[str]]) -> list[list[str]]:
    """The paper's own rows, by their colour spaces alone, below the others; both with a heading."""
    own = [[_spaces(row[0]), *row[1:]] for row in rows if row[0].startswith("MCX-API")]
    others = [row for row in rows if not row[0].startswith("MCX-API")]
    if not own or not others:
        return rows
    blank = [""] * (len(rows[0]) - 1)
    return [[OTHERS, *blank], *others, [OWN, *blank], *own]


def _spaces(label: str) -> str:
    """``"MCX-API(RGB+HSV), other settings 0a1b"`` -> ``"RGB+HSV, other settings 0a1b"``."""
    return re.sub(r"^MCX-API\((.+?)\)", r"\1", label)


def _two(text: str) -> list[str]:
    parts = text.split(" / ")
    return parts if len(parts) == 2 else [NOTHING, NOTHING]


def _three(text: str) -> list[str]:
    parts = re.fullmatch(r"(.+) \((.+) / (.+)\)", text)
    return list(parts.groups()) if parts else [NOTHING] * 3


def _value(text: str) -> float | None:
    number = text.partition("±")[0]
    return None if number == NOTHING else float(number)


def _filled(groups: list[str]) -> list[str]:
    """Each column's group, the first column's own empty one included."""
    filled = [groups[0]]
    for group in groups[1:]:
        filled.append(group or filled[-1])
    return filled


def _head(row: list[str]) -> Iterable[str]:
    """Header cells; an empty one after another widens that one."""
    place = 0
    while place < len(row):
        end = place + 1
        # The empty cell above the method's name stands for itself.
        while row[place] and end < len(row) and not row[end]:
            end += 1
        span = f" colspan='{end - place}' scope='colgroup'" if end - place > 1 else " scope='col'"
        kind = " class='measured'" if MEASURED in row[place] else ""
        yield f"<th{span}{kind}>{escape(row[place])}</th>" if row[place] else "<td></td>"
        place = end
