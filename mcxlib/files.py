"""Atomic writes: a reader sees the old file or the whole new one, never a part."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEMPORARY = ".tmp-"


class OutOfSpace(RuntimeError):
    """A file could not be written for want of space; the message names the folder and remedy."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; moved over it on success, removed on any failure.

    The temporary name keeps the suffix, for writers that choose a format by it. The data reach
    the disk before the move, so that a power cut leaves no empty file under the final name.

    Raises:
        OutOfSpace: the disk or quota is full, or the file larger than allowed; the old file,
            if there was one, is untouched.
    """
    path = Path(path)
    with space_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_TEMPORARY, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def space_explained(path: Path) -> Iterator[None]:
    """Turn the system's "no space left" into :class:`OutOfSpace` with the folder and a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        folder = Path(path).absolute().parent
        there = next(place for place in (folder, *folder.parents) if place.is_dir())
        free = shutil.disk_usage(there).free
        raise OutOfSpace(
            f"{Path(path).name} could not be written into {folder}: {os.strerror(error.errno)} "
            f"({free / 2**30:.2f} GiB free on the disk; a quota or file size limit may be lower). "
            "What was there before is untouched. Make room, or move the folder to a larger disk, "
            "and start again: the work goes on from the last file that was written"
        ) from error


def clear_partial(folder: Path) -> None:
    """Remove what writers that were killed in :func:`replacing` left in ``folder``."""
    for file in Path(folder).glob(f"{_TEMPORARY}*"):
        file.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
