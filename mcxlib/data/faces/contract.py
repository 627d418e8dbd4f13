"""What decides how a crop looks, and what a crop table holds. Light to import.

Crops are used by another program or on another day only if their contract is the same.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from mcxlib.settings.data import DataConfig

COLUMNS = (
    "dataset",
    "video_id",
    "frame_index",
    "face",
    "status",
    "probability",
    "x1",
    "y1",
    "x2",
    "y2",
    "file",
    "row",
    "source_bytes",
    "note",
)
"""``status`` is one of ``STATUSES``; ``face`` counts the faces of a frame, the largest is 0;
the box is in frame pixels; ``file`` and ``row`` say where the crop lies (file relative to the crop
folder, '' and -1 if there is none); ``source_bytes`` is the size of the video's file; ``note`` says
why there is no crop, or how the frame was read and its face chosen."""

STATUSES = ("ok", "no_face", "unreadable", "failed")
"""A crop; a frame that shows no face; a frame (or, with index -1, a video) that cannot be read; a
frame on which finding or cutting out the face raised an error, which is in the note."""

LOOSE_FACTOR = 1.3
"""Side of the loose crop over the longer side of MTCNN's box. The paper gives no figure; the
released code's margin (120 px of a 512 px crop) comes to 1.31."""

MIN_PROBABILITY = {"loose": 0.9, "authors": 0.98, "seferbekov": 0.8, "aligned": 0.9, "whole": None}
"""Of a face, by crop rule. The released code's is 0.98, that of Seferbekov's for scoring 0.8."""

SMOOTH = 12
"""Frames over which the points of an aligned face are averaged, the last ones up to this one;
LipForensics averages as many."""

MIN_FACE = 20
"""MTCNN's own smallest face, in pixels."""


def contract(config: DataConfig) -> dict[str, Any]:
    """Everything that decides what a crop looks like; stored with crops and in checkpoints."""
    detected = config.crop_rule != "whole"
    # A key of its own, so that contracts of crops without it are what they were.
    points = {"points": f"5, mean of {SMOOTH} frames"} if config.crop_rule == "aligned" else {}
    return points | {
        "detector": "MTCNN" if detected else None,
        "facenet_pytorch": version("facenet-pytorch") if detected else None,
        "detection": config.detection if detected else None,
        "min_probability": MIN_PROBABILITY[config.crop_rule],
        "faces": config.faces if detected else None,
        "crop_rule": config.crop_rule,
        "loose_factor": LOOSE_FACTOR if config.crop_rule == "loose" else None,
        "crop_size": config.crop_size,
        "colour_order": "RGB",
        "frame_rule": config.frame_rule,
        "frame_count": config.frame_count,
        "frame_step": config.frame_step if config.frame_rule == "every" else None,
    }


def contract_difference(stored: dict[str, Any], wanted: dict[str, Any]) -> str:
    """'' if the two agree, else the settings that differ, as 'name: stored, wanted'."""
    keys = sorted(stored.keys() | wanted.keys())
    return "; ".join(
        f"{k}: {stored.get(k)!r} stored, {wanted.get(k)!r} wanted"
        for k in keys
        if stored.get(k) != wanted.get(k)
    )
