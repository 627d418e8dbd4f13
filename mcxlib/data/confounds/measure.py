"""Properties of a video that have nothing to do with faces: container, size, compression, light."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

NUMBERS = {
    "width": "px, of the first frame",
    "height": "px",
    "frames": "frames in the video, or images in the folder",
    "duration": "s, of a video file",
    "fps": "frames a second, of a video file",
    "bitrate": "kbit/s of the whole file, of a video file",
    "bits_per_pixel": "bits of the file for each pixel of each frame",
    "jpeg_quality": "1 to 100, from the first image's quantisation table, of JPEG files",
    "blockiness": "step between neighbours across the 8 x 8 grid of JPEG, in units of other steps",
    "brightness": "mean of the grey values, 0 to 1",
    "contrast": "their standard deviation within a frame",
    "face_size": "px, geometric mean of the detected box's sides; after mcx crops",
}
"""Measured numbers and what they are. One that a file does not have is NaN."""

KINDS = {
    "file_type": "suffix, as the file is called",
    "codec": "how the first frame is compressed",
}
"""Measured kinds."""

PER_CLASS = 500
"""Videos of each class that are looked at, at most."""

LOOKED_AT = 3
"""Frames of a video whose pixels are looked at."""

_GRID = 8  # px; of JPEG's blocks, and of most video codecs' transforms


def sample(manifest: pd.DataFrame, per_class: int = PER_CLASS) -> pd.DataFrame:
    """At most so many real and fake videos, by a hash of their names: no other video decides.

    Of those that are used (have a split), if any are.
    """
    used = manifest[manifest["split"] != ""]
    rows = (used if len(used) else manifest).query("bytes > 0")
    order = rows["video_id"].map(lambda name: hashlib.sha256(name.encode()).hexdigest())
    chosen = rows.assign(order=order).sort_values("order").groupby("is_fake").head(per_class)
    return chosen.drop(columns="order").sort_values("video_id").reset_index(drop=True)


def measure(path: Path, size: int) -> dict[str, Any]:
    """``NUMBERS`` (but face_size) and ``KINDS`` of one video of ``size`` bytes.

    Raises:
        ValueError, OSError: it cannot be read.
    """
    from mcxlib.data.video.pictures import pictures_of

    pictures = pictures_of(path)
    about = _of_video(path) if pictures is None else _of_pictures(path, pictures)
    pixels = about["width"] * about["height"] * about["frames"]
    about["bits_per_pixel"] = 8 * size / pixels if pixels else np.nan
    about["bitrate"] = 8 * size / about["duration"] / 1000 if about["duration"] > 0 else np.nan
    return about | _of_pixels(path, about["frames"])


def _of_video(path: Path) -> dict[str, Any]:
    import av

    from mcxlib.data.video.container import open_video, video_stream
    from mcxlib.data.video.length import length

    with open_video(path) as container:
        stream = video_stream(container, path)
        about = {
            "width": stream.codec_context.width,
            "height": stream.codec_context.height,
            "duration": container.duration / av.time_base if container.duration else np.nan,
            "fps": float(stream.average_rate) if stream.average_rate else np.nan,
            "codec": stream.codec_context.name,
        }
    no_picture = {"jpeg_quality": np.nan, "file_type": path.suffix.lower()}
    return about | no_picture | {"frames": length(path).frames}


def _of_pictures(path: Path, pictures: list[Path]) -> dict[str, Any]:
    from PIL import Image

    first = pictures[0]
    with Image.open(first) as image:
        (width, height), codec = image.size, str(image.format).lower()
        quality = jpeg_quality(getattr(image, "quantization", None))
    suffix = first.suffix.lower()
    return {
        "width": width,
        "height": height,
        "frames": len(pictures),
        "duration": np.nan,
        "fps": np.nan,
        "jpeg_quality": quality,
        "file_type": f"folder of {suffix}" if path.is_dir() else suffix,
        "codec": codec,
    }


# Table K.1 of the JPEG standard (ITU-T T.81), for brightness, in rows.
_STANDARD = """
16 11 10 16 24 40 51 61   12 12 14 19 26 58 60 55   14 13 16 24 40 57 69 56
14 17 22 29 51 87 80 62   18 22 37 56 68 109 103 77   24 35 55 64 81 104 113 92
49 64 78 87 103 121 120 101   72 92 95 98 112 100 103 99
"""


def jpeg_quality(tables: dict[int, list[int]] | None) -> float:
    """The quality setting of libjpeg whose brightness table is nearest; NaN without tables.

    That table is the standard's in percent: 5000 / q for a quality q below 50, else 200 - 2 q,
    rounded and kept between 1 and 255. Sums are compared, so the order of entries does not matter.
    """
    if not tables or 0 not in tables:
        return np.nan
    quality = np.arange(1, 101)
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    standard = np.array([int(value) for value in _STANDARD.split()])
    scaled = (standard * percent[:, None] + 50) // 100
    sums = scaled.clip(1, 255).sum(1)
    return float(quality[np.abs(sums - sum(tables[0])).argmin()])


def blockiness(grey: np.ndarray) -> float:
    """The mean step across the lines of JPEG's grid, over the mean of all other steps; (H, W)."""
    ratios = []
    for image in (grey, grey.T):
        steps = np.abs(np.diff(image.astype(np.float64), axis=1))
        across = np.zeros(steps.shape[1], dtype=bool)
        across[_GRID - 1 :: _GRID] = True
        if across.any() and steps[:, ~across].any():
            ratios.append(steps[:, across].mean() / steps[:, ~across].mean())
    return float(np.mean(ratios)) if ratios else np.nan


def _of_pixels(path: Path, frames: int) -> dict[str, float]:
    from mcxlib.data.video.reader import read_frames
    from mcxlib.data.video.sampling import frame_indices

    greys = []
    for frame in read_frames(path, frame_indices("even", LOOKED_AT, 1, frames)):
        if frame.image is not None:
            # Rec. 601, as JPEG and most videos weigh the colours.
            greys.append(frame.image @ np.array([0.299, 0.587, 0.114]))
    if not greys:
        raise ValueError(f"{path}: no frame can be read")
    return {
        "brightness": float(np.mean([grey.mean() for grey in greys])) / 255,
        "contrast": float(np.mean([grey.std() for grey in greys])) / 255,
        "blockiness": float(np.mean([blockiness(grey) for grey in greys])),
    }


def measure_all(
    rows: pd.DataFrame,
    root: Path,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """:func:`measure` of each video of a manifest: video_id, bytes, content, problem and what is
    measured. ``problem`` says why a video could not be read; its numbers are NaN."""

    def one(row: dict[str, Any]) -> dict[str, Any]:
        about = {name: row[name] for name in ("video_id", "bytes", "content")}
        try:
            return about | measure(root / row["path"], row["bytes"]) | {"problem": ""}
        except Exception as error:  # whatever it is, it is this video's
            return about | {"problem": (str(error).splitlines() or [type(error).__name__])[0]}

    done = []
    with ThreadPoolExecutor(workers) as pool:
        for about in pool.map(one, rows.to_dict("records")):
            done.append(about)
            if progress:
                progress(len(done), len(rows))
    names = [*(n for n in NUMBERS if n != "face_size"), *KINDS]
    table = pd.DataFrame(done, columns=["video_id", "bytes", "content", "problem", *names])
    return table.astype({name: float for name in names if name in NUMBERS})


def face_sizes(crops: pd.DataFrame) -> pd.Series:
    """The median size of a video's faces, in pixels of its frames; by video_id."""
    found = crops[crops["status"] == "ok"]
    side = np.sqrt((found["x2"] - found["x1"]) * (found["y2"] - found["y1"]))
    return side.groupby(found["video_id"]).median().rename("face_size")
