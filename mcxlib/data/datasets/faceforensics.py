"""FaceForensics++ (Rössler et al. 2019), with what is handed out beside it."""

from __future__ import annotations

import io
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from mcxlib import CLASSES
from mcxlib.data.datasets.base import Dataset, Part, Printed, Protocol
from mcxlib.data.datasets.rules import SPLITS

NAME = "FaceForensics++"

MANIPULATIONS = MappingProxyType(
    {"DF": "Deepfakes", "F2F": "Face2Face", "FS": "FaceSwap", "NT": "NeuralTextures"}
)
"""The folder of each manipulation the paper trains on."""

BESIDE = frozenset({"masks", "models", "images", "frames", "faces", "landmarks"})


def real(compression: str) -> Part:
    return Part(
        f"original_sequences/youtube/{compression}/videos", r"(?P<target>\d{3})", "real", 1000
    )


def fake(compression: str, folder: str, name: str, optional: bool = False) -> Part:
    return Part(
        f"manipulated_sequences/{folder}/{compression}/videos",
        r"(?P<target>\d{3})_(?P<donor>\d{3})",
        name,
        1000,
        optional,
        source=f"original_sequences/youtube/{compression}/videos/{{target}}",
    )


def actors(compression: str, optional: bool = False) -> tuple[Part, ...]:
    """Filmed with paid actors, numbered apart from the people of the YouTube videos."""
    originals = f"original_sequences/actors/{compression}/videos"
    return (
        Part(originals, r"(?P<target>\d{2})__.+", "real", 363, optional, "actor"),
        Part(
            f"manipulated_sequences/DeepFakeDetection/{compression}/videos",
            # Actor, actor, scene, and eight letters that tell fakes of one scene apart.
            r"(?P<target>\d{2})_(?P<donor>\d{2})__(?P<scene>.+?)(?:__[^_]+)?",
            "DeepFakeDetection",
            3068,
            optional,
            "actor",
            f"{originals}/{{target}}__{{scene}}",
        ),
    )


def _parts(compression: str) -> tuple[Part, ...]:
    return (
        real(compression),
        *(fake(compression, folder, name) for name, folder in MANIPULATIONS.items()),
        fake(compression, "FaceShifter", "FaceShifter", optional=True),
        *actors(compression, optional=True),
    )


def mask_of(path: str) -> str:
    """Where the masks of a fake lie: one video for all compressions."""
    *folders, _, kind, name = path.split("/")
    return "/".join([*folders, "masks", kind, name])


@cache
def official_pairs() -> pd.DataFrame:
    """FaceForensics++'s published split: 500 pairs of videos, columns split, first, second.

    Each pair was manipulated both ways, so that a fake's target and donor are always in one part:
    720 videos for training, 140 for validation, 140 for testing.
    """
    file = files("mcxlib.data.datasets").joinpath("splits/faceforensics_official.csv")
    text = file.read_text("utf-8")
    return pd.read_csv(io.StringIO(text), dtype=str)


def _used_in_paper(manifest: pd.DataFrame) -> pd.Series:
    by_actors = manifest["target_id"].str.startswith("actor")
    return manifest["manipulation"].isin(["real", *MANIPULATIONS]) & ~by_actors


def by_target_number(manifest: pd.DataFrame) -> pd.Series:
    """The paper's split of the YouTube people, whatever was made of their videos."""
    number = pd.to_numeric(manifest["target_id"], errors="coerce")
    return pd.Series(
        np.select([number < 600, number < 800, number >= 800], SPLITS, ""), manifest.index
    )


def by_official_list(manifest: pd.DataFrame) -> pd.Series:
    """The published split of the YouTube people, whatever was made of their videos."""
    part = official_pairs().melt("split", ["first", "second"]).set_index("value")["split"]
    return manifest["target_id"].map(part).fillna("")


def _paper(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    return by_target_number(manifest).where(_used_in_paper(manifest), "")


def _official(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    return by_official_list(manifest).where(_used_in_paper(manifest), "")


def published_faceforensics() -> pd.DataFrame:
    """The manifest columns that matter for a split, of the whole FaceForensics++ as published.

    It follows from the published pairs alone: 1,000 originals, and for each of the four
    manipulations both directions of every pair. No video is needed to check a split for leaks.
    """
    pairs = official_pairs()
    both = [*zip(pairs["first"], pairs["second"], strict=True)]
    both += [(b, a) for a, b in both]
    rows = [("real", target, "") for target, _ in both]
    rows += [(name, target, donor) for name in MANIPULATIONS for target, donor in both]
    table = pd.DataFrame(rows, columns=["manipulation", "target_id", "donor_id"])
    video = table["target_id"] + ("_" + table["donor_id"]).where(table["donor_id"] != "", "")
    return table.assign(
        dataset=NAME,
        video_id=table["manipulation"] + "/" + video,
        is_fake=table["manipulation"] != "real",
    )


DATASET = Dataset(
    name=NAME,
    parts=_parts,
    protocols={
        "paper": Protocol(
            "section 4.1 and the released list builder: by the target's number, below 600 / 600 "
            "to 799 / from 800",
            _paper,
        ),
        "official": Protocol("the published split, 720 / 140 / 140 videos by pairs", _official),
    },
    choose=lambda config: config.protocol,
    trains=True,
    outputs=CLASSES,
    paper=Printed(table=1, place=0, columns=tuple(MANIPULATIONS)),
    beside=BESIDE,
    mask_of=mask_of,
)
