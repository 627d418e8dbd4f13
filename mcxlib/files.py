"""Atomic writes: a reader sees the old file or the whole new one, never a part.

A file that is being written has a hidden name that says by whom: the machine, the process, and a
random part, ``.tmp-<host>-<pid>-<random><suffix>``. Readers of a folder pass over it
(:func:`visible`), and other writers leave it alone while its process lives (:func:`leftovers`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEMPORARY = ".tmp-"
_OWNED = re.compile(r"\.tmp-(?P<host>.+)-(?P<pid>\d{1,9})-\w+(\..*)?")
_DAY = 24 * 60 * 60.0  # s; how long a file that nobody vouches for is left alone


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
        temporary = path.with_name(temporary_name(path.suffix))
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
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


def temporary_name(suffix: str = "") -> str:
    """A new hidden file name that names this machine and process as its owner."""
    return f"{_TEMPORARY}{_host()}-{os.getpid()}-{secrets.token_hex(4)}{suffix}"


def leftovers(folder: Path, recursive: bool = False) -> Iterator[Path]:
    """Files that dead writers left in ``folder`` (and below it); none that may be at work.

    On this machine a writer is dead if no process has its number any more. The system gives
    numbers out again: such a file stays until that process has ended, too. Of another machine's
    writers nothing is known, nor of names without an owner (``.tmp-<random>``, as they were
    before): their files are left over when nothing has been written into them for a day.
    Containers that share a folder need host names of their own.
    """
    folder = Path(folder)
    for file in sorted((folder.rglob if recursive else folder.glob)(f"{_TEMPORARY}*")):
        try:
            if file.is_file() and _left_over(file):
                yield file
        except FileNotFoundError:  # its writer has just finished
            continue


def clear_partial(folder: Path, recursive: bool = False) -> None:
    """Remove what dead writers left in ``folder`` (:func:`leftovers`)."""
    for file in leftovers(folder, recursive):
        file.unlink(missing_ok=True)


def visible(folder: Path, pattern: str) -> list[Path]:
    """``folder.glob(pattern)`` in the order of names, without anything hidden.

    That leaves out other writers' unfinished files and what systems hide among a user's files.
    """
    folder = Path(folder)
    found = folder.glob(pattern)
    return sorted(f for f in found if not any(p[0] == "." for p in f.relative_to(folder).parts))


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


def _host() -> str:
    return re.sub(r"[^\w.-]", "_", socket.gethostname()) or "localhost"


def _left_over(file: Path) -> bool:
    owner = _OWNED.fullmatch(file.name)
    if owner is not None and owner["host"] == _host():
        return not _alive(int(owner["pid"]))
    return time.time() - file.stat().st_mtime > _DAY


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # asks only
    except ProcessLookupError:
        return False
    except PermissionError:  # there, and another user's
        pass
    return True
