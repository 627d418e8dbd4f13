"""DFDC's preview (Dolhansky et al. 2019): paid actors, two methods, under DeepfakeBench's name."""

from __future__ import annotations

import posixpath
from pathlib import Path

import pandas as pd

from mcxlib.data.datasets import given
from mcxlib.data.datasets.base import Dataset, Part, official

NAME = "DFDCP"
LIST = "dataset.json"
"""The preview's own table: path -> label, set (train or test), ids of the people, augmentations."""

_ROOTS = ("dfdc_preview_set", "")
_REMEDY = "The preview's dataset.json maps paths to objects with label and set (train or test)"

_SOURCE = "original_videos/{target}/{target}_{clip}"


def _parts(_: str) -> tuple[Part, ...]:
    # Whose face was put in, the person seen, the recording and its number. Names of another form
    # are used, their people unknown.
    swapped = r"(?:(?:.*/)?(?P<donor>\d+)_(?P<target>\d+)_(?P<clip>[^/]+)|.+)"
    return (
        Part("original_videos", r"(?:(?:.*/)?(?P<target>\d+)_(?P<clip>[^/]+)|.+)", "real", 1131),
        Part("method_A", swapped, "method_A", source=_SOURCE),
        Part("method_B", swapped, "method_B", source=_SOURCE),
    )


def _split(manifest: pd.DataFrame, root: Path) -> pd.Series:
    found = [base for base in _ROOTS if (root / base / LIST).is_file()]
    if not found:
        raise FileNotFoundError(
            f"{NAME} needs {given.escaped(root / LIST)}, which comes with it and says what is for "
            "training and what for testing; without it, bring a list (--list)"
        )
    file = root / found[0] / LIST
    content = given.json_of(file, _REMEDY)
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise ValueError(f"{given.escaped(file)} is no table of videos. {_REMEDY}")
    sets = {}
    for path, about in content.items():
        if about.get("set") not in ("train", "test"):
            raise ValueError(
                f"{given.escaped(file)} puts {given.escaped(path)} into the set "
                f"{about.get('set')!r}. {_REMEDY}"
            )
        sets[posixpath.splitext(path)[0]] = about["set"]
    return manifest["video_id"].map(sets).fillna("").astype(object)


DATASET = Dataset(
    name=NAME,
    parts=_parts,
    roots=_ROOTS,
    unconfirmed="that every fake is named swapped_target_recording_number, as examples are",
    **official(NAME, "dfdcp", _split, "its dataset.json"),
)
