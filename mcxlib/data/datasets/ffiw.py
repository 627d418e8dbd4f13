"""FFIW10K (Zhou et al. 2021): videos from the internet with several people, some faces swapped."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mcxlib.data.datasets.base import Dataset, Part, official
from mcxlib.data.datasets.rules import SPLITS

NAME = "FFIW10K"

_NAME = r"(?:videos/)?[^/]+"


def _parts(_: str) -> tuple[Part, ...]:
    published = {"train": 8000, "val": 250, "test": 0}
    return tuple(
        Part(f"{folder}/{split}", _NAME, kind, videos, optional=split == "test")
        for folder, kind in (("source", "real"), ("target", "fake"))
        for split, videos in published.items()
    )


def _split(manifest: pd.DataFrame, root: Path) -> pd.Series:
    part = manifest["video_id"].str.split("/").str[1]
    return part.where(part.isin(SPLITS), "").astype(object)


DATASET = Dataset(
    name=NAME,
    parts=_parts,
    roots=("FFIW10K-v1-release", "FFIW10K-v1-release-test", ""),
    beside=frozenset({"target_mask"}),
    unconfirmed="which real video a fake was made from (equal numbers need not belong together), "
    "and the layout of its test part, handed out apart from the rest",
    **official(NAME, "ffiw", _split, "the folders train, val and test"),
)
