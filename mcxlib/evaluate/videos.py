"""Scores of frames -> one score a video."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mcxlib.evaluate.calibration import logit
from mcxlib.evaluate.checks import no_nan

REDUCTIONS = ("mean", "median", "top_k", "confident", "logits")
"""Ways from the scores of a video's frames to the video's score."""


def video_scores(frames: pd.DataFrame, reduction: str = "mean", top_k: int = 5) -> pd.DataFrame:
    """Scores of frames -> one score a video.

    Args:
        frames: one row a frame, with columns dataset, video_id, is_fake, manipulation and
            fake_score.
        reduction: ``"mean"`` (the default of the paper's released code), ``"median"``,
            ``"top_k"``: the mean of the ``top_k`` highest scores, of all if there are fewer;
            ``"confident"``, see :func:`confident`; or ``"logits"``, see :func:`of_logits`.
        top_k: see above.

    Returns:
        One row a video in order of first appearance: dataset, video_id, is_fake, manipulation,
        fake_score, n_frames, and every other column that has one value a video (frame_index and
        the p_... probabilities are left out, being a frame's).

    Raises:
        ValueError: for missing columns, no rows, NaN scores, a video whose frames disagree on
            is_fake or manipulation, an unknown reduction or a ``top_k`` below 1.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"unknown reduction {reduction!r}; valid names: {', '.join(REDUCTIONS)}")
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    key = ["dataset", "video_id"]
    fixed = ["is_fake", "manipulation"]
    missing = [c for c in (*key, *fixed, "fake_score") if c not in frames]
    if missing:
        raise ValueError(f"frames lack the columns {', '.join(missing)}")
    if frames.empty:
        raise ValueError("frames have no rows")
    no_nan(frames["fake_score"].to_numpy(dtype=np.float64))

    groups = frames.groupby(key, sort=False, observed=True, dropna=False)
    extra = [
        c
        for c in frames.columns
        if c not in (*key, *fixed, "fake_score", "frame_index") and not c.startswith("p_")
    ]
    values = groups[[*fixed, *extra]].nunique(dropna=False)
    for column in fixed:
        mixed = values.index[values[column] > 1]
        if len(mixed):
            raise ValueError(
                f"{len(mixed)} videos have frames that disagree on {column}, the first is "
                f"{' / '.join(map(str, mixed[0]))}"
            )
    kept = [*fixed, *(c for c in extra if (values[c] <= 1).all())]
    # head(1), unlike first(), keeps missing values as they are.
    table = groups.head(1)[[*key, *kept]].set_index(key)
    scores = groups["fake_score"]
    if reduction == "mean":
        table["fake_score"] = scores.mean()
    elif reduction == "median":
        table["fake_score"] = scores.median()
    elif reduction == "confident":
        table["fake_score"] = scores.agg(lambda faces: confident(faces.to_numpy()))
    elif reduction == "logits":
        table["fake_score"] = scores.agg(lambda clips: of_logits(clips.to_numpy()))
    else:
        descending = frames.sort_values("fake_score", ascending=False, kind="stable")
        highest = descending.groupby(key, sort=False, observed=True, dropna=False).head(top_k)
        again = highest.groupby(key, sort=False, observed=True, dropna=False)
        table["fake_score"] = again["fake_score"].mean()
    table["n_frames"] = groups.size()
    columns = [*key, *fixed, "fake_score", "n_frames", *kept[len(fixed) :]]
    return table.reset_index()[columns]


def of_logits(scores: np.ndarray) -> float:
    """Scores of one video's clips (n,) -> its score by LipForensics: the sigmoid of the mean
    logit."""
    return float(1 / (1 + np.exp(-logit(np.asarray(scores, dtype=np.float64)).mean())))


def confident(scores: np.ndarray) -> float:
    """Scores of one video's faces -> its score by Seferbekov's "confident" strategy.

    If more than a 2.5th of the faces and more than 11 score above 0.8, their mean; else, if more
    than nine in ten score below 0.2, their mean; else the mean of all. The winner of the Deepfake
    Detection Challenge applied it to all faces of 32 frames, and took the mean over its networks.

    Args:
        scores: (n,), fake scores in [0, 1] of all faces in all frames.

    Raises:
        ValueError: no scores, another shape, or NaN. There is no score for a video without faces:
            the reference gave it 0.5, which looks like an answer.
    """
    found = np.asarray(scores, dtype=np.float64)
    if found.ndim != 1 or not len(found):
        raise ValueError(
            f"scores of one video must have shape (n,) with n of at least 1, not {found.shape}; "
            "report a video in which no face was found as such"
        )
    no_nan(found)
    fake, real = found[found > 0.8], found[found < 0.2]
    if len(fake) > len(found) // 2.5 and len(fake) > 11:
        return float(fake.mean())
    if 10 * len(real) > 9 * len(found):
        return float(real.mean())
    return float(found.mean())
