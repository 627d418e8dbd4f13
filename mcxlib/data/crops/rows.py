"""Which crops are used, with what is known of their videos. Light to import: tables only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pandas as pd

from mcxlib import CLASSES

MANIFEST_COLUMNS = ("split", "is_fake", "manipulation", "target_id", "donor_id")
"""What every manifest says of a video, and its crops then say too."""

FURTHER_COLUMNS = ("synthetic", "content", "source")
"""What newer manifests say besides."""

TWO_CLASSES = ("real", "fake")


def join(
    crops: pd.DataFrame,
    manifest: pd.DataFrame,
    classes: Sequence[str] = CLASSES,
    split: str | None = None,
) -> pd.DataFrame:
    """Rows of ``crops`` that hold a face, with their video's columns of ``manifest``.

    Adds ``class_index``: the place of the row's manipulation in ``classes``, -1 for others. Of the
    two classes real and fake, every fake is of the second, whatever its manipulation.

    Raises:
        ValueError: no such row is left; says what was asked and what there is.
    """
    keys = ["dataset", "video_id"]
    said = [*MANIFEST_COLUMNS, *(name for name in FURTHER_COLUMNS if name in manifest)]
    rows = crops[crops["status"] == "ok"].merge(
        manifest[keys + said], on=keys, how="inner", validate="many_to_one"
    )
    if split is not None:
        counts = rows["split"].value_counts().to_dict()
        rows = rows[rows["split"] == split]
        if rows.empty:
            raise ValueError(f"no face crop of split {split!r}; crops by split: {counts}")
    if tuple(classes) == TWO_CLASSES:
        index = rows["is_fake"].astype(int)
    else:
        places = {name: i for i, name in enumerate(classes)}
        index = rows["manipulation"].map(places).fillna(-1).astype(int)
    return rows.assign(class_index=index).reset_index(drop=True)


def fingerprint(rows: pd.DataFrame) -> str:
    """SHA-256 over which crops of which videos are used, with labels, splits and boxes, and for
    rows that go with masks which of these are known."""
    order = ["dataset", "video_id", "frame_index", *(["face"] if "face" in rows else [])]
    keys = [*order, "split", "class_index", "x1", "y1", "x2", "y2"]
    keys += ["mask_known"] if "mask_known" in rows else []
    text = rows[keys].sort_values(order).to_csv(index=False, float_format="%.2f")
    return hashlib.sha256(text.encode()).hexdigest()
