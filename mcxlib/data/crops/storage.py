"""Face crops on disk: the crops of one video are one file, uncompressed or compressed without loss.

By default that is a ``.npy`` file, memory-mapped: decoding would cost a training step more than
reading does. ``mcx crops --compress`` writes ``.arrow`` files of about half the size, for a disk
that is small, or slower than decoding is. A lossy format would put its own artefacts over those
that are to be learned. One file a video, because a few thousand files copy well and each is done
as a whole or not at all. The book's page on speed compares both with image files, tar, LMDB and
Parquet.

A compressed file is one of Apache Arrow's (Feather), a record batch a crop, compressed by zstd.
Each row of pixels but the first is stored as its difference from the row above, modulo 256: of
neighbouring pixels, which are nearly alike, that leaves small numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mcxlib.files import replacing

RAW, COMPRESSED = ".npy", ".arrow"
"""The files' suffixes."""

FORMAT = 1
"""Of compressed files."""

Append = Callable[[np.ndarray], int]


@contextmanager
def writing(path: Path, size: int) -> Iterator[Append]:
    """A function that appends one crop, uint8 (size, size, 3), and returns its row.

    How crops are stored follows from the suffix of ``path``. They go to disk as they come, so that
    a long video needs no more memory than a short one. The file appears under its name when the
    block ends; nothing is left of it if the block fails.
    """
    write = _write_compressed if path.suffix == COMPRESSED else _write_raw
    with replacing(path) as temporary, write(temporary, size) as write_one:
        rows = 0

        def append(crop: np.ndarray) -> int:
            nonlocal rows
            if crop.shape != (size, size, 3) or crop.dtype != np.uint8:
                raise ValueError(
                    f"a crop is uint8 ({size}, {size}, 3), not {crop.dtype} {crop.shape}"
                )
            write_one(np.ascontiguousarray(crop))
            rows += 1
            return rows - 1

        yield append


@contextmanager
def _write_raw(path: Path, size: int) -> Iterator[Callable[[np.ndarray], Any]]:
    rows = 0

    def header() -> None:
        np.lib.format.write_array_header_1_0(
            handle, {"descr": "|u1", "fortran_order": False, "shape": (rows, size, size, 3)}
        )

    def write(crop: np.ndarray) -> None:
        nonlocal rows
        handle.write(crop.data)
        rows += 1

    with open(path, "wb") as handle:
        header()
        begin = handle.tell()
        yield write
        handle.seek(0)
        header()  # the format leaves room for the first axis to grow
        if handle.tell() != begin:
            raise RuntimeError(f"the header of {path} changed its length at {rows} rows")


@contextmanager
def _write_compressed(path: Path, size: int) -> Iterator[Callable[[np.ndarray], Any]]:
    about = {"mcxlib.crops": str(FORMAT), "size": str(size)}
    schema = pa.schema([pa.field("differences", pa.uint8())], metadata=about)
    options = pa.ipc.IpcWriteOptions(compression="zstd")

    def write(crop: np.ndarray) -> None:
        differences = crop.copy()
        differences[1:] -= crop[:-1]
        writer.write_batch(pa.record_batch([pa.array(differences.ravel())], schema))

    with pa.ipc.new_file(str(path), schema, options=options) as writer:
        yield write


class CompressedCrops:
    """The crops of a compressed file, each decoded when it is asked for.

    Raises:
        ValueError: not such a file, or one of a newer format.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = pa.ipc.open_file(pa.memory_map(str(path)))
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} holds no crops: {error}") from None
        about = self._file.schema.metadata or {}
        found = about.get(b"mcxlib.crops", b"").decode()
        if found != str(FORMAT):
            raise ValueError(
                f"{path} holds compressed crops of format {found or 'unknown'}, and this program "
                f"reads {FORMAT}"
            )
        size = int(about[b"size"])
        self.shape = (self._file.num_record_batches, size, size, 3)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> np.ndarray:
        """One crop, uint8 (size, size, 3).

        Raises:
            IndexError: there is no such row.
        """
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} crops")
        stored = self._file.get_batch(row % len(self)).column(0)
        return np.cumsum(stored.to_numpy().reshape(self.shape[1:]), axis=0, dtype=np.uint8)


def open_crops(path: Path) -> np.ndarray | CompressedCrops:
    """The crops of one video, read only, to be indexed by row: uint8 (n, size, size, 3).

    Uncompressed ones are memory-mapped; masks lie in such files too, without a third axis.
    """
    if path.suffix == COMPRESSED:
        return CompressedCrops(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)
