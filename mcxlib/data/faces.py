"""Videos -> face crops, with a row and a status for every frame asked for.

Section 4.1: MTCNN finds the face, a loose crop keeps the whole silhouette, crops are stored at
512 px. The rows of a video lie beside its crops as JSON, written last, and mark it as done, so
that a stopped run goes on with the videos that are missing.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import extract_face
from PIL import Image

from mcxlib.config import RunConfig
from mcxlib.data import storage
from mcxlib.data import video as videos
from mcxlib.data.cascade import Cascade
from mcxlib.files import OutOfSpace, read_json, space_explained, write_json, write_parquet
from mcxlib.paths import table_of

COLUMNS = (
    "dataset",
    "video_id",
    "frame_index",
    "face",
    "status",
    "probability",
    "x1",
    "y1",
    "x2",
    "y2",
    "file",
    "row",
    "source_bytes",
    "note",
)
"""``status`` is ok, no_face or unreadable; ``face`` counts the faces of a frame, the largest is 0;
the box is in frame pixels; ``file`` and ``row`` say where the crop lies (file relative to the crop
folder, '' and -1 if there is none); ``source_bytes`` is the size of the video's file; ``note`` says
why there is no crop, or how the frame was read."""

STATUSES = ("ok", "no_face", "unreadable")

LOOSE_FACTOR = 1.3
"""Side of the loose crop over the longer side of MTCNN's box. The paper gives no figure; the
released code's margin (120 px of a 512 px crop) comes to 1.31."""

MIN_PROBABILITY = {"loose": 0.9, "authors": 0.98, "whole": None}

MIN_FACE = 20
"""MTCNN's own smallest face, in pixels."""

NARROW = 0.4
"""Fast detection looks for faces from this share of the last frame's face on. Of 480 drawn frames,
one had another box than with the whole pyramid (overlap below 0.9); at 0.5, 18 had."""

FIRST_LOOK = 0.1
"""... and, where there is no last frame, from this share of the frame's shorter side on."""


CONTRACT_FIELDS = (
    "frame_rule",
    "frame_count",
    "frame_step",
    "faces",
    "detection",
    "crop_rule",
    "crop_size",
)
"""The settings of a run that decide its crops."""


class Face(NamedTuple):
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in frame pixels."""
    probability: float

    @property
    def side(self) -> float:
        """The longer side of the box, in pixels."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def area(self) -> float:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def contract(config: RunConfig) -> dict[str, Any]:
    """Everything that decides what a crop looks like; stored with crops and in checkpoints."""
    detected = config.crop_rule != "whole"
    return {
        "detector": "MTCNN" if detected else None,
        "facenet_pytorch": version("facenet-pytorch") if detected else None,
        "detection": config.detection if detected else None,
        "min_probability": MIN_PROBABILITY[config.crop_rule],
        "faces": config.faces if detected else None,
        "crop_rule": config.crop_rule,
        "loose_factor": LOOSE_FACTOR if config.crop_rule == "loose" else None,
        "crop_size": config.crop_size,
        "colour_order": "RGB",
        "frame_rule": config.frame_rule,
        "frame_count": config.frame_count,
        "frame_step": config.frame_step if config.frame_rule == "every" else None,
    }


def contract_difference(stored: dict[str, Any], wanted: dict[str, Any]) -> str:
    """'' if the two agree, else the settings that differ, as 'name: stored, wanted'."""
    keys = sorted(stored.keys() | wanted.keys())
    return "; ".join(
        f"{k}: {stored.get(k)!r} stored, {wanted.get(k)!r} wanted"
        for k in keys
        if stored.get(k) != wanted.get(k)
    )


class FaceFinder:
    """MTCNN on the frames of one video after another; faces above a probability, largest first.

    ``detection="exact"`` is the plain facenet-pytorch call: the whole image pyramid on every
    frame, from faces of 20 px on. Most of its time goes into cutting out what its networks look
    at, and into levels on which only faces much smaller than the one that is kept could be found.
    ``"fast"`` cuts them out of a table of sums (:mod:`mcxlib.data.cascade`), and leaves out those
    levels and only those (the others keep their exact scales, so that boxes stay the same): it
    looks for faces from ``NARROW`` times the last frame's largest on, and runs the whole pyramid
    where that finds none. A larger face that comes in is found, a smaller one is what it did not
    look for, so ``faces="all"`` always takes the whole pyramid.
    """

    def __init__(
        self,
        min_probability: float,
        detection: str = "fast",
        faces: str = "largest",
        device: str = "cpu",
    ):
        self.min_probability = min_probability
        self.largest_only = faces == "largest"
        self.mtcnn = MTCNN(keep_all=True, min_face_size=MIN_FACE, device=device)
        self.cascade: Cascade | None = None
        if detection == "fast":
            # Channels innermost: the same boxes, and pooling is several times faster.
            self.cascade = Cascade(self.mtcnn.to(memory_format=torch.channels_last), MIN_FACE)
        self.last: Face | None = None

    def reset(self) -> None:
        """Forget the last frame: the next one is of another video."""
        self.last = None

    def __call__(self, frame: np.ndarray) -> list[Face]:
        """Faces in an RGB frame, uint8 (H, W, 3), the largest first."""
        found = self._fast(frame) if self.cascade else self._exact(frame)
        self.last = found[0] if found else None
        return found

    def _fast(self, frame: np.ndarray) -> list[Face]:
        found: list[Face] = []
        if self.largest_only:
            smallest = NARROW * self.last.side if self.last else FIRST_LOOK * min(frame.shape[:2])
            # The next level of the whole pyramid at or above that size.
            levels = math.log(max(smallest, 1) / MIN_FACE, 1 / self.mtcnn.factor)
            if (level := math.ceil(levels - 1e-9)) > 0:
                found = self._faces(*self.cascade(frame, level))
        return found or self._faces(*self.cascade(frame))

    def _exact(self, frame: np.ndarray) -> list[Face]:
        boxes, probabilities = self.mtcnn.detect(frame)
        return [] if boxes is None else self._faces(boxes, probabilities)

    def _faces(self, boxes: np.ndarray, probabilities: np.ndarray) -> list[Face]:
        faces = [
            Face(tuple(float(v) for v in box), float(p))
            for box, p in zip(boxes, probabilities, strict=True)
            if p > self.min_probability
        ]
        return sorted(faces, key=lambda face: -face.area)


def crop_face(frame: np.ndarray, box: tuple[float, ...], rule: str, size: int) -> np.ndarray:
    """Cut a face out of an RGB frame (H, W, 3): uint8, shape (size, size, 3).

    ``loose``: a square around the box's centre, ``LOOSE_FACTOR`` times its longer side, edge
    pixels repeated where it leaves the frame, area-averaged when shrunk. ``authors``:
    facenet-pytorch's ``extract_face`` with the released code's margin, 120 px of 512. ``whole``:
    the whole frame, for frames that are crops already.
    """
    if rule == "authors":
        margin = round(120 * size / 512)
        face = extract_face(Image.fromarray(frame), np.asarray(box), image_size=size, margin=margin)
        return face.permute(1, 2, 0).numpy().clip(0, 255).astype(np.uint8)
    if rule == "whole":
        return _resize(frame, size)
    x1, y1, x2, y2 = box
    side = LOOSE_FACTOR * max(x2 - x1, y2 - y1)
    left, top = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2)
    side = max(1, round(side))
    height, width = frame.shape[:2]
    # At least one row and column of the frame, to repeat where the square lies outside it.
    x_from, x_to = min(max(left, 0), width - 1), max(min(left + side, width), 1)
    y_from, y_to = min(max(top, 0), height - 1), max(min(top + side, height), 1)
    square = frame[y_from:y_to, x_from:x_to]
    if square.shape[:2] != (side, side):
        edges = (y_from - top, top + side - y_to, x_from - left, left + side - x_to)
        square = cv2.copyMakeBorder(square, *(max(0, e) for e in edges), cv2.BORDER_REPLICATE)
    return _resize(square, size)


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    shrink = cv2.INTER_AREA if min(image.shape[:2]) > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=shrink)


START_METHOD = "forkserver"
"""Not fork: forking a process that already runs torch threads can deadlock. The server imports
torch once, and its children start at once."""

# One detector a worker process, made when the process starts.
_finder: FaceFinder | None = None


def _start_worker(settings: dict[str, Any]) -> None:
    global _finder
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if settings["detector"]:
        _finder = FaceFinder(settings["min_probability"], settings["detection"], settings["faces"])


def _faces_of(frame: np.ndarray, settings: dict[str, Any]) -> list[Face]:
    if _finder is None:
        height, width = frame.shape[:2]
        return [Face((0.0, 0.0, float(width), float(height)), 1.0)]
    found = _finder(frame)
    return found if settings["faces"] == "all" else found[:1]


def _row(video: dict, index: int, status: str, note: str = "", **values: Any) -> dict:
    nothing = dict.fromkeys(("probability", "x1", "y1", "x2", "y2")) | {"file": "", "row": -1}
    base = {"dataset": video["dataset"], "video_id": video["video_id"], "frame_index": index}
    said = {"face": 0, "status": status, "note": note, "source_bytes": video["bytes"]}
    return base | said | nothing | values


def _process_video(path: Path, crop_folder: Path, video: dict, settings: dict) -> list[dict]:
    """Crop one video; returns its rows, which also lie on disk when this returns."""
    if _finder is not None:
        _finder.reset()
    with space_explained(_at_work(crop_folder)):
        _at_work(crop_folder).write_text(video["video_id"], encoding="utf-8")
    name = f"{video['video_id']}.npy"
    rows: list[dict] = []
    try:
        total, cut_short = videos.length(path)
        indices = videos.frame_indices(
            settings["frame_rule"], settings["frame_count"], settings["frame_step"] or 1, total
        )
        if not indices:
            raise videos.UnreadableVideo(f"{path}: the video has no frame")
    except videos.UnreadableVideo as error:
        rows.append(_row(video, -1, "unreadable", str(error)))
        return _finish(crop_folder, video, rows)
    with ExitStack() as stack:
        append = None
        for index, frame, problem, note in videos.read_frames(path, indices):
            if frame is None:
                rows.append(_row(video, index, "unreadable", problem))
                continue
            found = _faces_of(frame, settings)
            if not found:
                rows.append(_row(video, index, "no_face", note))
            for number, face in enumerate(found):
                if append is None:
                    append = stack.enter_context(
                        storage.writing(crop_folder / name, settings["crop_size"])
                    )
                crop = crop_face(frame, face.box, settings["crop_rule"], settings["crop_size"])
                box = dict(zip(("x1", "y1", "x2", "y2"), face.box, strict=True))
                place = {"file": name, "row": append(crop), "face": number}
                rows.append(
                    _row(video, index, "ok", note, probability=face.probability, **box, **place)
                )
    if cut_short:  # a row for what is missing, or nobody would know
        rows.append(_row(video, total, "unreadable", cut_short))
    return _finish(crop_folder, video, rows)


def _marker(crop_folder: Path, video: dict) -> Path:
    return crop_folder / f"{video['video_id']}.json"


def _at_work(crop_folder: Path) -> Path:
    """Where this worker process says which video it is at, for the case that it dies of it."""
    return crop_folder / f".at-work-{os.getpid()}"


def _finish(crop_folder: Path, video: dict, rows: list[dict]) -> list[dict]:
    write_json(_marker(crop_folder, video), rows)
    return rows


def _done(crop_folder: Path, video: dict) -> list[dict] | None:
    """The rows of a video that is done; None if it is not, or its file has changed since."""
    marker = _marker(crop_folder, video)
    if not marker.is_file():
        return None
    rows = read_json(marker)
    return rows if rows[0]["source_bytes"] == video["bytes"] else None


def _pool(workers: int, settings: dict[str, Any]) -> ProcessPoolExecutor:
    context = get_context(START_METHOD)
    if START_METHOD == "forkserver":
        # All that this program has loaded: a child runs the program's own imports anew.
        context.set_forkserver_preload([m for m in sys.modules if m.startswith("mcxlib.")])
    return ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(settings,)
    )


def _in_pool(
    todo: list[dict], root: Path, crop_folder: Path, settings: dict, workers: int
) -> Iterator[tuple[dict, list[dict]]]:
    with _pool(min(workers, len(todo)), settings) as pool:
        futures = {
            pool.submit(_process_video, root / video["path"], crop_folder, video, settings): video
            for video in todo
        }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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
        for file in crop_folder.glob(".at-work-*"):
            file.unlink()
        try:
            for video, rows in _in_pool(batch, root, crop_folder, settings, workers):
                left.pop(video["video_id"], None)
                yield video, rows
        except BrokenProcessPool:
            if len(batch) == 1:
                (video,) = batch
                left.pop(video["video_id"], None)
                note = f"{root / video['path']}: the process that read it died"
                yield video, _finish(crop_folder, video, [_row(video, -1, "unreadable", note)])
                continue
            named = {f.read_text("utf-8") for f in crop_folder.glob(".at-work-*")}
            alone = [left.pop(name) for name in named & left.keys()]
            if not alone:
                raise
    for file in crop_folder.glob(".at-work-*"):
        file.unlink()


def crop_videos(
    manifest: pd.DataFrame,
    root: Path,
    crop_folder: Path,
    config: RunConfig,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Crop every video of ``manifest`` that is used (has a split); returns their rows.

    Videos already done under the same crop contract are not done again, unless their file has
    another size now. ``workers`` processes (the machine's cores by default), one thread each. The
    table is also written to ``<crop_folder>.parquet``, together with the rows of videos that an
    earlier manifest used.

    Raises:
        ValueError: the folder holds crops made under another contract; names the difference.
        OutOfSpace: the disk is full; what is done is kept.
    """
    crop_folder = Path(crop_folder)
    wanted = contract(config)
    contract_file = crop_folder / "contract.json"
    if contract_file.is_file():
        if difference := contract_difference(read_json(contract_file), wanted):
            raise ValueError(
                f"the crops in {crop_folder} were made with other settings ({difference}); "
                "use another data folder (MCX_DATA) or remove this one"
            )
    else:
        write_json(contract_file, wanted)

    for leftover in crop_folder.rglob(".tmp-*"):
        leftover.unlink(missing_ok=True)

    used = manifest[manifest["split"] != ""]
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
        for video, rows in _each(todo, Path(root), crop_folder, wanted, workers or os.cpu_count()):
            done[video["video_id"]] = rows
            if progress:
                progress(len(done), len(used))
        rows = [entry for video_id in used["video_id"] for entry in done[video_id]]
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        _write_table(crop_folder, table)
    except OutOfSpace as error:
        raise OutOfSpace(f"{len(done)} of {len(used)} videos are done and kept. {error}") from error
    return table


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


def left_out(crops: pd.DataFrame) -> pd.DataFrame:
    """What a crop table has no face for: video_id, status, frames, note; one row a reason."""
    bad = crops[crops["status"] != "ok"]
    return (
        bad.groupby(["video_id", "status", "note"])
        .size()
        .rename("frames")
        .reset_index()[["video_id", "status", "frames", "note"]]
    )


def report(crops: pd.DataFrame) -> dict[str, int]:
    """Counts of a crop table: videos, frames asked, faces found, and what was left out."""
    frames = crops.drop_duplicates(["video_id", "frame_index"])
    whole = crops.groupby("video_id")["status"].agg(lambda s: (s != "ok").all())
    return {
        "videos": int(crops["video_id"].nunique()),
        "frames asked": int((frames["frame_index"] >= 0).sum()),
        "faces found": int((crops["status"] == "ok").sum()),
        "no face": int((crops["status"] == "no_face").sum()),
        "unreadable frames": int(
            ((crops["status"] == "unreadable") & (crops["frame_index"] >= 0)).sum()
        ),
        "unreadable videos": int(
            ((crops["status"] == "unreadable") & (crops["frame_index"] < 0)).sum()
        ),
        "videos without any face": int(whole.sum()),
    }
