"""Face crops on disk: the crops of one video are one uncompressed ``.npy`` file, memory-mapped.

Uncompressed, because decoding would cost a training step more than reading does, and because a
lossy format would put its own artefacts over those that are to be learned; one file a video,
because a few thousand files copy well and each is done as a whole or not at all. The book's page
on speed compares it with image files, tar, LMDB and Parquet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mcxlib.files import replacing


@contextmanager
def writing(path: Path, size: int) -> Iterator[Callable[[np.ndarray], int]]:
    """A function that appends one crop, uint8 (size, size, 3), and returns its row.

    Crops go to disk as they come, so that a long video needs no more memory than a short one. The
    file appears under its name when the block ends; nothing is left of it if the block fails.
    """
    rows = 0

    def header() -> None:
        np.lib.format.write_array_header_1_0(
            handle, {"descr": "|u1", "fortran_order": False, "shape": (rows, size, size, 3)}
        )

    def append(crop: np.ndarray) -> int:
        nonlocal rows
        if crop.shape != (size, size, 3) or crop.dtype != np.uint8:
            raise ValueError(f"a crop is uint8 ({size}, {size}, 3), not {crop.dtype} {crop.shape}")
        handle.write(np.ascontiguousarray(crop).data)
        rows += 1
        return rows - 1

    with replacing(path) as temporary, open(temporary, "wb") as handle:
        header()
        begin = handle.tell()
        yield append
        handle.seek(0)
        header()  # the format leaves room for the first axis to grow
        if handle.tell() != begin:
            raise RuntimeError(f"the header of {path} changed its length at {rows} rows")


def open_crops(path: Path) -> np.ndarray:
    """The crops of one video, read only and memory-mapped: uint8 (n, size, size, 3)."""
    return np.load(path, mmap_mode="r", allow_pickle=False)
