"""Published weights that can be imported: where they are, and what is known of them.

The table is ``known.csv``. An empty field of it is something that is not known.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

UNKNOWN = "not known"


class Known(NamedTuple):
    """One published file."""

    layout: str
    file: str
    published: str
    bytes: str
    sha256: str
    """As published; of some only the first digits, followed by "..."."""
    licence: str
    trained_on: str
    note: str


@cache
def table() -> tuple[Known, ...]:
    """Every published file that is known, in the order of the layouts."""
    with open(Path(__file__).with_name("known.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    required = ("layout", "file", "published", "licence", "trained_on")
    return tuple(
        Known(**{k: v or ("" if k == "note" else UNKNOWN) for k, v in row.items()})
        for row in rows
        if all(row[name] for name in required)
    )


def of(layout: str, file: str) -> Known:
    """What is known of a file of this layout: of the published one of its name, else what all of
    that layout have in common."""
    found = [row for row in table() if row.layout == layout]
    named = [row for row in found if row.file == file]
    if named:
        return named[0]
    common = (
        values[0] if len(set(values)) == 1 else UNKNOWN for values in zip(*found, strict=True)
    )
    row = Known(*common)
    return row._replace(file=file, bytes=UNKNOWN, sha256=UNKNOWN, note="")
