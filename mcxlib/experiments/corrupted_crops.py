"""A sample of test frames, and the same faces cut out of harmed frames or by other boxes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mcxlib.data.crops import storage
from mcxlib.data.faces import contract as contracts
from mcxlib.data.faces.crop import crop_face
from mcxlib.data.video.reader import read_frames
from mcxlib.data.video.reencode import reencoded
from mcxlib.experiments import corruptions
from mcxlib.experiments.corruptions import Box, Level
from mcxlib.settings.data import DataConfig

if TYPE_CHECKING:
    from mcxlib.data.faces.finder import FaceFinder

FRAME = ["video_id", "frame_index", "face"]
"""Columns that name a face in a frame."""


@dataclass(frozen=True)
class Sample:
    """Which of a data set's test frames are looked at."""

    videos: int
    """Of each manipulation and of the real ones, at most."""
    frames: int
    """Of each video, at most, spread evenly over those that have a crop."""
    seed: int = 0
    """Of the draw of videos."""

    @property
    def name(self) -> str:
        """For a file."""
        return f"{self.videos}x{self.frames}" + (f"-seed{self.seed}" if self.seed else "")

    @classmethod
    def parse(cls, text: str) -> Sample:
        """``"20x4"``: 20 videos of each kind, 4 frames of each.

        Raises:
            ValueError: another text, or a number below 1; names it.
        """
        videos, _, frames = text.partition("x")
        if not (videos.isdecimal() and frames.isdecimal() and int(videos) and int(frames)):
            raise ValueError(f"a sample is VIDEOSxFRAMES, such as 20x4, not {text!r}")
        return cls(int(videos), int(frames))

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of crops that are in the sample, in their order."""
        rng = np.random.default_rng(self.seed)
        kept: set[str] = set()
        for _, part in rows.groupby("manipulation", sort=True):
            names = np.sort(part["video_id"].unique())
            if len(names) > self.videos:
                names = rng.choice(names, self.videos, replace=False)
            kept.update(names)
        rows = rows[rows["video_id"].isin(kept)]
        return rows[rows.groupby("video_id")["frame_index"].transform(self._spread)]

    def _spread(self, indices: pd.Series) -> pd.Series:
        """Which frames of one video are taken."""
        frames = np.sort(indices.unique())
        places = np.linspace(0, len(frames) - 1, min(self.frames, len(frames))).round().astype(int)
        return indices.isin(frames[places])


def cut(
    rows: pd.DataFrame,
    videos: dict[str, Path],
    folder: Path,
    data: DataConfig,
    name: str,
    level: Level,
) -> pd.DataFrame:
    """Cut the faces of ``rows`` out of their videos once more, under one corruption.

    The crops go to ``folder``. Faces that cannot be found anew ("detection") are left out of the
    rows that are returned; nothing else can get lost.

    Args:
        rows: crops with their boxes, joined with the manifest.
        videos: video id -> file.
        folder: where the crops go, one file a video.
        data: how crops are cut.
        name: of the corruption, or "none".
        level: of the corruption.

    Returns:
        The rows with ``file``, ``row`` and the box of the new crops.

    Raises:
        ValueError: a frame cannot be read any more, or the box cannot be changed since crops are
            whole frames; names it.
    """
    if name in corruptions.OF_BOX and data.crop_rule == "whole":
        raise ValueError(
            f"{name}: crops of rule 'whole' are whole frames and have no box to change; leave this "
            "corruption out (--level)"
        )
    finder = _finder(data, str(level)) if name == "detection" else None
    found = []
    for video, part in rows.groupby("video_id", sort=False):
        part = part.sort_values(["frame_index", "face"])
        if finder is not None:
            finder.reset()
        file = f"{video}.npy"
        with storage.writing(Path(folder) / file, data.crop_size) as append:
            frames = _frames(videos[str(video)], part, name, level)
            for (_, faces), (index, frame) in zip(part.groupby("frame_index"), frames, strict=True):
                for row, box in _boxes(faces, frame, index, name, level, finder):
                    crop = crop_face(frame, box, data.crop_rule, data.crop_size)
                    place = dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
                    found.append(row | place | {"file": file, "row": append(crop)})
    return pd.DataFrame(found, columns=rows.columns)


def _frames(
    path: Path, part: pd.DataFrame, name: str, level: Level
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, harmed frame) for each frame of one video's rows, in order.

    For H.264 the whole video up to the last of them is encoded, as a sequence: a frame by itself
    would be a key frame, with none of what motion prediction does.
    """
    video = str(part["video_id"].iloc[0])
    wanted = sorted(set(part["frame_index"]))
    if name == "h264":
        numbers: list[int] = []

        def readable() -> Iterator[np.ndarray]:
            for index, image, *_ in read_frames(path, list(range(wanted[-1] + 1))):
                if image is not None:
                    numbers.append(index)
                    yield image

        for place, harmed in enumerate(reencoded(readable(), int(level))):
            # The encoder had every frame before the first came out: all numbers are known.
            if numbers[place] in wanted:
                yield numbers[place], harmed
        if missing := len(set(wanted) - set(numbers)):
            raise _gone(path, f"{missing} of {len(wanted)} frames")
        return
    for index, image, problem, _ in read_frames(path, wanted):
        if image is None:
            raise _gone(path, problem)
        yield index, corruptions.picture(image, name, level, video, index)


def _gone(path: Path, what: str) -> ValueError:
    return ValueError(
        f"{path}: crops were cut out of frames that cannot be read any more ({what}); bring the "
        "video back, or make the crops again (mcx crops) without it"
    )


def _boxes(
    faces: pd.DataFrame,
    frame: np.ndarray,
    index: int,
    name: str,
    level: Level,
    finder: FaceFinder | None,
) -> Iterator[tuple[dict, Box]]:
    """The rows of one frame's faces, each with the box it is to be cut by."""
    rows = faces.to_dict("records")
    if finder is not None:
        # Of several faces, the largest first, as they were found the first time.
        for row, face in zip(rows, finder(frame, index), strict=False):
            yield row, face.box
        return
    for row in rows:
        box = (row["x1"], row["y1"], row["x2"], row["y2"])
        yield row, corruptions.moved(box, name, level, row["video_id"])


def _finder(data: DataConfig, detection: str) -> FaceFinder:
    from mcxlib.data.faces.finder import FaceFinder

    return FaceFinder(contracts.MIN_PROBABILITY[data.crop_rule] or 0.0, detection, data.faces)


def faces(
    row: pd.Series, path: Path, data: DataConfig, grid: corruptions.Grid
) -> dict[str, list[tuple[str, np.ndarray]]]:
    """One face under every level of a grid.

    Args:
        row: of a crop, joined with the manifest.
        path: of its video.
        data: how crops are cut.
        grid: (corruption, level) pairs.

    Returns:
        corruption -> (level, crop), uint8 (S, S, 3), in the order of the axis; a face that is not
        found anew is left out.
    """
    one = pd.DataFrame([row])
    seen: dict[str, dict[str, np.ndarray]] = {}
    for name, level in [(corruptions.NONE, corruptions.NONE), *grid]:
        with tempfile.TemporaryDirectory(prefix="mcx-harm-") as folder:
            found = cut(one, {row["video_id"]: path}, Path(folder), data, name, level)
            if len(found):
                crop = np.array(storage.open_crops(Path(folder) / found["file"].iloc[0])[0])
                seen.setdefault(name, {})[corruptions.text(level)] = crop
    (untouched,) = seen.pop(corruptions.NONE).values()
    shown = {name: crops | {corruptions.NONE: untouched} for name, crops in seen.items()}
    return {
        name: [(level, crops[level]) for level in corruptions.order(name, crops)]
        for name, crops in shown.items()
    }
