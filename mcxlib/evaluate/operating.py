"""What a detector's validation videos say of later answers: how often real ones reach a score."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from mcxlib.evaluate.calibration import fit_temperature
from mcxlib.evaluate.videos import video_scores

RARE = 0.01
"""Share of real videos that may reach the level of the strongest verdict."""

LEAST_REAL = 100
"""Real videos below which nothing is said of one in a hundred."""


def real_videos(frames: pd.DataFrame, thresholds: Iterable[float]) -> dict[str, Any]:
    """How many of the real videos reach which score, ready for JSON.

    Args:
        frames: one row a frame, as :func:`mcxlib.evaluate.video_scores` takes them.
        thresholds: scores to count at.

    Returns:
        ``videos``; ``reach``, the number at or above each threshold; ``rare_level``, the lowest
        score that at most ``RARE`` of them reach, and ``reach_rare_level`` how many do. Both are
        None for fewer than ``LEAST_REAL`` videos.
    """
    videos = video_scores(frames)
    score = videos.loc[~videos["is_fake"].astype(bool), "fake_score"].to_numpy(np.float64)
    reach = [{"threshold": t, "videos": int((score >= t).sum())} for t in thresholds]
    level: float | None = None
    if len(score) >= LEAST_REAL:
        allowed = int(RARE * len(score) + 1e-9)
        # Just above the highest score that more videos than that reach.
        level = float(np.nextafter(np.sort(score)[::-1][allowed], np.inf))
    return {
        "score": "mean of the frames' scores",
        "videos": len(score),
        "reach": reach,
        "rare_level": level,
        "reach_rare_level": None if level is None else int((score >= level).sum()),
    }


def calibration(frames: pd.DataFrame) -> dict[str, Any]:
    """The temperature of the videos' scores, ready for JSON; where there is none, why.

    Args:
        frames: as :func:`real_videos`.
    """
    videos = video_scores(frames)
    fake = videos["is_fake"].to_numpy(bool)
    counts = {"videos_real": int((~fake).sum()), "videos_fake": int(fake.sum())}
    try:
        found = fit_temperature(fake, videos["fake_score"])
    except ValueError as error:
        return counts | {"temperature": None, "why": str(error)}
    return counts | {
        "method": "temperature",
        "score": "mean of the frames' scores",
        "prior": "real and fake equally common",
        **found._asdict(),
    }
