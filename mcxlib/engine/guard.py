"""Refuse data that cannot be selected on, or that would make a test on the test data no test."""

from __future__ import annotations

import pandas as pd

from mcxlib.config import RunConfig
from mcxlib.data.datasets import shared_identities


def check(config: RunConfig, rows: pd.DataFrame) -> None:
    """Look at the joined rows of all splits before anything is trained.

    Raises:
        ValueError: a split is missing, one class only, or parts that share videos, equal content
            or people; names some of them.
    """
    train, val, test = (rows[rows["split"] == s] for s in ("train", "val", "test"))
    for name, part in (("train", train), ("val", val)):
        if part.empty:
            raise ValueError(f"no face crop in the {name!r} split: nothing to train or select on")
        if part["is_fake"].nunique() < 2:
            _refuse_one_class(name, "fake" if part["is_fake"].iloc[0] else "real")
    for name, part in (("training", train), ("validation", val)):
        _refuse_overlap(config, name, part, test)


def _refuse_one_class(split: str, kind: str) -> None:
    other = "real" if kind == "fake" else "fake"
    if split == "val":
        raise ValueError(
            f"the validation data hold only {kind} crops, and neither BOSC nor AUC can be computed "
            "from one kind: no epoch could be selected. Put videos of the other kind into the "
            "'val' split"
        )
    raise ValueError(
        f"the training data hold only {kind} crops: a network would learn to say {kind!r} to "
        f"everything. Put {other} videos into the 'train' split"
    )


def _refuse_overlap(config: RunConfig, name: str, part: pd.DataFrame, test: pd.DataFrame) -> None:
    videos = set(part["video_id"]) & set(test["video_id"])
    targets = (set(part["target_id"]) & set(test["target_id"])) - {""}
    copies: set[str] = set()
    if "content" in part and "content" in test:
        equal = (set(part["content"]) & set(test["content"])) - {""}
        copies = set(test.loc[test["content"].isin(equal), "video_id"])
    # The paper splits by target, and donors do cross its parts: they are counted and published.
    # In the published split, and in those made here, no identity crosses: it would be a mistake.
    people: set[str] = set()
    if config.data.train_on != "FaceForensics++" or config.data.protocol != "paper":
        people = set(shared_identities(part, test)) - targets
    if not (videos or targets or copies or people):
        return
    found = [f"{len(videos)} videos and {len(targets)} target identities"]
    if copies:
        found.append(f"{len(copies)} copies of a video under another name")
    if people:
        found.append(f"{len(people)} identities through a donor")
    some = ", ".join(sorted(videos | targets | copies | people)[:5])
    raise ValueError(
        f"the {name} data share {' and '.join(found)} with the test data ({some}, ...): a score on "
        "the test data would not be a test"
    )
