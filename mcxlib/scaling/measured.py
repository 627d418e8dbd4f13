"""Rates measured on one machine, with which everything here computes unless told otherwise.

``measured.json`` is written by ``python -m benchmarks scaling`` and says on what machine.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from mcxlib.files import read_json

FILE = Path(__file__).with_name("measured.json")
FORMAT = 2
CROP_PIXELS = 512
"""Of the crops that ``cold`` and ``warm`` were measured with."""


@dataclass(frozen=True)
class Rates:
    """Of one core, where nothing else is said."""

    crop: float
    """Seconds of extraction for one frame: read, face found, cut, written."""
    load: float
    """Seconds to read one stored crop of the demonstration and make it an image."""
    train: float
    """Floating-point operations a second of training."""
    score: float
    """The same of scoring."""
    cold: float
    """Crops of 512 px a second, read at random by one thread from a disk that has to be asked."""
    warm: float
    """The same from memory."""
    compressed_share: float = 1.0
    """Bytes of crops that are compressed without loss over uncompressed ones."""
    compressed_cold: float = 1.0
    """As ``cold`` and ``warm``, read and decoded by one thread."""
    compressed_warm: float = 1.0

    def compressed(self) -> Rates:
        """The same machine with a compressed store."""
        return replace(self, cold=self.compressed_cold, warm=self.compressed_warm)


@cache
def stored(path: Path = FILE) -> dict[str, Any]:
    """The whole record: machine, sizes tried, rates.

    Raises:
        ValueError: a file of another format.
    """
    record = read_json(path)
    if record.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {record.get('format')}, and this code reads {FORMAT}; measure "
            "again: python -m benchmarks scaling"
        )
    return record


def rates(path: Path = FILE) -> Rates:
    """The rates in it."""
    found = stored(path)["rates"]
    return Rates(**{field.name: float(found[field.name]) for field in fields(Rates)})
