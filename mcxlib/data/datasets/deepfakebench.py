"""DeepfakeBench's preprocessed data -> a manifest: its JSON files and its folders of frames.

DeepfakeBench stores aligned face crops, one folder of images a video, and one JSON file a data
set: data set -> label -> train/val/test (-> compression, for FaceForensics++) -> video ->
{"label", "frames"}. The crops are used as they are with ``crop_rule="whole"``; they are aligned
and tighter than the paper's, which the crop contract records.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pandas as pd

from mcxlib.data.datasets.given import escaped, json_of
from mcxlib.data.datasets.layout import matching, people, source_of
from mcxlib.data.datasets.manifest import (
    Gathered,
    Scan,
    build,
    checked,
    left_out,
    missing_classes,
    part_report,
    with_contents,
)
from mcxlib.data.datasets.places import trained_on
from mcxlib.data.datasets.registry import find
from mcxlib.data.datasets.walk import Item, Refused, pictures

if TYPE_CHECKING:
    from mcxlib.settings.data import DataConfig

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

PROTOCOL = "deepfakebench"
"""The name of the split that its files make."""

_PARTS = ("train", "val", "test")
_FORM = "DeepfakeBench's form is data set > label > part > video > frames"


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
                yield label, part, video, [frame for frame in entry["frames"] if frame.strip()]


def _read(file: Path, dataset: str, compression: str) -> list[tuple[str, str, str, list[str]]]:
    content = json_of(file, _FORM)
    try:
        # The file of one manipulation is headed by its label, not by the data set.
        labels = content[dataset] if dataset in content else _only(content, dataset)
        return list(_entries(labels, compression))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{escaped(file)} is not of {_FORM.replace(' is', ',', 1)} "
            f"({type(error).__name__}: {error})"
        ) from error
    except ValueError as error:
        raise ValueError(f"{escaped(file)}: {error}. {_FORM}") from error


def _only(content: Any, dataset: str) -> dict:
    if not isinstance(content, dict):
        raise TypeError(f"a {type(content).__name__}")
    if len(content) != 1:
        heads = ", ".join(map(str, content)) or "nothing"
        raise ValueError(f"it is headed by {heads}, not by {dataset}")
    return next(iter(content.values()))


def _folder(frames: list[str], root: Path) -> Path | None:
    """The folder of a video's frames below ``root``, wherever the JSON file was written."""
    if not frames or "\0" in frames[0] or escaped(frames[0]) != frames[0]:
        return None
    parts = PurePosixPath(frames[0].replace("\\", "/")).parent.parts
    for start in range(len(parts)):
        folder = root.joinpath(*parts[start:])
        if not {"/", "..", "."} & set(parts[start:]) and folder.is_dir():
            return folder
    return None


def _row(
    label: str, video: str, folder: Path, root: Path, dataset: str, reals: dict[str, str]
) -> dict[str, Any]:
    """The manifest row of one video; ``reals`` are the ids of real videos by their names."""
    is_fake = not label.lower().endswith("real")
    part, groups = matching(find(dataset), video, is_fake) or (None, {})
    path = folder.relative_to(root).as_posix()
    origin = PurePosixPath(source_of(part, groups)).name if part and is_fake else ""
    return {
        "video_id": path,
        "path": path,
        "is_fake": is_fake,
        "manipulation": escaped(LABELS.get(label, label)) if is_fake else "real",
        **(people(part, groups) if part else {"target_id": "", "donor_id": ""}),
        "source": reals.get(origin, ""),
    }


def read_deepfakebench(file: Path, root: Path, dataset: str, config: DataConfig) -> Scan:
    """The manifest of a DeepfakeBench JSON file whose frames lie below ``root``.

    A video that stands in several parts (its DeepFakeDetection in all three, Celeb-DF's test
    videos also in train) is taken as a test video before a validation video before a training
    video; ``parts`` counts them. Of data sets that are not trained on the test part is used.

    Raises:
        FileNotFoundError: no such file, or no folder of frames it names lies below ``root``.
        ValueError: not a file of that form; names what is wrong.
    """
    file, root = Path(file), Path(root).absolute()
    entries = _read(file, dataset, config.compression)
    places: dict[tuple[str, str], tuple[set[str], list[str]]] = {}
    for label, part, video, frames in entries:
        parts, _ = places.setdefault((label, video), (set(), frames))
        parts.add(part)
    folders = {key: _folder(frames, root) for key, (_, frames) in places.items()}
    reals = {
        video: folder.relative_to(root).as_posix()
        for (label, video), folder in folders.items()
        if folder is not None and label.lower().endswith("real")
    }

    training = trained_on(dataset, config)
    rows: list[dict[str, Any]] = []
    refused: list[Refused] = []
    report: list[dict[str, Any]] = []
    taken: set[Path] = set()
    for label in dict.fromkeys(label for label, _ in places):
        videos = [video for of, video in places if of == label]
        gone, found = [], []
        for video in videos:
            folder = folders[label, video]
            item = (
                pictures(folder)
                if folder
                else Refused(root / label / video, "listed, no folder of frames")
            )
            if folder in taken:
                item = Refused(root / label / video, "its folder is another video's already")
            if folder is not None and isinstance(item, Item):
                taken.add(folder)
                row = _row(label, video, folder, root, dataset, reals)
                part = next(p for p in reversed(_PARTS) if p in places[label, video][0])
                found.append((row | {"split": part if training or part == "test" else ""}, item))
            elif isinstance(item, Refused):
                gone.append(item)
        read, unreadable = with_contents(found)
        rows += read
        gone += unreadable
        refused += gone
        several = sum(len(places[label, video][0]) > 1 for video in videos)
        counts = part_report(escaped(label), read, gone, expected=len(videos))
        report.append(counts | {"in_several_parts": several})
    if not rows:
        compressions = "" if entries else f" It has nothing in compression {config.compression}."
        raise FileNotFoundError(
            f"none of the {len(places)} videos of {escaped(file)} has a folder of frames below "
            f"{escaped(root)}.{compressions}"
        )
    manifest = checked(build(Gathered(rows, [], []), dataset, root))
    return Scan(
        manifest,
        pd.DataFrame(report),
        left_out(refused, root),
        PROTOCOL,
        f"{dataset}_{PROTOCOL}",
        missing_classes=missing_classes(manifest),
    )
