"""DFDC, the Deepfake Detection Challenge (Dolhansky et al. 2020): paid actors, eight methods.

The training parts come with a ``metadata.json`` each (label, split, original), the validation and
test videos with a ``labels.csv``.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mcxlib.data.datasets import given
from mcxlib.data.datasets.base import Dataset, Entry, Part, official
from mcxlib.data.datasets.table import dfdc_metadata

NAME = "DFDC"


def _metadata(file: Path) -> Mapping[str, Entry]:
    table = dfdc_metadata(file)
    fake = given.labels_of(file, table["label"], "DFDC's labels are REAL and FAKE")
    originals = [posixpath.splitext(name)[0] for name in table["source"]]
    entries = zip(table["path"], fake, originals, strict=True)
    return {path: Entry(bool(is_fake), original) for path, is_fake, original in entries}


def _labels(file: Path) -> Mapping[str, Entry]:
    remedy = "DFDC's labels.csv has the columns filename and label (1 is fake)"
    table = given.table_of(file, ["filename", "label"], remedy)
    given.refuse_twice(file, table["filename"], remedy)
    fake = given.labels_of(file, table["label"], remedy)
    return {name: Entry(bool(f)) for name, f in zip(table["filename"], fake, strict=True)}


def _parts(_: str) -> tuple[Part, ...]:
    def training(folder: str) -> Part:
        return Part(folder, ".+", "fake", optional=True, table="metadata.json", read=_metadata)

    def labelled(folder: str, videos: int) -> Part:
        return Part(folder, ".+", "fake", videos, True, table="labels.csv", read=_labels)

    return (
        training("dfdc_train_part_*"),
        training("train/dfdc_train_part_*"),
        labelled("validation", 4000),
        labelled("test", 5000),
    )


def _split(manifest: pd.DataFrame, root: Path) -> pd.Series:
    first = manifest["video_id"].str.split("/").str[0]
    chosen = np.select([first == "test", first == "validation"], ["test", "val"], "train")
    return pd.Series(chosen, manifest.index, dtype=object)


DATASET = Dataset(
    name=NAME,
    parts=_parts,
    unconfirmed="whether labels.csv lies in the folder of the test videos in every release, and "
    "who the people are: neither table says it",
    **official(NAME, "dfdc", _split, "the folders train, validation and test"),
)
