"""Masks of altered pixels, cut by the boxes of the crops out of the same frames.

The masks of one video are one ``.npy`` file, uint8 (n, size, size), row for row those of its crops;
255 is altered. Real videos have none: nothing in them was altered. A note beside each file says
what it was made from, is written last, and marks the video as done.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mcxlib.files import OutOfSpace, clear_partial, read_json, replacing, write_json

if TYPE_CHECKING:
    from concurrent.futures import Future

FORMAT = 1

ALTERED = 128
"""A pixel of a mask video is altered if its brightest colour is this or more: masks have two
values, which lossy coding smears."""

_BOX = ("x1", "y1", "x2", "y2")


def cut_masks(
    rows: pd.DataFrame,
    videos: Mapping[str, tuple[Path, Path]],
    folder: Path,
    settings: Mapping[str, Any],
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Cut the masks that are missing; returns what there is of each video, see :func:`found`.

    A video of which one frame's mask cannot be read has none at all.

    Args:
        rows, videos, folder, settings: as for :func:`found`.
        workers: threads; the machine's cores by default.
        progress: called with (videos done, videos).

    Raises:
        OutOfSpace: the disk is full; what is done is kept.
    """
    table = found(rows, videos, folder, settings)
    clear_partial(folder, recursive=True)
    parts = {str(name): part for name, part in rows.groupby("video_id")}
    todo = [v for v in table.loc[table["status"] == "none", "video_id"] if videos[v][1].is_file()]
    done = len(parts) - len(todo)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        futures: list[Future] = [
            pool.submit(_cut_video, v, parts[v], *videos[v], folder, settings) for v in todo
        ]
        try:
            for future in futures:
                future.result()
                done += 1
                if progress:
                    progress(done, len(parts))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found(rows, videos, folder, settings)


def found(
    rows: pd.DataFrame,
    videos: Mapping[str, tuple[Path, Path]],
    folder: Path,
    settings: Mapping[str, Any],
) -> pd.DataFrame:
    """The masks that lie cut: one row a video of ``rows``, columns video_id, status, file, note.

    ``status`` is ok, none (there is no file of masks, or it is not cut yet) or unreadable; ``file``
    is relative to ``folder``. Masks whose source has gone since stay good.

    Args:
        rows: crops of fakes, as :func:`mcxlib.data.crops.rows.join` gives them.
        videos: of each video its own file and that of its masks.
        folder: where the cut masks lie.
        settings: the crops' contract.
    """
    out = []
    for name, part in rows.groupby("video_id", sort=False):
        note = _done(str(name), part, videos[str(name)][1], folder, settings)
        note = note or {"status": "none", "note": f"no file {videos[str(name)][1]}"}
        file = f"{name}.npy" if note["status"] == "ok" else ""
        out.append((str(name), note["status"], file, note["note"]))
    return pd.DataFrame(out, columns=["video_id", "status", "file", "note"], dtype=str)


def _done(
    name: str, part: pd.DataFrame, source: Path, folder: Path, settings: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The note of a video that is done; None if it is not, or of other crops or another file."""
    file = folder / f"{name}.json"
    if not file.is_file():
        return None
    note = read_json(file)
    if note["made_from"] != _made_from(part, settings):
        return None
    return note if not source.is_file() or source.stat().st_size == note["bytes"] else None


def _made_from(part: pd.DataFrame, settings: Mapping[str, Any]) -> str:
    """Digest of which crops they are: frames, rows, boxes and how a box becomes a crop."""
    text = json.dumps([FORMAT, *(settings[name] for name in ("crop_rule", "crop_size"))])
    places = part[["frame_index", "row", *_BOX]].to_numpy(np.float64)
    return hashlib.sha256(text.encode() + places.tobytes()).hexdigest()


def _cut_video(
    name: str,
    part: pd.DataFrame,
    video: Path,
    source: Path,
    folder: Path,
    settings: Mapping[str, Any],
) -> None:
    note: dict[str, Any] = {"status": "ok", "note": "", "bytes": source.stat().st_size}
    try:
        masks = np.zeros((int(part["row"].max()) + 1, *[settings["crop_size"]] * 2), np.uint8)
        for row, mask in _masks(part, video, source, settings):
            masks[row] = mask
        with replacing(folder / f"{name}.npy") as temporary:
            np.save(temporary, masks)
    except OutOfSpace:
        raise
    except Exception as error:  # whatever it is, it is this video's
        note |= {"status": "unreadable", "note": str(error) or type(error).__name__}
    write_json(folder / f"{name}.json", note | {"made_from": _made_from(part, settings)})


def _masks(
    part: pd.DataFrame, video: Path, source: Path, settings: Mapping[str, Any]
) -> Iterator[tuple[int, np.ndarray]]:
    """(row, mask) of each crop of one video."""
    from mcxlib.data.faces.crop import crop_mask
    from mcxlib.data.video.reader import read_frames

    if video.is_file() and (own := _size(video)) != (its := _size(source)):
        raise ValueError(f"{source}: {its[0]} x {its[1]} pixels, the video has {own[0]} x {own[1]}")
    of_frames = part.groupby("frame_index", sort=True)
    frames = read_frames(source, [int(index) for index in of_frames.groups])
    for frame, (_, faces) in zip(frames, of_frames, strict=True):
        if frame.image is None:
            raise ValueError(frame.problem)
        mask = np.where(frame.image.max(2) >= ALTERED, 255, 0).astype(np.uint8)
        for face in faces.itertuples():
            box = tuple(getattr(face, side) for side in _BOX)
            yield face.row, crop_mask(mask, box, settings["crop_rule"], settings["crop_size"])


def _size(path: Path) -> tuple[int, int]:
    from mcxlib.data.video.container import open_video, video_stream

    with open_video(path) as container:
        context = video_stream(container, path).codec_context
        return context.width, context.height
