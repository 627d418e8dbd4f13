"""Videos -> face crops, with a row and a status for every frame asked for.

Section 4.1: MTCNN finds the face, a loose crop keeps the whole silhouette, crops are stored at
512 px. The crops of one video are one uncompressed ``.npy`` array (n, size, size, 3), uint8 RGB,
read back by memory mapping; the rows of that video lie beside it as JSON, written last, and mark
it as done, so that a stopped run goes on with the videos that are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
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
from mcxlib.data import video as videos
from mcxlib.files import read_json, replacing, write_json, write_parquet

COLUMNS = (
    "dataset",
    "video_id",
    "frame_index",
    "status",
    "probability",
    "x1",
    "y1",
    "x2",
    "y2",
    "file",
    "row",
)
"""``status`` is ok, no_face or unreadable; the box is in frame pixels; ``file`` and ``row`` say
where the crop lies (file relative to the crop folder, '' and -1 if there is none)."""

LOOSE_FACTOR = 1.3
"""Side of the loose crop over the longer side of MTCNN's box. The paper gives no figure; the
released code's margin (120 px of a 512 px crop) comes to 1.31."""

MIN_PROBABILITY = {"loose": 0.9, "authors": 0.98}


class Face(NamedTuple):
    box: tuple[float, float, float, float]
    probability: float


def contract(config: RunConfig) -> dict[str, Any]:
    """Everything that decides what a crop looks like; stored with crops and in checkpoints."""
    return {
        "detector": "MTCNN",
        "facenet_pytorch": version("facenet-pytorch"),
        "min_probability": MIN_PROBABILITY[config.crop_rule],
        "faces": "largest",
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
    """MTCNN on one frame at a time; the largest face above the probability, or none.

    ``min_face`` is the smallest face looked for, as a share of the frame's shorter side (and at
    least MTCNN's own 20 px): a face that small gives no useful crop, and the image pyramid above
    it is most of MTCNN's cost.
    """

    def __init__(self, min_probability: float, min_face: float = 0.15, device: str = "cpu"):
        self.min_probability = min_probability
        self.min_face = min_face
        self.mtcnn = MTCNN(keep_all=True, device=device)

    def __call__(self, frame: np.ndarray) -> Face | None:
        self.mtcnn.min_face_size = max(20, int(self.min_face * min(frame.shape[:2])))
        boxes, probabilities = self.mtcnn.detect(frame)
        if boxes is None:
            return None
        faces = [
            Face(tuple(float(v) for v in box), float(p))
            for box, p in zip(boxes, probabilities, strict=True)
            if p is not None and p > self.min_probability
        ]
        area = lambda f: (f.box[2] - f.box[0]) * (f.box[3] - f.box[1])  # noqa: E731
        return max(faces, key=area, default=None)


def crop_face(frame: np.ndarray, box: tuple[float, ...], rule: str, size: int) -> np.ndarray:
    """Cut a face out of an RGB frame (H, W, 3): uint8, shape (size, size, 3).

    ``loose``: a square around the box's centre, ``LOOSE_FACTOR`` times its longer side, edge
    pixels repeated where it leaves the frame, area-averaged when shrunk. ``authors``:
    facenet-pytorch's ``extract_face`` with the released code's margin, 120 px of 512.
    """
    if rule == "authors":
        margin = round(120 * size / 512)
        face = extract_face(Image.fromarray(frame), np.asarray(box), image_size=size, margin=margin)
        return face.permute(1, 2, 0).numpy().clip(0, 255).astype(np.uint8)
    x1, y1, x2, y2 = box
    side = LOOSE_FACTOR * max(x2 - x1, y2 - y1)
    left, top = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2)
    side = max(1, round(side))
    height, width = frame.shape[:2]
    pad = max(0, -left, -top, left + side - width, top + side - height)
    if pad:
        frame = cv2.copyMakeBorder(frame, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        left, top = left + pad, top + pad
    square = frame[top : top + side, left : left + side]
    shrink = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(square, (size, size), interpolation=shrink)


# One detector a worker process, made when the process starts.
_finder: FaceFinder | None = None


def _start_worker(min_probability: float) -> None:
    global _finder
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _finder = FaceFinder(min_probability)


def _process_video(path: Path, crop_folder: Path, row: dict, settings: dict) -> list[dict]:
    """Crop one video; returns its rows, which also lie on disk when this returns."""
    base = {"dataset": row["dataset"], "video_id": row["video_id"]}
    empty = {"probability": None, "x1": None, "y1": None, "x2": None, "y2": None}
    nowhere = {"file": "", "row": -1}
    rows: list[dict] = []
    crops: list[np.ndarray] = []
    name = f"{row['video_id']}.npy"
    try:
        indices = videos.frame_indices(
            settings["frame_rule"],
            settings["frame_count"],
            settings["frame_step"] or 1,
            videos.frame_total(path),
        )
    except videos.UnreadableVideo:
        indices = []
        rows.append(base | {"frame_index": -1, "status": "unreadable"} | empty | nowhere)
    for index, frame in videos.read_frames(path, indices) if indices else ():
        entry = base | {"frame_index": index}
        if frame is None:
            rows.append(entry | {"status": "unreadable"} | empty | nowhere)
            continue
        face = _finder(frame)
        if face is None:
            rows.append(entry | {"status": "no_face"} | empty | nowhere)
            continue
        crops.append(crop_face(frame, face.box, settings["crop_rule"], settings["crop_size"]))
        box = dict(zip(("x1", "y1", "x2", "y2"), face.box, strict=True))
        rows.append(
            entry
            | {"status": "ok", "probability": face.probability}
            | box
            | {"file": name, "row": len(crops) - 1}
        )
    if crops:
        with replacing(crop_folder / name) as temporary, open(temporary, "wb") as handle:
            np.save(handle, np.stack(crops))
    write_json(crop_folder / f"{row['video_id']}.json", rows)
    return rows


def crop_videos(
    manifest: pd.DataFrame,
    root: Path,
    crop_folder: Path,
    config: RunConfig,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Crop every video of ``manifest`` that is used (has a split); returns all rows.

    Videos already done under the same crop contract are not done again. ``workers`` processes
    (the machine's cores by default), one thread each. The table is also written to
    ``<crop_folder>.parquet``.

    Raises:
        ValueError: the folder holds crops made under another contract; names the difference.
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

    used = manifest[manifest["split"] != ""]
    done: dict[str, list[dict]] = {}
    todo: list[dict] = []
    for row in used.to_dict("records"):
        marker = crop_folder / f"{row['video_id']}.json"
        if marker.is_file():
            done[row["video_id"]] = read_json(marker)
        else:
            todo.append(row)
    if progress:
        progress(len(done), len(used))
    workers = min(workers or os.cpu_count() or 1, max(1, len(todo)))
    if todo:
        # Not forked: forking a process that already runs torch threads can deadlock. The server
        # imports torch once, and its children start at once.
        context = get_context("forkserver")
        context.set_forkserver_preload([__name__])
        with ProcessPoolExecutor(
            workers,
            mp_context=context,
            initializer=_start_worker,
            initargs=(wanted["min_probability"],),
        ) as pool:
            futures = {
                pool.submit(_process_video, Path(root) / row["path"], crop_folder, row, wanted): row
                for row in todo
            }
            try:
                for future in as_completed(futures):
                    done[futures[future]["video_id"]] = future.result()
                    if progress:
                        progress(len(done), len(used))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    rows = [entry for video_id in used["video_id"] for entry in done[video_id]]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    write_parquet(crop_folder.with_suffix(".parquet"), table)
    return table


def report(crops: pd.DataFrame) -> dict[str, Any]:
    """Counts of a crop table: videos, frames asked, faces found, what was left out and which."""
    bad = crops[crops["status"] != "ok"]
    return {
        "videos": int(crops["video_id"].nunique()),
        "frames asked": len(crops),
        "faces found": int((crops["status"] == "ok").sum()),
        "no face": int((crops["status"] == "no_face").sum()),
        "unreadable": int((crops["status"] == "unreadable").sum()),
        "videos affected": sorted(bad["video_id"].unique()),
    }
