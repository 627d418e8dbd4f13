"""Celeb-DF, version 2 (Li et al. 2020): celebrities, Table 3."""

from __future__ import annotations

import posixpath
from pathlib import Path

import numpy as np
import pandas as pd

from mcxlib.data.datasets.base import Dataset, Part, Printed, Protocol
from mcxlib.data.datasets.given import escaped, text_of

LIST = "List_of_testing_videos.txt"
"""The data set's own list of 518 test videos, in its root: a line is a label (1 real, 0 fake) and
a path."""

_REMEDY = "It comes with the data set: lines of a label (1 real, 0 fake) and a path."


def _parts(_: str) -> tuple[Part, ...]:
    return (
        Part("Celeb-real", r"(?P<target>id\d+)_\d{4}", "real", 590),
        Part("YouTube-real", r"(?P<target>\d{5})", "real", 300),
        Part(
            "Celeb-synthesis",
            r"(?P<target>id\d+)_(?P<donor>id\d+)_(?P<clip>\d{4})",
            "Celeb-synthesis",
            5639,
            source="Celeb-real/{target}_{clip}",
        ),
    )


def _paper(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    number = pd.to_numeric(manifest["target_id"].str.removeprefix("id"), errors="coerce")
    youtube = manifest["video_id"].str.startswith("YouTube-real/")
    chosen = np.where(youtube, number.between(240, 299), number.between(51, 61))
    return pd.Series(np.where(chosen, "test", ""), manifest.index)


def _listed(file: Path) -> dict[str, bool]:
    """Video id -> whether it is fake, of Celeb-DF's own list."""
    listed: dict[str, bool] = {}
    for number, line in enumerate(text_of(file, _REMEDY).split("\n"), 1):
        if not line.strip():
            continue
        label, path = (*line.split(maxsplit=1), "")[:2]
        if label not in ("0", "1") or not path.strip():
            raise ValueError(f"{escaped(file)}: line {number} is {line.strip()!r}. {_REMEDY}")
        path = posixpath.normpath(path.strip().replace("\\", "/"))
        video = posixpath.splitext(path)[0]
        if listed.setdefault(video, label == "0") != (label == "0"):
            raise ValueError(f"{escaped(file)}: {video} is labelled both real and fake. {_REMEDY}")
    return listed


def _official(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    return by_list(manifest, Path(root) / LIST, "celebdf_official", "use celebdf_paper")


def by_list(manifest: pd.DataFrame, file: Path, protocol: str, without: str) -> pd.Series:
    """The test part of Celeb-DF's own list; ``without``: what to do where there is no list.

    Raises:
        FileNotFoundError: no list.
        ValueError: not such a list, or labels that differ from the folders'.
    """
    if not file.is_file():
        raise FileNotFoundError(
            f"{protocol} needs {escaped(file)}: it comes with the data set; without it, {without}"
        )
    listed = _listed(file)
    # The published list says 1 for real; a list that contradicts the folders is another file.
    on_disk = manifest[manifest["video_id"].isin(listed)]
    wrong = on_disk[on_disk["video_id"].map(listed) != on_disk["is_fake"]]
    if len(wrong):
        raise ValueError(
            f"{escaped(file)} labels {len(wrong)} videos otherwise than the folders they lie in, "
            f"{wrong['video_id'].iloc[0]} among them"
        )
    out = pd.Series(np.where(manifest["video_id"].isin(listed), "test", ""), manifest.index)
    out.attrs["absent"] = sorted(set(listed) - set(manifest["video_id"]))
    return out


DATASET = Dataset(
    name="Celeb-DF-v2",
    parts=_parts,
    protocols={
        "celebdf_paper": Protocol(
            "section 4.1: targets id51 to id61, and YouTube-real 00240 to 00299", _paper
        ),
        "celebdf_official": Protocol("the list of 518 test videos that comes with it", _official),
    },
    choose=lambda config: config.celebdf_protocol,
    paper=Printed(table=3, place=2, columns=("Celeb-DF",)),
)
