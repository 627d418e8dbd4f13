"""A video's content in a few digits, so that a copy is found under any name."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mcxlib.data.datasets.walk import Item, Refused, why

_CHUNK = 64 * 1024
_READERS = 8  # files read at once: waiting for a disk or a network is most of the time


def _chunks(path: Path) -> bytes:
    """The first, middle and last 64 KiB of a file; the whole of one that has no more."""
    with open(path, "rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        if size <= 3 * _CHUNK:
            return handle.read()
        parts = []
        for offset in (0, (size - _CHUNK) // 2, size - _CHUNK):
            handle.seek(offset)
            parts.append(handle.read(_CHUNK))
        return b"".join(parts)


def fingerprint(item: Item) -> str:
    """SHA-256 by which a copy is found under any name; "" for what has no content.

    Of a file: over its size and its first, middle and last 64 KiB. Of a folder of images: over
    the images' names and sizes and those parts of the first and the last.

    Raises:
        OSError: a file cannot be read.
    """
    if not item.bytes:
        return ""
    sha = hashlib.sha256()
    if not item.frames:
        sha.update(f"{item.bytes}\n".encode())
        sha.update(_chunks(item.path))
        return sha.hexdigest()
    for frame in item.frames:
        sha.update(f"{frame.name}\0{frame.stat().st_size}\n".encode())
    for frame in (item.frames[0], item.frames[-1]):
        sha.update(_chunks(frame))
    return sha.hexdigest()


def _fingerprint_or_why(item: Item) -> str | Refused:
    try:
        return fingerprint(item)
    except OSError as error:
        return Refused(item.path, why(error))


def fingerprints(items: list[Item]) -> list[str | Refused]:
    """:func:`fingerprint` of each, several at a time; of an unreadable one, why it is."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(_fingerprint_or_why, items))
