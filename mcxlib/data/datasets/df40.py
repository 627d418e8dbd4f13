"""DF40 (Yan et al. 2024): forty methods, faces already cut out, one folder of frames a video.

Its fakes come without the real videos of FaceForensics++ and Celeb-DF they were made from; those
are handed out beside it, cut in the same way, and lie beside the methods here. Use the frames
whole (``crop_rule=whole``). DeepfakeBench's JSON files for it are read, too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mcxlib.data.datasets import faceforensics
from mcxlib.data.datasets.base import Dataset, Part, Protocol

_FAKE = (
    r"(?:(?P<real>real)(?:/|$)|fake(?:/|$))?(?:(?:ff|cdf)/)?(?:frames/)?"
    r"(?:(?P<target>\d{3}|id\d+)_(?P<donor>\d{3}|id\d+)(?:_\d{4})?|.*)"
)
_FACEFORENSICS = "FaceForensics++/original_sequences/youtube/*/frames"


def _parts(_: str) -> tuple[Part, ...]:
    return (
        *(
            Part(f"{folder}/*", _FAKE, "*", optional=True)
            for folder in ("test", "train", "DF40", "DF40_train")
        ),
        Part(_FACEFORENSICS, r"(?P<target>\d{3})", "real"),
        Part("Celeb-DF-v2/Celeb-real/frames", r"(?P<target>id\d+)_\d{4}", "real"),
        Part("Celeb-DF-v2/YouTube-real/frames", r"(?P<target>\d{5})", "real"),
    )


def _test(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    first = manifest["video_id"].str.split("/").str[0]
    youtube = first.eq("FaceForensics++")
    ours = faceforensics.by_official_list(manifest).eq("test")
    trained = first.isin(["train", "DF40_train"])
    return pd.Series(np.where(trained | (youtube & ~ours), "", "test"), manifest.index)


DATASET = Dataset(
    name="DF40",
    parts=_parts,
    protocols={
        "df40_test": Protocol(
            "the test folder, and the real videos: of FaceForensics++ those of its published test "
            "part",
            _test,
        )
    },
    images=True,
    beside=frozenset({"landmarks", "masks"}),
    unconfirmed="the folders inside the methods' archives differ (some have ff and cdf, some "
    "frames, some neither); all of these are read, a real folder inside one as real. Which source "
    "images a whole synthetic face belongs to",
)
