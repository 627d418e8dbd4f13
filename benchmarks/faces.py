"""Videos to face crops: the project's worker processes against the plain per-frame call.

Plain is what a first script does: decode a frame, ``MTCNN(keep_all=True).detect`` on it, cut the
largest face out with ``extract_face``, keep the crop in memory. The project's side is
``crop_videos`` as ``mcx crops`` calls it, with detection ``fast`` or ``tracked``; it also writes
the crops to disk. Both get the machine's cores: plain through torch's own threads.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import extract_face
from PIL import Image

from benchmarks.measure import Result, Settings, result, take_turns, worse
from mcxlib.config import load_data
from mcxlib.data.faces.choice import Face
from mcxlib.data.faces.extract import crop_videos
from mcxlib.data.faces.finder import FaceFinder
from mcxlib.data.video.reader import read_frames
from mcxlib.synthetic import render_person
from mcxlib.synthetic.encode import write_video

SIZES = {"480": (640, 480), "720": (1280, 720)}
TARGETS = {"fast": 4.0, "tracked": 8.0}
SAME_BOX = 0.9
"""Overlap (intersection over union) from which two boxes count as the same."""


def _videos(folder: Path, size: tuple[int, int], videos: int, frames: int) -> pd.DataFrame:
    width, height = size
    rows = []
    for person in range(videos):
        file = folder / f"{person}.mp4"
        write_video(file, render_person((700 + person,), width, height, frames), 25, 23)
        rows.append(
            {
                "dataset": "drawn",
                "video_id": file.stem,
                "path": file.name,
                "split": "test",
                "bytes": file.stat().st_size,
            }
        )
    return pd.DataFrame(rows)


def _plain(folder: Path, manifest: pd.DataFrame, frames: int) -> int:
    mtcnn = MTCNN(keep_all=True)
    crops = []
    for path in manifest["path"]:
        for frame in read_frames(folder / path, list(range(frames))):
            boxes, _ = mtcnn.detect(frame.image)
            if boxes is not None:
                sides = boxes[:, 2:] - boxes[:, :2]
                box = boxes[np.argmax(sides.prod(axis=1))]
                crops.append(
                    extract_face(Image.fromarray(frame.image), box, image_size=512, margin=120)
                )
    return len(crops)


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union of two boxes x1, y1, x2, y2."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, wide) * max(0.0, high)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return both / (area - both)


def agreement(
    folder: Path, manifest: pd.DataFrame, frames: int, detection: str
) -> dict[str, float]:
    """How often a way of detection gives the box that the whole pyramid gives.

    ``same_box_before``: how often the whole pyramid gives the box that it gave in the frame before.
    """
    exact, ours = FaceFinder(0.9, "exact"), FaceFinder(0.9, detection)
    shared: list[float] = []
    steady: list[float] = []
    for path in manifest["path"]:
        ours.reset()
        before: list[Face] = []
        for frame in read_frames(folder / path, list(range(frames))):
            wanted, found = exact(frame.image)[:1], ours(frame.image, frame.index)[:1]
            shared.append(_shared(wanted, found))
            if before:
                steady.append(_shared(before, wanted))
            before = wanted
    return {
        "frames": len(shared),
        "same_box": float(np.mean(np.array(shared) >= SAME_BOX)),
        "least_overlap": min(shared),
        "mean_overlap": float(np.mean(shared)),
        "same_box_before": float(np.mean(np.array(steady) >= SAME_BOX)),
    }


def _shared(a: list[Face], b: list[Face]) -> float:
    """Overlap of two faces, of which there may be none: 1 if there is neither."""
    if not a or not b:
        return float(len(a) == len(b))
    return overlap(a[0].box, b[0].box)


def run(settings: Settings) -> dict[str, Result]:
    """Entries ``faces_480``, ``faces_720`` and ``faces``, the worse of the two."""
    return _entries(settings, "faces", "fast")


def tracked(settings: Settings) -> dict[str, Result]:
    """Entries ``faces_tracked_480``, ``faces_tracked_720`` and ``faces_tracked``, the worse."""
    return _entries(settings, "faces_tracked", "tracked")


def _entries(settings: Settings, name: str, detection: str) -> dict[str, Result]:
    videos, frames = (2, 4) if settings.quick else (8, 30)
    config = load_data("paper", frame_count=frames, detection=detection)
    workers = os.cpu_count() or 1
    entries = {}
    with tempfile.TemporaryDirectory() as temporary:
        for label, size in SIZES.items():
            folder = Path(temporary) / label
            folder.mkdir()
            manifest = _videos(folder, size, videos, frames)
            numbers = count()

            def ours(folder=folder, manifest=manifest, numbers=numbers) -> None:
                out = folder / f"crops{next(numbers)}"
                crop_videos(manifest, folder, out, config, workers=workers)
                shutil.rmtree(out)

            def plain(folder=folder, manifest=manifest) -> None:
                _plain(folder, manifest, frames)

            samples = take_turns(
                ours, plain, least=settings.repetitions(5), seconds=settings.seconds(60)
            )
            entries[f"{name}_{label}"] = result(
                samples,
                what=f"crops a second from {size[0]}x{size[1]} videos with `{detection}` detection "
                "over the plain per-frame facenet-pytorch call",
                target=TARGETS[detection],
                better="higher",
                seed=settings.seed,
                details={
                    "videos": videos,
                    "frames": videos * frames,
                    "crops_per_second": videos * frames / samples.medians[0],
                    "crops_per_second_plain": videos * frames / samples.medians[1],
                    "workers": workers,
                    "threads_plain": torch.get_num_threads(),
                    **agreement(folder, manifest, frames, detection),
                },
            )
    return entries | {name: worse(entries)}
