"""What one worker process does: one video after another -> crops and rows on disk.

What it loads to do so (decoder, detector) is imported when it starts, so that the process that
only hands out the work stays light.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcxlib.data.crops import storage
from mcxlib.data.faces.align import Smoother, aligned
from mcxlib.data.faces.choice import Face, take
from mcxlib.data.faces.contract import MIN_FACE
from mcxlib.files import space_explained, write_json

if TYPE_CHECKING:
    import numpy as np

    from mcxlib.data.faces.finder import FaceFinder

# One detector a process, made when the process starts.
_finder: FaceFinder | None = None


def loads(settings: dict[str, Any]) -> list[str]:
    """The modules a worker under a crop contract loads; with them loaded it starts at once."""
    detector = ["mcxlib.data.faces.finder"] if settings["detector"] else []
    return [*detector, "mcxlib.data.faces.crop", "mcxlib.data.video.reader"]


def start(settings: dict[str, Any]) -> None:
    """Prepare this process for :func:`process` under a crop contract."""
    global _finder
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    import cv2

    cv2.setNumThreads(1)
    if settings["detector"]:
        import torch

        from mcxlib.data.faces.finder import FaceFinder

        torch.set_num_threads(1)
        _finder = FaceFinder(settings["min_probability"], settings["detection"], settings["faces"])


def process(
    path: Path, crop_folder: Path, video: dict[str, Any], settings: dict[str, Any], mark: str
) -> list[dict[str, Any]]:
    """Crop one video; returns its rows, which also lie on disk when this returns.

    ``settings`` is the crop contract, and ``store`` the suffix of the files with the crops, which
    are uncompressed without it.
    ``mark`` begins the name of the file that says which video this process is at, for the case
    that it dies of it.

    Raises:
        OutOfSpace: the disk is full.
    """
    from mcxlib.data.video.container import UnreadableVideo
    from mcxlib.data.video.length import length
    from mcxlib.data.video.sampling import frame_indices

    at_work = crop_folder / f"{mark}.{os.getpid()}"
    with space_explained(at_work):
        at_work.write_text(video["video_id"], encoding="utf-8")
    try:
        total, cut_short = length(path)
    except UnreadableVideo as error:
        return finish(crop_folder, video, [row(video, -1, "unreadable", str(error))])
    except Exception as error:  # whatever it is, it is this video's
        note = f"{path}: {_said(error)}"
        return finish(crop_folder, video, [row(video, -1, "unreadable", note)])
    indices = frame_indices(
        settings["frame_rule"], settings["frame_count"], settings["frame_step"] or 1, total
    )
    if not indices:
        note = f"{path}: the video has no frame"
        return finish(crop_folder, video, [row(video, -1, "unreadable", note)])
    rows = _crop_frames(path, indices, crop_folder, video, settings)
    if cut_short:  # a row for what is missing, or nobody would know
        rows.append(row(video, total, "unreadable", cut_short))
    return finish(crop_folder, video, rows)


def row(
    video: dict[str, Any], index: int, status: str, note: str = "", **values: Any
) -> dict[str, Any]:
    """A row of the crop table, with the columns of ``contract.COLUMNS``."""
    nothing = dict.fromkeys(("probability", "x1", "y1", "x2", "y2")) | {"file": "", "row": -1}
    base = {"dataset": video["dataset"], "video_id": video["video_id"], "frame_index": index}
    said = {"face": 0, "status": status, "note": note, "source_bytes": video["bytes"]}
    return base | said | nothing | values


def rows_file(crop_folder: Path, video: dict[str, Any]) -> Path:
    """Where the rows of a video that is done lie."""
    return crop_folder / f"{video['video_id']}.json"


def finish(
    crop_folder: Path, video: dict[str, Any], rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Write a video's rows, which marks it as done; returns them."""
    write_json(rows_file(crop_folder, video), rows)
    return rows


def _crop_frames(
    path: Path, indices: list[int], crop_folder: Path, video: dict, settings: dict
) -> list[dict[str, Any]]:
    """The rows of the frames asked for; their crops are on disk when this returns."""
    from mcxlib.data.video.reader import read_frames

    name = f"{video['video_id']}{settings.get('store', storage.RAW)}"
    size = settings["crop_size"]
    rows: list[dict] = []
    before: Face | None = None
    if _finder is not None:
        _finder.reset()
    smoother = Smoother()
    left = deque(indices)
    frames = read_frames(path, indices)
    with ExitStack() as stack:
        append = None
        while left:
            try:
                index, frame, problem, note = next(frames)
            except Exception as error:
                problem = f"{path}: {_said(error)}"
                rows.extend(row(video, index, "unreadable", problem) for index in left)
                break
            left.popleft()
            if frame is None:
                rows.append(row(video, index, "unreadable", problem))
                continue
            try:
                faces, crops, notes = _cut_out(frame, index, settings, before, smoother)
            except Exception as error:  # whatever it is, it is this frame's
                problem = f"{path}: frame {index}: {_said(error)}"
                rows.append(row(video, index, "failed", "; ".join(filter(None, (note, problem)))))
                continue
            note = "; ".join(filter(None, (note, *notes)))
            if not faces:
                rows.append(row(video, index, "no_face", note))
                continue
            before = faces[0]
            if append is None:
                append = stack.enter_context(storage.writing(crop_folder / name, size))
            for number, (face, crop) in enumerate(zip(faces, crops, strict=True)):
                box = dict(zip(("x1", "y1", "x2", "y2"), face.box, strict=True))
                place = {"file": name, "row": append(crop), "face": number}
                rows.append(
                    row(video, index, "ok", note, probability=face.probability, **box, **place)
                )
    return rows


def _cut_out(
    frame: np.ndarray,
    index: int,
    settings: dict[str, Any],
    before: Face | None,
    smoother: Smoother,
) -> tuple[list[Face], list[np.ndarray], list[str]]:
    """The faces taken from a frame, their crops, and notes on the choice."""
    from mcxlib.data.faces.crop import crop_face

    height, width = frame.shape[:2]
    notes: list[str] = []
    if _finder is None:
        faces = [Face((0.0, 0.0, float(width), float(height)), 1.0)]
    else:
        faces, notes = take(_finder(frame, index), settings["faces"], before)
        if min(height, width) < MIN_FACE:
            notes.append(f"{width} x {height} px are too few for a face of at least {MIN_FACE} px")
    rule, size = settings["crop_rule"], settings["crop_size"]
    if rule == "aligned" and _finder is not None:
        places = [smoother(_finder.points(frame, face), face, index) for face in faces]
        return faces, [aligned(frame, points, size) for points in places], notes
    return faces, [crop_face(frame, face.box, rule, size) for face in faces], notes


def _said(error: Exception) -> str:
    """An error nobody foresaw, in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
