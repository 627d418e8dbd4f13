"""WildDeepfake (Zi et al. 2020): face sequences cut out of videos from the internet.

Handed out as archives in four folders; unpacked, each holds ``real`` or ``fake``, below it one
folder a sequence with its frames. They are crops already: use them whole (``crop_rule=whole``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mcxlib.data.datasets.base import Dataset, Part, official

NAME = "WildDeepfake"


def _parts(_: str) -> tuple[Part, ...]:
    return (
        Part("real_train", ".+", "real"),
        Part("fake_train", ".+", "fake"),
        Part("real_test", ".+", "real"),
        Part("fake_test", ".+", "fake"),
    )


def _split(manifest: pd.DataFrame, root: Path) -> pd.Series:
    test = manifest["video_id"].str.contains("(?:^|/)(?:real|fake)_test/")
    return pd.Series(np.where(test, "test", "train"), manifest.index, dtype=object)


DATASET = Dataset(
    name=NAME,
    parts=_parts,
    roots=("deepfake_in_the_wild", ""),
    images=True,
    unconfirmed="which sequences come from one video: sequences of one archive may, and no name "
    "tells; how many sequences each folder should have",
    **official(NAME, "wilddeepfake", _split, "the folders _train and _test"),
)
