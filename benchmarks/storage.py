"""Ways of storing crops, compared: time to write, room, and images read per second.

Each way stores the same crops and hands back the part of a crop that a network sees. Reading is
one thread; "warm" is from the page cache, "cold" after asking the system to forget the files, which
is best effort: a disk, a virtual machine's host or a network store has caches of its own.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from benchmarks import crops, machine
from benchmarks.measure import Settings
from mcxlib.data.crops import storage
from mcxlib.files import write_json

CROPS = 1500
DATA_SET = 150_000
"""Crops of the paper's data: about 5,000 videos of 30 frames."""

JPEG_QUALITY = 95
RAW = "one .npy a video, memory-mapped"

PASS_SECONDS = 5.0
"""A reading pass ends after this long; slow ways do not get through all crops."""

Read = Callable[[int], np.ndarray]
"""A crop's number -> its whole crop or a view of it, uint8 (S, S, 3)."""


def encode(crop: np.ndarray, kind: str) -> bytes:
    """A crop as the bytes of a PNG or JPEG file."""
    buffer = io.BytesIO()
    options = {"quality": JPEG_QUALITY, "subsampling": 0} if kind == "jpeg" else {}
    Image.fromarray(crop).save(buffer, kind, **options)
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    """The bytes of an image file as uint8 (S, S, 3)."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


class Format(ABC):
    """One way of storing crops in a folder."""

    name: str
    exact = True
    encoding: str | None = None
    """"png" or "jpeg": the crops come to :meth:`write` as bytes of such files."""

    @abstractmethod
    def write(self, folder: Path, videos: Iterator[list], size: int) -> None:
        """Store the videos, each a list of crops (arrays, or bytes with :attr:`encoding`)."""

    @abstractmethod
    def open(self, folder: Path) -> tuple[Read, Callable[[], None]]:
        """A reader and what closes it."""


class Own(Format):
    """As the project stores crops: without compression, or with ``compress``."""

    def __init__(self, compress: bool = False):
        self.suffix = storage.COMPRESSED if compress else storage.RAW
        self.name = "one .arrow a video, rows' differences by zstd" if compress else RAW

    def write(self, folder: Path, videos: Iterator[list], size: int) -> None:
        for number, video in enumerate(videos):
            with storage.writing(folder / f"{number:05d}{self.suffix}", size) as append:
                for crop in video:
                    append(crop)

    def open(self, folder: Path) -> tuple[Read, Callable[[], None]]:
        opened = lru_cache(maxsize=256)(
            lambda number: storage.open_crops(folder / f"{number:05d}{self.suffix}")
        )

        def read(index: int) -> np.ndarray:
            number, row = divmod(index, crops.PER_VIDEO)
            return opened(number)[row]

        return read, opened.cache_clear


class Files(Format):
    def __init__(self, encoding: str):
        self.encoding = encoding
        self.exact = encoding == "png"
        self.name = "PNG files" if self.exact else f"JPEG files, quality {JPEG_QUALITY}"

    def write(self, folder: Path, videos: Iterator[list], size: int) -> None:
        for number, video in enumerate(videos):
            place = folder / f"{number:05d}"
            place.mkdir()
            for row, data in enumerate(video):
                (place / f"{row:03d}").write_bytes(data)

    def open(self, folder: Path) -> tuple[Read, Callable[[], None]]:
        def read(index: int) -> np.ndarray:
            number, row = divmod(index, crops.PER_VIDEO)
            return decode((folder / f"{number:05d}" / f"{row:03d}").read_bytes())

        return read, lambda: None


class Tar(Format):
    name = "one tar of PNG, with an index"
    encoding = "png"

    def write(self, folder: Path, videos: Iterator[list], size: int) -> None:
        import tarfile

        index = []
        with tarfile.open(folder / "crops.tar", "w") as tar:
            for video in videos:
                for data in video:
                    info = tarfile.TarInfo(f"{len(index):06d}.png")
                    info.size = len(data)
                    # tarfile writes a header of 512 bytes for so short a name, then the data.
                    index.append((tar.offset + tarfile.BLOCKSIZE, len(data)))
                    tar.addfile(info, io.BytesIO(data))
        (folder / "index.json").write_text(json.dumps(index))

    def open(self, folder: Path) -> tuple[Read, Callable[[], None]]:
        index = json.loads((folder / "index.json").read_text())
        descriptor = os.open(folder / "crops.tar", os.O_RDONLY)

        def read(number: int) -> np.ndarray:
            offset, length = index[number]
            return decode(os.pread(descriptor, length, offset))

        return read, lambda: os.close(descriptor)


class Lmdb(Format):
    def __init__(self, encoding: str | None):
        self.encoding = encoding
        self.name = "LMDB of PNG" if encoding else "LMDB of raw pixels"

    def write(self, folder: Path, videos: Iterator[list], size: int) -> None:
        import lmdb

        # Room for raw pixels and half as much again; the file takes only what it needs.
        room = shutil.disk_usage(folder).free // 2
        with lmdb.open(str(folder), map_size=room) as environment:
            count = 0
            for video in videos:
                with environment.begin(write=True) as transaction:
                    for crop in video:
                        data = crop if self.encoding else np.ascontiguousarray(crop).tobytes()
                        transaction.put(f"{count:06d}".encode(), data)
                        count += 1
        (folder / "size").write_text(str(size))

    def open(self, folder: Path) -> tuple[Read, Callable[[], None]]:
        import lmdb

        size = int((folder / "size").read_text())
        environment = lmdb.open(str(folder), readonly=True, lock=False, readahead=False)
        transaction = environment.begin(buffers=True)

        def read(number: int) -> np.ndarray:
            data = transaction.get(f"{number:06d}".encode())
            if self.encoding:
                return decode(bytes(data))
            return np.frombuffer(data, np.uint8).reshape(size, size, 3)

        def close() -> None:
            transaction.abort()
            environment.close()

        return read, close


class Parquet(Format):
    name = "Parquet of PNG, a row group a video"
    encoding = "png"

    def write(self, folder: Path, videos: Iterator[list], size: int) -> None:
        schema = pa.schema([("png", pa.binary())])
        # PNG is compressed already, and no two crops are alike.
        options = {"compression": "none", "use_dictionary": False}
        with pq.ParquetWriter(folder / "crops.parquet", schema, **options) as writer:
            for video in videos:
                writer.write_table(pa.table({"png": video}, schema))

    def open(self, folder: Path) -> tuple[Read, Callable[[], None]]:
        file = pq.ParquetFile(folder / "crops.parquet")
        # Only the last group is kept: more would be a cache of the data, not a way to store it.
        group = lru_cache(maxsize=1)(lambda n: file.read_row_group(n, use_threads=False)["png"])

        def read(index: int) -> np.ndarray:
            number, row = divmod(index, crops.PER_VIDEO)
            return decode(group(number)[row].as_buffer().to_pybytes())

        def close() -> None:
            group.cache_clear()
            file.close()

        return read, close


def formats() -> list[Format]:
    """All ways that can be tried here; LMDB only where its module is installed."""
    listed: list[Format] = [Own(), Own(compress=True), Files("png"), Files("jpeg"), Tar()]
    if find_spec("lmdb"):
        listed += [Lmdb(None), Lmdb("png")]
    return [*listed, Parquet()]


def forget(files: list[Path]) -> bool:
    """Ask the system to drop ``files`` from the page cache; False if it cannot be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # what is not yet on disk would not be dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return True


def check_space(folder: Path, count: int, size: int) -> None:
    """Raise ``ValueError`` unless ``folder`` has room for two copies of the raw crops and a bit."""
    needed = round(2.2 * count * size * size * 3)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ValueError(
            f"comparing storage with {count} crops of {size} px needs {needed / 2**30:.2f} GiB in "
            f"{folder}, which has {free / 2**30:.2f} GiB free; choose fewer with --crops, or "
            "another place with TMPDIR"
        )


def _part(crop: np.ndarray, cut: int) -> np.ndarray:
    begin = (crop.shape[0] - cut) // 2
    return np.ascontiguousarray(crop[begin : begin + cut, begin : begin + cut])


def _reading(format: Format, folder: Path, order: list[int], cut: int, seconds: float) -> float:
    """Images per second, opening included."""
    start = time.perf_counter()
    read, close = format.open(folder)
    done = 0
    for index in order:
        _part(read(index), cut)
        done += 1
        if time.perf_counter() - start > seconds:
            break
    rate = done / (time.perf_counter() - start)
    close()
    return rate


def _passes(
    format: Format, folder: Path, count: int, cut: int, settings: Settings
) -> dict[str, float | None]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    orders = {
        "sequential": list(range(count)),
        "random": np.random.default_rng(settings.seed).permutation(count).tolist(),
    }
    seconds = settings.seconds(PASS_SECONDS) or 0.2
    rates: dict[str, float | None] = {}
    for state in ("warm", "cold"):
        for name, order in orders.items():
            if state == "warm":
                for file in files:
                    file.read_bytes()
            elif not forget(files):
                rates[f"{state}_{name}"] = None
                continue
            rates[f"{state}_{name}"] = _reading(format, folder, order, cut, seconds)
    return rates


def measure(
    settings: Settings, count: int = CROPS, size: int = 512, cut: int = 448
) -> dict[str, Any]:
    """Compare all ways with ``count`` crops of ``size`` px; JSON-ready.

    Needs room for about twice the raw crops in the temporary folder, which is removed.

    Raises:
        ValueError: not enough room.
        RuntimeError: a lossless way gives back other pixels.
    """
    if settings.quick:
        count, size, cut = min(count, 2 * crops.PER_VIDEO), 64, 48
    rows = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        check_space(root, count, size)
        source, encoded, encoding_seconds = root / "source", {}, {}
        source.mkdir()
        starts = range(0, count, crops.PER_VIDEO)
        writing_source = 0.0
        for number, first in enumerate(tqdm(starts, "crops", leave=False)):
            video = crops.video(number, min(crops.PER_VIDEO, count - first), size)
            begin = time.perf_counter()
            with storage.writing(source / f"{number:05d}.npy", size) as append:
                for crop in video:
                    append(crop)
            writing_source += time.perf_counter() - begin
            for kind in ("png", "jpeg"):
                begin = time.perf_counter()
                encoded.setdefault(kind, []).append([encode(crop, kind) for crop in video])
                encoding_seconds[kind] = (
                    encoding_seconds.get(kind, 0.0) + time.perf_counter() - begin
                )
        for format in tqdm(formats(), "storage", leave=False):
            if format.name == RAW:
                folder, seconds = source, writing_source
            else:
                folder = root / "tried"
                folder.mkdir()
                seconds = _write(format, folder, source, encoded, size)
                seconds += encoding_seconds.get(format.encoding or "", 0.0)
            _verify(format, folder, source, count)
            files = [file for file in folder.rglob("*") if file.is_file()]
            stored = sum(file.stat().st_size for file in files)
            rows.append(
                {
                    "name": format.name,
                    "write_seconds": seconds,
                    "bytes_per_crop": stored / count,
                    "bytes_data_set": stored / count * DATA_SET,
                    "files": len(files),
                    "exact": format.exact,
                    "images_per_second": _passes(format, folder, count, cut, settings),
                }
            )
            if folder != source:
                shutil.rmtree(folder)
    return {
        "quick": settings.quick,
        "crops": count,
        "crop_pixels": size,
        "part_pixels": cut,
        "formats": rows,
        "machine": machine.description(settings.device),
    }


def _write(
    format: Format, folder: Path, source: Path, encoded: dict[str, list[list[bytes]]], size: int
) -> float:
    """Seconds to store the crops, once they are encoded; to the page cache, not to the disk."""
    if format.encoding:
        begin = time.perf_counter()
        format.write(folder, iter(encoded[format.encoding]), size)
        return time.perf_counter() - begin
    # Reading the source is not part of it.
    waited = 0.0

    def videos() -> Iterator[list]:
        nonlocal waited
        for file in sorted(source.glob("*.npy")):
            begin = time.perf_counter()
            video = list(np.load(file))
            waited += time.perf_counter() - begin
            yield video

    begin = time.perf_counter()
    format.write(folder, videos(), size)
    return time.perf_counter() - begin - waited


def _verify(format: Format, folder: Path, source: Path, count: int) -> None:
    """A few crops are what was stored, exactly or (lossy) nearly."""
    read, close = format.open(folder)
    original, _ = Own().open(source)
    for index in sorted({0, count // 2, count - 1}):
        difference = np.abs(read(index).astype(int) - original(index).astype(int))
        if difference.max() > 0 if format.exact else difference.mean() > 5:
            raise RuntimeError(f"{format.name}: crop {index} is not what was stored")
    close()


def run(path: Path, settings: Settings, count: int = CROPS) -> dict[str, Any]:
    """Measure and write ``path``."""
    found = measure(settings, count)
    write_json(path, found)
    return found
