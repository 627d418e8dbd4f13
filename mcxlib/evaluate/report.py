"""All that one data set of one's own says about a detector, with how far it can be trusted."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mcxlib.evaluate import metrics
from mcxlib.evaluate.checks import labels_and_scores
from mcxlib.evaluate.intervals import LEAST_VIDEOS, Sample, proportion_interval, video_interval
from mcxlib.evaluate.videos import video_scores


def binary_report(
    frames: pd.DataFrame,
    level: float = 0.95,
    *,
    threshold: float = 0.5,
    reduction: str = "mean",
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """BOSC, AUC, sensitivity and specificity of one data set, video by video, with intervals.

    Args:
        frames: scores as :func:`mcxlib.evaluate.video_scores` takes them, of one data set.
        level: of confidence, in (0, 1).
        threshold: a video that scores above it is called fake.
        reduction: from frames to video; see :func:`mcxlib.evaluate.video_scores`.
        draws: of :func:`mcxlib.evaluate.video_interval`.
        seed: of the draws.

    Returns:
        Plain values, ready for JSON. ``dataset``, ``videos_real``, ``videos_fake``, ``frames``,
        ``level``, ``threshold``, ``reduction``; ``missing``: "real" or "fake" if there is no video
        of that class, else None; ``sensitivity``, ``specificity`` (exact, over videos), ``bosc``,
        ``auc``: each {"estimate", "low", "high", "kind"} as in
        :class:`mcxlib.evaluate.Interval`, or None where a class is missing that it needs;
        ``notes``: one sentence for each thing that could not be said. BOSC and AUC have an
        estimate without interval (low, high and kind are None) where a class has a single video.

    Raises:
        ValueError: several data sets, or as the functions above.
    """
    names = list(dict.fromkeys(frames["dataset"])) if "dataset" in frames else []
    if len(names) > 1:
        raise ValueError(
            f"a report is of one data set, these scores are of {len(names)}: "
            f"{', '.join(map(str, names))}; choose the rows of one"
        )
    videos = video_scores(frames, reduction)
    fake, score = labels_and_scores(videos["is_fake"], videos["fake_score"], ())
    n_fake = int(fake.sum())
    n_real = len(fake) - n_fake
    missing = "fake" if not n_fake else "real" if not n_real else None
    report: dict[str, Any] = {
        "dataset": str(names[0]),
        "videos_real": n_real,
        "videos_fake": n_fake,
        "frames": len(frames),
        "level": level,
        "threshold": threshold,
        "reduction": reduction,
        "missing": missing,
        "notes": [],
    }
    for name, right, of in (
        ("sensitivity", int((score[fake] > threshold).sum()), n_fake),
        ("specificity", int((score[~fake] <= threshold).sum()), n_real),
    ):
        report[name] = proportion_interval(right, of, level)._asdict() if of else None
    if missing:
        lost = "specificity" if missing == "real" else "sensitivity"
        report["notes"].append(f"no {missing} video: {lost}, BOSC and AUC cannot be said")
        return report | {"bosc": None, "auc": None}
    if min(n_real, n_fake) < LEAST_VIDEOS:
        report["notes"].append(
            f"BOSC and AUC have no interval: {n_real} real and {n_fake} fake videos, at least "
            f"{LEAST_VIDEOS} of each are needed"
        )
        estimates = {
            "bosc": metrics.bosc(fake, score, threshold),
            "auc": metrics.auc(fake, score),
        }
        without = {"low": None, "high": None, "kind": None}
        return report | {name: {"estimate": value} | without for name, value in estimates.items()}
    alone = [Sample(fake, score, range(len(fake)))]
    for name in ("bosc", "auc"):
        report[name] = video_interval(
            alone, name, threshold=threshold, level=level, draws=draws, seed=seed
        )._asdict()
    return report
