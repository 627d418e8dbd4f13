"""Videos -> face crops, with a row and a status for every frame asked for.

Section 4.1: MTCNN finds the face, a loose crop keeps the whole silhouette, crops are stored at
512 px. The rows of a video lie beside its crops as JSON, written last, and mark it as done, so
that a stopped run goes on with the videos that are missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from mcxlib import sockets
from mcxlib.data.crops import storage
from mcxlib.data.faces import worker
from mcxlib.data.faces.contract import COLUMNS, contract, contract_difference
from mcxlib.data.faces.report import left_out, report
from mcxlib.files import (
    OutOfSpace,
    clear_partial,
    read_json,
    temporary_name,
    write_json,
    write_parquet,
)
from mcxlib.settings.data import DataConfig
from mcxlib.settings.paths import table_of

START_METHOD = "forkserver"
"""Not fork: forking a process that already runs torch threads can deadlock. The server imports
torch once, and its children start at once."""


def crop_videos(
    manifest: pd.DataFrame,
    root: Path,
    crop_folder: Path,
    config: DataConfig,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    shard: tuple[int, int] | None = None,
    compress: bool = False,
) -> pd.DataFrame:
    """Crop every video of ``manifest`` that is used (has a split); returns their rows.

    Videos already done under the same crop contract are not done again, unless their file has
    another size now. ``workers`` processes (the machine's cores by default), one thread each. The
    table is also written to ``<crop_folder>.parquet``, together with the rows of videos that an
    earlier manifest used.

    With ``shard`` (number, of how many; numbers begin at 1) only every so-many-th video is done,
    and no table is written: a call without it, after all shards, finds their videos done. Several
    shards can be at work in one folder.

    ``compress`` decides how the crops of the videos that are done now are stored, without loss
    either way; a folder may hold some of each.

    Raises:
        ValueError: the folder holds crops made under another contract; names the difference.
        OutOfSpace: the disk is full; what is done is kept.
    """
    crop_folder = Path(crop_folder)
    wanted = contract(config)
    _agree(crop_folder, wanted)
    clear_partial(crop_folder, recursive=True)
    used = manifest[manifest["split"] != ""]
    if shard:
        used = used.iloc[shard[0] - 1 :: shard[1]]
    done: dict[str, list[dict]] = {}
    todo: list[dict] = []
    for video in used.to_dict("records"):
        if (rows := _done(crop_folder, video)) is not None:
            done[video["video_id"]] = rows
        else:
            todo.append(video)
    if progress:
        progress(len(done), len(used))
    try:
        settings = wanted | {"store": storage.COMPRESSED if compress else storage.RAW}
        for video, rows in _each(
            todo, Path(root), crop_folder, settings, workers or os.cpu_count()
        ):
            done[video["video_id"]] = rows
            if progress:
                progress(len(done), len(used))
        rows = [entry for video_id in used["video_id"] for entry in done[video_id]]
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        if not shard:
            _write_table(crop_folder, table)
    except OutOfSpace as error:
        raise OutOfSpace(f"{len(done)} of {len(used)} videos are done and kept. {error}") from error
    return table


def _agree(crop_folder: Path, wanted: dict[str, Any]) -> None:
    """Refuse a folder of crops made under another contract; a new one gets this contract."""
    contract_file = crop_folder / "contract.json"
    if not contract_file.is_file():
        write_json(contract_file, wanted)
    elif difference := contract_difference(read_json(contract_file), wanted):
        raise ValueError(
            f"the crops in {crop_folder} were made with other settings ({difference}); "
            "use another data folder (MCX_DATA) or remove this one"
        )


def _done(crop_folder: Path, video: dict) -> list[dict] | None:
    """The rows of a video that is done; None if it is not, or its file has changed since."""
    file = worker.rows_file(crop_folder, video)
    if not file.is_file():
        return None
    rows = read_json(file)
    return rows if rows[0]["source_bytes"] == video["bytes"] else None


def _each(
    todo: list[dict], root: Path, crop_folder: Path, settings: dict, workers: int
) -> Iterator[tuple[dict, list[dict]]]:
    """Each video and its rows, as they get done.

    A video that kills the process that reads it (a decoder's fault, or more memory than there is)
    would take the whole pool with it. The videos that were being read when a pool died are
    therefore tried again one at a time, and one that kills its process again is unreadable.
    """
    left = {video["video_id"]: video for video in todo}
    alone: list[dict] = []
    while left or alone:
        batch = [alone.pop()] if alone else list(left.values())
        mark = temporary_name()
        try:
            for video, rows in _in_pool(batch, root, crop_folder, settings, workers, mark):
                left.pop(video["video_id"], None)
                yield video, rows
        except BrokenProcessPool:
            if len(batch) == 1:
                (video,) = batch
                left.pop(video["video_id"], None)
                note = f"{root / video['path']}: the process that read it died"
                rows = [worker.row(video, -1, "unreadable", note)]
                yield video, worker.finish(crop_folder, video, rows)
                continue
            named = {f.read_text("utf-8") for f in crop_folder.glob(f"{mark}.*")}
            alone = [left.pop(name) for name in named & left.keys()]
            if not alone:
                raise
        finally:
            for file in crop_folder.glob(f"{mark}.*"):
                file.unlink()
            clear_partial(crop_folder, recursive=True)


def _in_pool(
    todo: list[dict], root: Path, crop_folder: Path, settings: dict, workers: int, mark: str
) -> Iterator[tuple[dict, list[dict]]]:
    with _pool(min(workers, len(todo)), settings) as pool:
        futures = {
            pool.submit(
                worker.process, root / video["path"], crop_folder, video, settings, mark
            ): video
            for video in todo
        }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except OutOfSpace:
            # The others soon end of the same; then what they leave can be removed.
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _pool(workers: int, settings: dict[str, Any]) -> ProcessPoolExecutor:
    sockets.make_room()
    context = get_context(START_METHOD)
    if START_METHOD == "forkserver":
        # Also all that this program has loaded: a child runs the program's own imports anew.
        loaded = [m for m in sys.modules if m.startswith("mcxlib.")]
        context.set_forkserver_preload([*loaded, *worker.loads(settings)])
    return ProcessPoolExecutor(
        workers, mp_context=context, initializer=worker.start, initargs=(settings,)
    )


def _write_table(crop_folder: Path, table: pd.DataFrame) -> None:
    path = table_of(crop_folder)
    if path.is_file():
        before = pd.read_parquet(path)
        others = before[~before["video_id"].isin(table["video_id"])]
        if len(others):
            table = pd.concat([table, others], ignore_index=True)
    write_parquet(path, table)
    write_json(
        crop_folder.with_name(f"{crop_folder.name}.report.json"),
        report(table) | {"left out": left_out(table).to_dict("records")},
    )
