"""Celeb-DF++ (Li et al. 2025): Celeb-DF's people under 22 methods of three kinds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mcxlib.data.datasets.base import Dataset, Part, Protocol
from mcxlib.data.datasets.celebdf import LIST, by_list

METHODS = {
    "FaceSwap": (
        *("Celeb-DF*", "BlendFace", "GHOST", "HifiFace", "InSwapper", "MobileFaceSwap"),
        *("SimSwap", "UniFace"),
    ),
    "FaceReenact": ("DaGAN", "FSRT", "HyperReenact", "LIA", "LivePortrait", "MCNET", "TPSMM"),
    "TalkingFace": (
        *("AniTalker", "EchoMimic", "EDTalk", "FLOAT", "IP_LAP", "Real3DPortrait", "SadTalker"),
    ),
}
"""The folders of each kind. Celeb-DF's own fakes are called Celeb-DF or Celeb-DF-v2."""

_SOURCE = "Celeb-real/{target}_{clip}"


def _fakes(kind: str) -> tuple[Part, ...]:
    # A talking face is driven by sound, and no other person is named.
    other = r"_test_.+" if kind == "TalkingFace" else ""
    donor = "" if kind == "TalkingFace" else r"(?P<donor>id\d+)_"
    pattern = rf"(?P<target>id\d+)_{donor}(?P<clip>\d{{4}}){other}"
    return tuple(
        Part(f"Celeb-synthesis/{kind}/{method}", pattern, "*", source=_SOURCE)
        for method in METHODS[kind]
    )


def _parts(_: str) -> tuple[Part, ...]:
    return (
        Part("Celeb-real", r"(?P<target>id\d+)_\d{4}", "real", 590),
        Part("YouTube-real", r"(?P<target>\d{5})", "real", 300),
        *(part for kind in METHODS for part in _fakes(kind)),
    )


def _official(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    return by_list(manifest, Path(root) / LIST, "celebdfpp_official", "bring a list (--list)")


DATASET = Dataset(
    name="Celeb-DF++",
    parts=_parts,
    protocols={
        "celebdfpp_official": Protocol("the list of test videos that comes with it", _official)
    },
    unconfirmed="the names of talking faces (target_recording_test_reference) and which of its two "
    "videos a reenactment's number means; how many fakes each method has",
)
