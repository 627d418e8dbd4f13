"""What the scores of one data set say, in lines for a terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mcxlib.evaluate.report import binary_report


def lines(scored: pd.DataFrame, level: float = 0.95) -> list[str]:
    """BOSC, AUC, sensitivity and specificity with intervals, by video; of one class what can be
    said of it, and how many videos were not judged and why."""
    rule = scored.attrs.get("video_rule", "mean")
    found = binary_report(scored, level, reduction=rule)
    said = [f"{found['videos_real']} real and {found['videos_fake']} fake videos judged"]
    if rule != "mean":
        said.append(f"video score: {rule}")
    for name, scale, unit in (
        ("bosc", 100, " %"),
        ("auc", 1, ""),
        ("sensitivity", 100, " %"),
        ("specificity", 100, " %"),
    ):
        if (value := found.get(name)) is not None:
            said.append(f"{name.upper() if len(name) < 5 else name}: {_number(value, scale, unit)}")
    said += found["notes"]
    left_out = scored.attrs.get("videos_left_out", {})
    for reason, count in left_out.items():
        said.append(f"{count} videos not judged: {reason}")
    return said


def _number(value: dict[str, Any], scale: float, unit: str) -> str:
    digits = 1 if scale == 100 else 3
    text = f"{scale * value['estimate']:.{digits}f}{unit}"
    if value["low"] is None:
        return text
    return f"{text} ({scale * value['low']:.{digits}f} to {scale * value['high']:.{digits}f})"
