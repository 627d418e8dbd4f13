"""What every step needs: to be alone at it, and to show how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from mcxlib.files import read_json


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of one step; says so when it has to wait for another process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{what}: another process is at it; waiting for it", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def read_if_there(path: Path) -> Any:
    """A JSON file's content, or None: asked first, it might be gone when it is read."""
    try:
        return read_json(path)
    except FileNotFoundError:
        return None


@contextmanager
def progress(what: str) -> Iterator[Callable[..., None]]:
    """A progress callback (done, total, note) drawn on standard error, often only on a terminal."""
    often = sys.stderr.isatty()
    bar = tqdm(desc=what, mininterval=0.5 if often else 10, dynamic_ncols=often, file=sys.stderr)

    def update(done: int, total: int, note: str = "") -> None:
        bar.total = total
        if note:
            bar.set_postfix_str(note, refresh=False)
        bar.update(done - bar.n)

    try:
        yield update
    finally:
        bar.close()
