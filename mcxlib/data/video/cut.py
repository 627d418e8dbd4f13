"""JPEG and PNG files that were cut short: the rows that are there, and none that are made up.

A decoder fills what is missing of a JPEG with grey, and of a PNG with black. Which rows are whole
cannot be asked of it; here they are told by what does not depend on the missing part.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

END_MISSING = "cut short: its end is missing, its rows are all there"

_END_OF_JPEG = b"\xff\xd9"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PADDING = bytes(16)
"""A run of zeros that no JPEG ends in: what a download had reserved and not yet filled."""


class Cut(NamedTuple):
    """What is there of a picture."""

    image: Image.Image | None
    """The whole rows from the first on; None if there is none."""
    reason: str
    """What is missing, in words."""
    share: float
    """Of the picture's rows, how many are there."""


def jpeg(data: bytes) -> Cut | None:
    """The rows that are there of a JPEG file without its end; None if none can be told.

    A row is there if it stays the same whatever follows the end of the data. Of a JPEG that is
    sent in several scans (a progressive one), each scan refines the whole picture, so one in
    which a scan is cut short has no whole row.
    """
    if data.endswith(_PADDING):
        data = data.rstrip(b"\0")
    data = data.rstrip(b"\xff")  # half of the end's mark, or of an escaped byte
    scan = _first_scan(data)
    if scan is None:
        return None
    other = np.random.default_rng(0).integers(0, 255, 4096, dtype=np.uint8)  # never 0xff, a mark
    image, pixels = _decoded(data + _END_OF_JPEG)
    _, changed = _decoded(data + other.tobytes() + _END_OF_JPEG)
    differ = np.flatnonzero((pixels != changed).reshape(len(pixels), -1).any(axis=1))
    rows = int(differ[0]) if len(differ) else image.height
    if not scan.several:
        return _first_rows(image, rows)
    if len(differ):
        return Cut(None, "cut short: a JPEG of several scans, of which one is not whole", 0.0)
    return Cut(image, "cut short: a JPEG of several scans, of which some may be missing", 1.0)


def png(data: bytes) -> Cut | None:
    """The rows that are there of a PNG file without its end; None if none can be told.

    None also for an interlaced one, whose rows do not lie in their order.
    """
    before, packed, header = [], [], b""
    for kind, body in _chunks(data):
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            packed.append(body)
        elif not packed and kind not in (b"acTL", b"fcTL"):  # those would promise an animation
            before.append(_chunk(kind, body))
    if len(header) != 13:
        return None
    width, height, bits, colours, *_, interlaced = struct.unpack(">IIBBBBB", header)
    if interlaced or colours not in _PNG_CHANNELS:
        return None
    row = 1 + -(-width * bits * _PNG_CHANNELS[colours] // 8)
    unpack = zlib.decompressobj()
    try:
        pixels = unpack.decompress(b"".join(packed), row * height)
    except zlib.error:
        return None
    rows = min(len(pixels) // row, height)
    if not rows:
        return None
    shorter = struct.pack(">II", width, rows) + header[8:]
    whole = [
        _chunk(b"IHDR", shorter),
        *before,
        _chunk(b"IDAT", zlib.compress(pixels[: row * rows])),
    ]
    image = Image.open(io.BytesIO(data[:8] + b"".join(whole) + _chunk(b"IEND", b"")))
    image.load()
    return Cut(image, _words(rows, height), rows / height)


def ends(path: Path, kind: str) -> bool:
    """Whether a file of ``kind`` "JPEG" or "PNG" has its end, whatever may lie behind that."""
    end = _END_OF_JPEG if kind == "JPEG" else _chunk(b"IEND", b"")
    with open(path, "rb") as file:
        file.seek(-len(end), os.SEEK_END)
        if file.read() == end:
            return True
    data = path.read_bytes()
    # A JPEG's header may hold another, small picture with an end of its own.
    scan = _first_scan(data) if kind == "JPEG" else None
    return end in data[scan.place if scan else 0 :]


def _words(rows: int, height: int) -> str:
    if rows == height:
        return END_MISSING
    return f"cut short: the first {rows} of {height} rows are there"


def _first_rows(image: Image.Image, rows: int) -> Cut:
    reason = _words(rows, image.height)
    part = image.crop((0, 0, image.width, rows)) if rows else None
    return Cut(part, reason, rows / image.height)


def _decoded(data: bytes) -> tuple[Image.Image, np.ndarray]:
    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    image.load()
    return image, np.asarray(image)


class _Scan(NamedTuple):
    place: int
    """Where its header begins, in bytes from the file's beginning."""
    several: bool
    """Whether the picture comes in more than this one."""


def _first_scan(data: bytes) -> _Scan | None:
    """The first scan of a JPEG; None if it is not there."""
    place, colours, progressive = 2, 0, False
    while place + 9 < len(data) and data[place] == 0xFF:
        mark = data[place + 1]
        if mark == 0xFF:  # padding
            place += 1
            continue
        if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):  # the frame's header
            colours, progressive = data[place + 9], mark in (0xC2, 0xC6, 0xCA, 0xCE)
        if mark == 0xDA:  # a scan's header
            return _Scan(place, progressive or data[place + 4] < colours)
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk of a PNG file; the last may be cut short."""
    place = 8
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


def _chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)
