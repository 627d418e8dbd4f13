"""Data of one's own: a folder or a labelled table anywhere, under a name of its own."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcxlib.settings.data import DataConfig

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".parquet", ".json"})
"""What a labelled table may be called."""

_LONGEST = 80  # bytes of a stem in a name: file systems allow 255 for the whole


def is_place(text: str) -> bool:
    """Whether ``text`` says where data lie, and is not the plain name of a data set."""
    separators = {"/", os.sep, os.altsep or os.sep}
    path = Path(text)
    return (
        path.is_absolute()
        or any(separator in text for separator in separators)
        or text in (".", "..")
        or text.startswith("~")
        or (path.suffix.lower() in TABLE_SUFFIXES and path.is_file())
    )


def own_name(path: Path) -> str:
    """The name of one's own data: what the file or folder is called and six hexadecimal digits of
    the SHA-256 of where it lies, so that two folders of one name are two data sets.

    The same path gives the same name, however it is written and through whichever link.
    """
    real = Path(path).expanduser().resolve()
    stem = real.stem if real.suffix.lower() in TABLE_SUFFIXES and not real.is_dir() else real.name
    # Part of file and folder names later: only letters, digits and three signs.
    safe = re.sub(r"[^\w.-]", "_", stem.encode("utf-8", "replace").decode("utf-8"))
    safe = safe.strip(".").encode()[:_LONGEST].decode("utf-8", "ignore") or "data"
    return f"{safe}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:6]}"


def table_named(root: Path, name: str) -> Path | None:
    """The labelled table in the folder ``root`` that :func:`own_name` gives ``name``, if any."""
    try:
        files = [entry.path for entry in os.scandir(root) if entry.is_file()]
    except OSError:
        return None
    tables = [t for t in map(Path, sorted(files)) if t.suffix.lower() in TABLE_SUFFIXES]
    return next((table for table in tables if own_name(table) == name), None)


def trained_on(name: str, config: DataConfig) -> bool:
    """Whether a configuration trains on the data set of that name (or on the place it names)."""
    wanted = config.train_on
    return name == wanted or (is_place(wanted) and name == own_name(Path(wanted)))
