"""What a crop table has no face for, and what there is to know about the faces it has."""

from __future__ import annotations

import pandas as pd

from mcxlib.data.faces.choice import ANOTHER_PERSON, SEVERAL


def left_out(crops: pd.DataFrame) -> pd.DataFrame:
    """What a crop table has no face for: video_id, status, frames, note; one row a reason."""
    bad = crops[crops["status"] != "ok"]
    return (
        bad.groupby(["video_id", "status", "note"])
        .size()
        .rename("frames")
        .reset_index()[["video_id", "status", "frames", "note"]]
    )


def report(crops: pd.DataFrame) -> dict[str, int]:
    """Counts of a crop table: videos, frames asked, faces found, what was left out, and what is
    noted. Tables of older code have no notes on the choice of faces; their counts are 0.

    Several faces are counted as far as they were looked for: ``detection="fast"`` with
    ``faces="largest"`` passes over faces much smaller than the last frame's largest, and
    ``"tracked"`` also over those that have come in since the last search.
    """
    frames = crops.drop_duplicates(["video_id", "frame_index"])
    whole = crops.groupby("video_id")["status"].agg(lambda s: (s != "ok").all())
    single = crops["frame_index"] >= 0
    several = crops[crops["face"].gt(0) | _noted(crops, SEVERAL)]
    return {
        "videos": int(crops["video_id"].nunique()),
        "frames asked": int((frames["frame_index"] >= 0).sum()),
        "faces found": int((crops["status"] == "ok").sum()),
        "no face": int((crops["status"] == "no_face").sum()),
        "unreadable frames": int(((crops["status"] == "unreadable") & single).sum()),
        "failed frames": int((crops["status"] == "failed").sum()),
        "unreadable videos": int(((crops["status"] == "unreadable") & ~single).sum()),
        "videos without any face": int(whole.sum()),
        "frames with several faces": len(several.drop_duplicates(["video_id", "frame_index"])),
        "videos in which the largest face switches": _videos(crops, ANOTHER_PERSON),
        "videos with a display matrix not applied in full": _videos(crops, "display matrix of"),
        "pictures cut short": int((_noted(crops, "cut short") & (crops["status"] == "ok")).sum()),
    }


def _noted(crops: pd.DataFrame, words: str) -> pd.Series:
    return crops["note"].fillna("").str.contains(words, regex=False)


def _videos(crops: pd.DataFrame, words: str) -> int:
    return int(crops.loc[_noted(crops, words), "video_id"].nunique())
