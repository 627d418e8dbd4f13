"""DeeperForensics-1.0 (Jiang et al. 2020): actors' faces on FaceForensics++'s videos.

It hands out fakes. What is real is FaceForensics++'s videos, compression c23; put (or link) its
folder ``original_sequences`` into this one. The recordings of the actors (``source_videos``) are
not the real part, says the distributor, and are not read.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mcxlib.data.datasets import faceforensics, given
from mcxlib.data.datasets.base import Dataset, Part, official
from mcxlib.data.datasets.rules import SPLITS

NAME = "DeeperForensics-1.0"

VARIANTS = (
    "end_to_end",
    *(f"end_to_end_level_{level}" for level in range(1, 6)),
    "end_to_end_random_level",
    *(f"end_to_end_mix_{number}_distortions" for number in (2, 3, 4)),
    "reenact_postprocess",
)
"""The same thousand fakes as they are, distorted, and made otherwise."""

_LISTS = "lists/splits"
_REMEDY = "A line of it is a fake's name, such as 000_M101.mp4"


def _parts(_: str) -> tuple[Part, ...]:
    real = faceforensics.real("c23")
    return (
        real,
        *(
            Part(
                f"manipulated_videos/{variant}",
                r"(?P<target>\d{3})_(?P<donor>[MW]\d{3})",
                variant,
                1000,
                optional=variant != "end_to_end",
                source=f"{real.folder}/{{target}}",
            )
            for variant in VARIANTS
        ),
    )


def _split(manifest: pd.DataFrame, root: Path) -> pd.Series:
    """A fake by its name in the lists, a real video by the fakes made of it."""
    of_target: dict[str, str] = {}
    for split in SPLITS:
        file = Path(root) / _LISTS / f"{split}.txt"
        if not file.is_file():
            raise FileNotFoundError(
                f"{NAME} needs {given.escaped(file)}, which comes with it; without it, bring a "
                "list (--list)"
            )
        for line in given.text_of(file, _REMEDY).split():
            target = line.replace("\\", "/").rsplit("/", 1)[-1].split("_")[0]
            if of_target.setdefault(target, split) != split:
                raise ValueError(
                    f"{given.escaped(file)} has target {target}, which is in {of_target[target]} "
                    f"already. {_REMEDY}"
                )
    return manifest["target_id"].map(of_target).fillna("").astype(object)


DATASET = Dataset(
    name=NAME,
    parts=_parts,
    beside=frozenset({"source_videos", "lists", *faceforensics.BESIDE}),
    unconfirmed="whether a line of its lists is a name or a path: both are understood",
    **official(NAME, "deeperforensics", _split, "its lists train, val and test, by target"),
)
