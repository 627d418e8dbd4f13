"""Crops to measure with: drawn faces at full size, with noise so that no format has it too easy."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from mcxlib import CLASSES
from mcxlib.data.crops import storage
from mcxlib.synthetic import render_person

PER_VIDEO = 30
"""Section 4.1: frames a video."""

NOISE = 1.0
"""Standard deviation added to each pixel, in 8-bit steps, on top of the drawn camera's own."""

_SHIFT = 24
"""Pixels by which a face wanders in its crop."""


@lru_cache(maxsize=64)
def _portrait(person: int, side: int) -> np.ndarray:
    # Drawn somewhat larger and resized, as a crop is: no pixel comes from the renderer as it is.
    width = 2 * round(side * 0.6)
    frame = render_person((person,), width, width, 1)[0]
    return cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)


def video(number: int, frames: int, size: int, people: int = 8) -> np.ndarray:
    """The crops of one video: uint8 (frames, size, size, 3), the same for the same number."""
    portrait = _portrait(number % people, size + _SHIFT)
    rng = np.random.default_rng([17, number])
    place = rng.integers(0, _SHIFT + 1, 2)
    result = np.empty((frames, size, size, 3), np.uint8)
    for out in result:
        place = np.clip(place + rng.integers(-2, 3, 2), 0, _SHIFT)
        part = portrait[place[0] : place[0] + size, place[1] : place[1] + size]
        noisy = part + NOISE * rng.standard_normal(part.shape, np.float32)
        out[:] = np.clip(np.rint(noisy), 0, 255)
    return result


def store(folder: Path, count: int, size: int, people: int = 4) -> pd.DataFrame:
    """``count`` crops in the project's storage under ``folder``, and the rows that describe them.

    The rows are those of :func:`mcxlib.data.crops.rows.join`, as far as loading and scoring need
    them.
    """
    rows = []
    for number, start in enumerate(range(0, count, PER_VIDEO)):
        frames = video(number, min(PER_VIDEO, count - start), size, people)
        name, label = f"{number:05d}", number % len(CLASSES)
        with storage.writing(folder / f"{name}.npy", size) as append:
            for index, crop in enumerate(frames):
                rows.append(
                    {
                        "dataset": "FaceForensics++",
                        "video_id": name,
                        "frame_index": index,
                        "file": f"{name}.npy",
                        "row": append(crop),
                        "split": "test",
                        "is_fake": label > 0,
                        "manipulation": CLASSES[label],
                        "target_id": name,
                        "donor_id": "",
                        "class_index": label,
                    }
                )
    return pd.DataFrame(rows)


def as_png(rows: pd.DataFrame, folder: Path, target: Path) -> list[Path]:
    """The same crops as PNG files under ``target``, in the order of ``rows``."""
    target.mkdir(parents=True, exist_ok=True)
    files = []
    for number, (file, row) in enumerate(zip(rows["file"], rows["row"], strict=True)):
        path = target / f"{number:06d}.png"
        Image.fromarray(storage.open_crops(folder / file)[row]).save(path)
        files.append(path)
    return files
