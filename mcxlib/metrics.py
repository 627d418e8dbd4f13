"""Scores -> numbers: BOSC, AUC, tables by manipulation, video scores, intervals and bounds.

Everything here takes ``is_fake`` (True for fake, the positive class) and ``fake_score`` (larger
means more likely fake; for the five-class model 1 - p(real)), and works on numpy and pandas only.
BOSC and AUC are fractions in [0, 1]; the paper prints BOSC in percent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from mcxlib import CLASSES

REDUCTIONS = ("mean", "median", "top_k")
"""Ways from the scores of a video's frames to the video's score."""

METRICS = ("bosc", "auc")

_SLACK = 1e-12  # printed digits are decimal, the arithmetic is not


class Interval(NamedTuple):
    """A confidence interval and the value it is for."""

    estimate: float
    low: float
    high: float


class Bounds(NamedTuple):
    """The smallest and largest value possible."""

    low: float
    high: float


def bosc(is_fake: ArrayLike, fake_score: ArrayLike, threshold: float = 0.5) -> float:
    """Balanced-open-set-classification accuracy: (sensitivity + specificity) / 2 (section 4.1).

    A score above the threshold is called fake and a score equal to it real, so at 0.5 the rule
    is p(real) < 0.5. (The most likely of the five classes being a fake is another rule.)

    Args:
        is_fake: (N,), bool or 0/1.
        fake_score: (N,).
        threshold: in the units of ``fake_score``.

    Returns:
        A fraction in [0, 1]; 0.5 is chance.

    Raises:
        ValueError: for unequal lengths, no scores, NaN scores, only one class, or labels other
            than 0 and 1.
    """
    fake, score = _checked(is_fake, fake_score)
    called_fake = score > threshold
    sensitivity = called_fake[fake].mean()
    specificity = (~called_fake[~fake]).mean()
    return float((sensitivity + specificity) / 2)


def auc(is_fake: ArrayLike, fake_score: ArrayLike) -> float:
    """Area under the ROC curve: P(a fake scores above a real one), ties counting one half.

    Args and errors as in :func:`bosc`.
    """
    fake, score = _checked(is_fake, fake_score)
    # Ranks in place of values: scikit-learn refuses infinite scores, and ranks keep ties.
    return float(roc_auc_score(fake, np.unique(score, return_inverse=True)[1]))


def per_manipulation(
    is_fake: ArrayLike,
    fake_score: ArrayLike,
    manipulation: ArrayLike,
    threshold: float = 0.5,
) -> pd.DataFrame:
    """All real samples against the fakes of each manipulation, as in the paper's Table 1.

    Args:
        is_fake: (N,), bool or 0/1.
        fake_score: (N,).
        manipulation: (N,), ``"real"`` or a manipulation's name.
        threshold: of BOSC.

    Returns:
        Columns manipulation, n_real, n_fake, bosc, auc: one row a manipulation (FaceForensics++'s
        in the order of :data:`mcxlib.CLASSES`, others after them by name) and a last row
        "Average", the plain mean of the rows above, with all fakes counted.

    Raises:
        ValueError: as :func:`bosc`, or if a name contradicts ``is_fake``.
    """
    fake, score = _checked(is_fake, fake_score)
    names = np.asarray(manipulation, dtype=object)
    _same_length(fake, names, "manipulation")
    contradictions = int(((names == "real") == fake).sum())
    if contradictions:
        raise ValueError(
            f"{contradictions} of {len(fake)} samples contradict themselves: manipulation must "
            "be 'real' exactly where is_fake is False"
        )
    known = {name: position for position, name in enumerate(CLASSES)}
    found = sorted(set(names[fake]), key=lambda name: (known.get(name, len(known)), str(name)))
    rows = []
    for name in found:
        chosen = ~fake | (names == name)
        rows.append(
            {
                "manipulation": name,
                "n_real": int((~fake).sum()),
                "n_fake": int((names == name).sum()),
                "bosc": bosc(fake[chosen], score[chosen], threshold),
                "auc": auc(fake[chosen], score[chosen]),
            }
        )
    table = pd.DataFrame(rows)
    average = {
        "manipulation": "Average",
        "n_real": int((~fake).sum()),
        "n_fake": int(fake.sum()),
        "bosc": table["bosc"].mean(),
        "auc": table["auc"].mean(),
    }
    return pd.concat([table, pd.DataFrame([average])], ignore_index=True)


def video_scores(frames: pd.DataFrame, reduction: str = "mean", top_k: int = 5) -> pd.DataFrame:
    """Scores of frames -> one score a video.

    Args:
        frames: one row a frame, with columns dataset, video_id, is_fake, manipulation and
            fake_score (or p_real, from which fake_score = 1 - p_real is taken).
        reduction: ``"mean"`` (the default of the paper's released code), ``"median"``, or
            ``"top_k"``: the mean of the ``top_k`` highest scores, of all if there are fewer.
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
    if "fake_score" not in frames and "p_real" in frames:
        frames = frames.assign(fake_score=1 - frames["p_real"])
    key = ["dataset", "video_id"]
    fixed = ["is_fake", "manipulation"]
    missing = [c for c in (*key, *fixed, "fake_score") if c not in frames]
    if missing:
        raise ValueError(f"frames lack the columns {', '.join(missing)}")
    if frames.empty:
        raise ValueError("frames have no rows")
    _no_nan(frames["fake_score"].to_numpy(dtype=np.float64))

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
    else:
        descending = frames.sort_values("fake_score", ascending=False, kind="stable")
        highest = descending.groupby(key, sort=False, observed=True, dropna=False).head(top_k)
        again = highest.groupby(key, sort=False, observed=True, dropna=False)
        table["fake_score"] = again["fake_score"].mean()
    table["n_frames"] = groups.size()
    columns = [*key, *fixed, "fake_score", "n_frames", *kept[len(fixed) :]]
    return table.reset_index()[columns]


def bootstrap_interval(
    is_fake: ArrayLike,
    fake_score: ArrayLike,
    video: ArrayLike | None = None,
    metric: str = "bosc",
    *,
    threshold: float = 0.5,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """A percentile bootstrap interval for BOSC or AUC that resamples whole videos.

    Frames of one video resemble each other, so resampling frames would give intervals that are
    far too narrow. Real and fake videos are resampled apart, each in their own number: every
    draw has both classes, as the metrics need.

    Args:
        is_fake: (N,), bool or 0/1.
        fake_score: (N,).
        video: (N,), which samples belong together (any hashable names, unique over data sets);
            None if every sample is a video of its own.
        metric: ``"bosc"`` or ``"auc"``.
        threshold: of BOSC.
        level: of confidence, in (0, 1).
        draws: number of resamples.
        seed: of the draws.

    Returns:
        The metric of all samples, and the interval's ends.

    Raises:
        ValueError: as :func:`bosc`; for a video with both real and fake samples; for settings out
            of range.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; valid names: {', '.join(METRICS)}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    fake, score = _checked(is_fake, fake_score)
    if video is None:
        group = np.arange(len(fake))
    else:
        names = np.asarray(video)
        _same_length(fake, names, "video")
        group = pd.factorize(names)[0]
    mixed = np.intersect1d(group[fake], group[~fake])
    if len(mixed):
        raise ValueError(
            f"{len(mixed)} videos have both real and fake samples; name videos uniquely, "
            "by data set and manipulation if need be"
        )
    rng = np.random.default_rng(seed)
    real_group, real_frames, real_weight = _resample(group[~fake], draws, rng)
    fake_group, fake_frames, fake_weight = _resample(group[fake], draws, rng)
    if metric == "bosc":
        real_right = np.bincount(real_group, weights=score[~fake] <= threshold)
        fake_right = np.bincount(fake_group, weights=score[fake] > threshold)
        specificity = real_weight @ real_right / (real_weight @ real_frames)
        sensitivity = fake_weight @ fake_right / (fake_weight @ fake_frames)
        drawn = (specificity + sensitivity) / 2
        estimate = bosc(fake, score, threshold)
    else:
        # wins[r, f]: how often a frame of fake video f scores above one of real video r. A
        # resample only reweights the videos, so its AUC is a bilinear form of this matrix.
        wins = _wins(score[~fake], real_group, score[fake], fake_group)
        above = ((real_weight @ wins) * fake_weight).sum(axis=1)
        drawn = above / ((real_weight @ real_frames) * (fake_weight @ fake_frames))
        estimate = auc(fake, score)
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high))


def max_auc(fpr: float, tpr: float) -> float:
    """The largest AUC of any ROC curve through the point (false, true positive rate).

    A ROC curve never falls, so it is at most ``tpr`` up to ``fpr`` and at most 1 after it.

    Raises:
        ValueError: if a rate lies outside [0, 1].
    """
    for name, value in (("fpr", fpr), ("tpr", tpr)):
        _fraction(name, value)
    return tpr * fpr + (1 - fpr)


def auc_bounds(bosc: float, *, concave: bool = False) -> Bounds:
    """Which AUCs are possible for scores with this BOSC at some threshold.

    The threshold is a point (f, t) of the ROC curve with t - f = 2 BOSC - 1. Over all such points
    the area ``t f + 1 - f`` under the highest curve is at most 2 BOSC, and the area ``t (1 - f)``
    under the lowest at least 2 BOSC - 1. So a BOSC below chance caps the AUC, and one above it
    lifts the AUC.

    Args:
        bosc: a fraction in [0, 1].
        concave: only concave ROC curves, which scores have whose likelihood ratio grows with the
            score. Such a curve lies above the lines from (0, 0) to (f, t) and on to (1, 1), so
            its AUC is at least BOSC (and at least one half).

    Raises:
        ValueError: if ``bosc`` lies outside [0, 1], or below 0.5 with ``concave``, where no
            concave ROC curve exists.
    """
    _fraction("bosc", bosc)
    if concave:
        if bosc < 0.5 - _SLACK:
            raise ValueError(f"no concave ROC curve has a point with BOSC {bosc} < 0.5")
        return Bounds(max(0.5, bosc), 1.0)
    return Bounds(max(0.0, 2 * bosc - 1), min(1.0, 2 * bosc))


def bosc_auc_feasible(
    bosc: float,
    auc: float,
    *,
    bosc_step: float = 0.0,
    auc_step: float = 0.0,
    concave: bool = False,
) -> bool:
    """Whether one set of scores can have this BOSC (at some threshold) and this AUC.

    Args:
        bosc: a fraction in [0, 1], as printed.
        auc: a fraction in [0, 1], as printed.
        bosc_step: unit of the last printed digit of ``bosc`` (1e-4 for 90.87 %): the true value
            lies within half of it.
        auc_step: the same for ``auc`` (1e-2 for 0.90).
        concave: as in :func:`auc_bounds`.

    Raises:
        ValueError: if a value lies outside [0, 1] or a step is negative.
    """
    _fraction("bosc", bosc)
    _fraction("auc", auc)
    for name, step in (("bosc_step", bosc_step), ("auc_step", auc_step)):
        if step < 0:
            raise ValueError(f"{name} must be at least 0, not {step}")
    lowest_bosc = max(0.0, bosc - bosc_step / 2 - _SLACK)
    highest_bosc = min(1.0, bosc + bosc_step / 2 + _SLACK)
    lowest_auc = auc - auc_step / 2 - _SLACK
    highest_auc = auc + auc_step / 2 + _SLACK
    # Both bounds grow with BOSC, so the ends of its rounding interval decide.
    if concave:
        if highest_bosc < 0.5:
            return False
        return highest_auc >= auc_bounds(max(0.5, lowest_bosc), concave=True).low
    return (
        auc_bounds(lowest_bosc).low <= highest_auc and lowest_auc <= auc_bounds(highest_bosc).high
    )


def _checked(
    is_fake: ArrayLike, fake_score: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    labels = np.asarray(is_fake)
    score = np.asarray(fake_score, dtype=np.float64)
    if labels.ndim != 1:
        raise ValueError(f"is_fake must be one-dimensional, not of shape {labels.shape}")
    _same_length(labels, score, "fake_score")
    if len(labels) == 0:
        raise ValueError("no scores: is_fake and fake_score are empty")
    fake = labels == 1
    strange = int((~(fake | (labels == 0))).sum())
    if strange:
        raise ValueError(f"is_fake must be bool or 0/1, but {strange} of {len(labels)} are neither")
    _no_nan(score)
    if fake.all() or not fake.any():
        only = "fake" if fake.all() else "real"
        raise ValueError(f"only one class: all {len(fake)} samples are {only}; both are needed")
    return fake, score


def _same_length(labels: NDArray, other: NDArray, name: str) -> None:
    if other.shape != labels.shape:
        raise ValueError(
            f"unequal lengths: is_fake has {len(labels)} values, {name} has shape {other.shape}"
        )


def _no_nan(score: NDArray[np.float64]) -> None:
    missing = int(np.isnan(score).sum())
    if missing:
        raise ValueError(f"fake_score is NaN for {missing} of {len(score)} samples")


def _fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], not {value}")


def _resample(
    group: NDArray, draws: int, rng: np.random.Generator
) -> tuple[NDArray, NDArray, NDArray]:
    """Groups renumbered from 0, their sizes, and how often each draw (a row) takes each group."""
    number = np.unique(group, return_inverse=True)[1]
    sizes = np.bincount(number)
    weight = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=draws)
    return number, sizes, weight.astype(np.float64)


def _wins(real: NDArray, real_group: NDArray, fake: NDArray, fake_group: NDArray) -> NDArray:
    """(real videos, fake videos): pairs of frames in which the fake scores higher, ties half."""
    order = np.argsort(real_group, kind="stable")
    wins = []
    for scores in np.split(real[order], np.cumsum(np.bincount(real_group))[:-1]):
        scores = np.sort(scores)
        below = np.searchsorted(scores, fake, "left") + np.searchsorted(scores, fake, "right")
        wins.append(np.bincount(fake_group, weights=below / 2))
    return np.stack(wins)
