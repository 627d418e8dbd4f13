"""DeepfakeBench's preprocessed data -> a manifest: its JSON files and its folders of frames.

DeepfakeBench stores aligned face crops, one folder of images a video, and one JSON file a data
set: data set -> label -> train/val/test (-> compression, for FaceForensics++) -> video ->
{"label", "frames"}. The crops are used as they are with ``crop_rule="whole"``; they are aligned
and tighter than the paper's, which the crop contract records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from mcxlib.data.datasets import COLUMNS, TRAINED_ON, Scan
from mcxlib.data.images import IMAGE_SUFFIXES
from mcxlib.data.layouts import layout_of

LABELS = {
    "FF-DF": "DF",
    "FF-F2F": "F2F",
    "FF-FS": "FS",
    "FF-NT": "NT",
    "FF-FH": "FaceShifter",
    "DFD_fake": "DeepFakeDetection",
}
"""DeepfakeBench's labels under the names used here. Labels that end in "real" are real; any other
is a manipulation of its own name."""

_PARTS = ("train", "val", "test")


def _entries(labels: dict, compression: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """(label, part, video, frames) of everything in one compression."""
    for label, parts in labels.items():
        for part, videos in parts.items():
            if part not in _PARTS:
                raise ValueError(f"the part {part!r} of {label!r} is none of {', '.join(_PARTS)}")
            nested = [v for v in videos.values() if "frames" not in v]
            if nested:
                videos = videos.get(compression, {})
            for video, entry in videos.items():
                yield label, part, video, list(entry["frames"])


def _folder(frames: list[str], root: Path) -> Path | None:
    """The folder of a video's frames below ``root``, wherever the JSON file was written."""
    if not frames:
        return None
    parts = PurePosixPath(frames[0].replace("\\", "/")).parent.parts
    for start in range(len(parts)):
        folder = root.joinpath(*parts[start:])
        if parts[start] not in ("/", "..", ".") and folder.is_dir():
            return folder
    return None


def _people(dataset: str, video: str, is_fake: bool) -> tuple[str, str]:
    for part in layout_of(dataset).parts("c23"):
        if (part.manipulation != "real") == is_fake and (
            match := re.fullmatch(part.pattern, video)
        ):
            found = match.groupdict()
            return tuple(
                part.identity + found[who] if found.get(who) else "" for who in ("target", "donor")
            )
    return "", ""


def read_deepfakebench(
    file: Path, root: Path, dataset: str = TRAINED_ON, compression: str = "c23"
) -> Scan:
    """The manifest of a DeepfakeBench JSON file whose frames lie below ``root``.

    A video that stands in several parts (its DeepFakeDetection in all three, Celeb-DF's test
    videos also in train) is taken as a test video before a validation video before a training
    video; ``parts`` counts them. Of data sets other than FaceForensics++ the test part is used.

    Raises:
        FileNotFoundError: no such file, or no folder of frames it names lies below ``root``.
        ValueError: not a file of that form; names what is wrong.
    """
    file, root = Path(file), Path(root)
    if not file.is_file():
        raise FileNotFoundError(f"no DeepfakeBench file {file}")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        # The file of one manipulation is headed by its label, not by the data set.
        (labels,) = content.values() if dataset not in content else (content[dataset],)
        entries = list(_entries(labels, compression))
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file} is not of DeepfakeBench's form, data set > label > part > video > frames "
            f"({type(error).__name__}: {error})"
        ) from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error

    places: dict[tuple[str, str], tuple[set[str], list[str]]] = {}
    for label, part, video, frames in entries:
        parts, _ = places.setdefault((label, video), (set(), frames))
        parts.add(part)
    rows, left_out, counts = [], [], {}
    for (label, video), (parts, frames) in places.items():
        is_fake = not label.lower().endswith("real")
        count = counts.setdefault(label, {"expected": 0, "found": 0, "in_several_parts": 0})
        count["expected"] += 1
        count["in_several_parts"] += len(parts) > 1
        folder = _folder(frames, root)
        if folder is None:
            left_out.append({"path": f"{label}/{video}", "reason": "listed, no folder of frames"})
            continue
        count["found"] += 1
        path = folder.relative_to(root).as_posix()
        target, donor = _people(dataset, video, is_fake)
        split = next(part for part in reversed(_PARTS) if part in parts)
        pictures = [f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES]
        rows.append(
            {
                "dataset": dataset,
                "video_id": path,
                "path": path,
                "is_fake": is_fake,
                "manipulation": LABELS.get(label, label) if is_fake else "real",
                "target_id": target,
                "donor_id": donor,
                "split": split if dataset == TRAINED_ON or split == "test" else "",
                "bytes": sum(f.stat().st_size for f in pictures),
            }
        )
    if not rows:
        compressions = "" if entries else f" It has nothing in compression {compression}."
        raise FileNotFoundError(
            f"none of the {len(places)} videos of {file} has a folder of frames below {root}."
            f"{compressions}"
        )
    report = [
        {"part": label, "present": True, "empty": 0, "optional": False, "left_out": 0} | count
        for label, count in counts.items()
    ]
    return Scan(
        pd.DataFrame(rows)[list(COLUMNS)],
        pd.DataFrame(report),
        pd.DataFrame(left_out, columns=["path", "reason"]),
    )
