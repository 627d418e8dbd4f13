"""Tables and lists that a person hands in: read as they are, refused in one line.

Every complaint names the file, what is wrong with it and what it should be (``remedy``).
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_DELIMITERS = (",", ";", "\t", " ")

REAL_OR_FAKE = {
    **dict.fromkeys(("real", "0", "0.0", "false"), False),
    **dict.fromkeys(("fake", "1", "1.0", "true"), True),
}
"""What a label may say, in lower case."""


def escaped(text: str | os.PathLike) -> str:
    """``text`` with what is not UTF-8 (bytes of a file's name, say) written as ``\\xe9``: no table
    can hold it otherwise."""
    text = os.fspath(text)
    try:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte, as JSON can write it
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def text_of(path: Path, remedy: str) -> str:
    """The text of a file in UTF-8, with or without a mark at its beginning.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unreadable, empty, UTF-16, or no text at all.
    """
    content = _content(path, remedy)
    if content.startswith(_UTF16) or b"\0" in content:
        raise ValueError(
            f"{escaped(path)} is UTF-16 or no text at all; save it as UTF-8 (Excel: 'CSV UTF-8'). "
            f"{remedy}"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{escaped(path)} is not UTF-8 (byte {error.start}); save it as UTF-8 (Excel: "
            f"'CSV UTF-8'). {remedy}"
        ) from None


def _content(path: Path, remedy: str) -> bytes:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {escaped(path)}. {remedy}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{escaped(path)} cannot be read: {error.strerror}") from error
    if not content.strip():
        raise ValueError(f"{escaped(path)} is empty ({len(content)} bytes). {remedy}")
    return content


def table_of(path: Path, needed: Iterable[str], remedy: str, unnamed: tuple = ()) -> pd.DataFrame:
    """A CSV (comma, semicolon, tab) or Parquet file as text, "" where nothing is said.

    ``unnamed``: the columns of a file without a header, if its first line ends in a label.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a table, no rows, or a column of ``needed`` is missing.
    """
    path = Path(path)
    if _is_parquet(path):
        table = _parquet(path, remedy)
    else:
        table = _csv(path, text_of(path, remedy), remedy, unnamed)
    if missing := [name for name in needed if name not in table]:
        there = ", ".join(map(str, table.columns))
        shown = there if len(there) < 80 else f"{there[:80]}..."
        raise ValueError(
            f"{escaped(path)} lacks the column {', '.join(missing)}; its columns are {shown!r}. "
            f"{remedy}"
        )
    if table.empty:
        raise ValueError(f"{escaped(path)} has a header and no rows. {remedy}")
    return table


def _csv(path: Path, text: str, remedy: str, unnamed: tuple) -> pd.DataFrame:
    first = text.lstrip().split("\n", 1)[0].strip()
    delimiter = next((d for d in _DELIMITERS if d in first), ",")
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [(lines.line_num, row) for row in lines if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ValueError(f"{escaped(path)} is not a table ({error}). {remedy}") from error
    if not rows:
        raise ValueError(f"{escaped(path)} has empty lines and cells only. {remedy}")
    header = [cell.strip() for cell in rows[0][1]]
    while header and not header[-1]:
        header.pop()
    if unnamed and len(header) == len(unnamed) and header[-1].lower() in REAL_OR_FAKE:
        header = list(unnamed)
    else:
        rows = rows[1:]
    if len(set(header)) < len(header):
        raise ValueError(f"{escaped(path)} names a column twice: {', '.join(header)}. {remedy}")
    for line, row in rows:
        # Spreadsheets end lines with empty cells; a filled one is in no column.
        if any(cell.strip() for cell in row[len(header) :]):
            raise ValueError(
                f"{escaped(path)} is not a table: line {line} has {len(row)} fields, the first "
                f"line {len(header)}. {remedy}"
            )
    width = len(header)
    filled = [(row + [""] * width)[:width] for _, row in rows]
    return pd.DataFrame(filled, columns=header, dtype=str)


def _is_parquet(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False


def _parquet(path: Path, remedy: str) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except Exception as error:  # Arrow meets broken files with errors of many kinds
        reason = str(error).split("\n", 1)[0]
        raise ValueError(
            f"{escaped(path)} is not a readable Parquet file ({reason}). {remedy}"
        ) from (error)
    return table.apply(lambda column: column.map(_as_text))


def _as_text(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def json_of(path: Path, remedy: str, twice: bool = True) -> Any:
    """The content of a JSON file; ``twice``: whether an object may name something twice.

    Raises:
        FileNotFoundError: no such file.
        ValueError: empty, UTF-16, not JSON, or a name twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(pairs)
        if len(out) < len(pairs):
            names = [key for key, _ in pairs]
            name = next(key for key in names if names.count(key) > 1)
            raise ValueError(f"{escaped(path)} names {escaped(name)} more than once. {remedy}")
        return out

    text = text_of(path, remedy)
    try:
        return json.loads(text, object_pairs_hook=None if twice else once)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{escaped(path)} is not valid JSON ({error}). {remedy}") from error


def labels_of(path: Path, column: pd.Series, remedy: str) -> pd.Series:
    """True for fake, of the words in :data:`REAL_OR_FAKE`.

    Raises:
        ValueError: another word; names it.
    """
    fake = column.str.strip().str.lower().map(REAL_OR_FAKE)
    if len(unknown := sorted(set(column[fake.isna()]))):
        shown = ", ".join(map(repr, unknown[:3])) + (", ..." if len(unknown) > 3 else "")
        raise ValueError(f"{escaped(path)} has the unknown label {shown}. {remedy}")
    return fake.astype(bool)


def refuse_twice(path: Path, names: pd.Series, remedy: str) -> None:
    """Refuse a table that names a video more than once."""
    if twice := sorted(set(names[names.duplicated()])):
        others = f" and {len(twice) - 1} others" if len(twice) > 1 else ""
        raise ValueError(f"{escaped(path)} names {twice[0]}{others} more than once. {remedy}")
