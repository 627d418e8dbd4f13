"""Ways to split that several data sets share: (manifest, seed, root) -> the column ``split``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

SPLITS = ("train", "val", "test")


def everything(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    """All videos, for testing."""
    return pd.Series("test", manifest.index)


def draw(*groups: tuple[str, int]) -> Callable[[pd.DataFrame, int, Path], pd.Series]:
    """A seeded draw of so many ``real``, ``fake`` or ``all`` videos, from the sorted names."""

    def split(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
        rng = np.random.default_rng(seed)
        by_name = manifest.sort_values("video_id")
        fake = by_name["is_fake"]
        of_kind = {"real": ~fake, "fake": fake, "all": fake | True}
        out = pd.Series("", manifest.index, dtype=object)
        for kind, wanted in groups:
            candidates = by_name.index[of_kind[kind]].to_numpy(copy=True)
            out.loc[rng.permutation(candidates)[:wanted]] = "test"
        return out

    return split


def test_of(
    rule: Callable[[pd.DataFrame], pd.Series],
) -> Callable[[pd.DataFrame, int, Path], pd.Series]:
    """The test part of a split of FaceForensics++: its other parts were trained on."""

    def split(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
        chosen = rule(manifest)
        return chosen.where(chosen == "test", "")

    return split
