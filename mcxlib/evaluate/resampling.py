"""Whole videos drawn again and again: what intervals and comparisons are made of.

Frames of one video resemble each other, and so do the scores that two detectors give one video.
A draw therefore takes whole videos, and takes each equally often in every set of scores that
holds it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mcxlib.evaluate import metrics
from mcxlib.evaluate.checks import confidence, labels_and_scores, same_length

METRICS = ("bosc", "auc")

LEAST_DRAWS = 200
"""Fewest resamples of a bootstrap interval; levels above 0.95 need more."""

LEAST_VIDEOS = 2
"""Fewest videos of each class: one video resampled is always itself."""


class Sample(NamedTuple):
    """One set of scores: (N,) each."""

    is_fake: ArrayLike
    """Bool or 0/1."""
    fake_score: ArrayLike
    video: ArrayLike
    """Which samples belong together: any hashable names, unique over data sets."""


class Part(NamedTuple):
    """What a bootstrap says of one class of one set, or of one set."""

    drawn: NDArray[np.float64]
    """(draws,): the metric of each resample."""
    open: NDArray[np.float64]
    """(2,): what exact bounds add at either end for videos that are all alike."""
    alike: bool
    """No resample differs."""


class Videos:
    """A set of scores by video."""

    def __init__(
        self, is_fake: ArrayLike, fake_score: ArrayLike, video: ArrayLike, threshold: float
    ) -> None:
        self.is_fake, self.score = labels_and_scores(is_fake, fake_score)
        fake = self.is_fake
        names = np.asarray(video)
        same_length(fake, names, "video")
        self.real_video, self.real_names = pd.factorize(names[~fake])
        self.fake_video, self.fake_names = pd.factorize(names[fake])
        mixed = np.isin(self.fake_names, self.real_names).sum()
        if mixed:
            raise ValueError(
                f"{mixed} videos have both real and fake samples; name videos uniquely, "
                "by data set and manipulation if need be"
            )
        n_real, n_fake = len(self.real_names), len(self.fake_names)
        if min(n_real, n_fake) < LEAST_VIDEOS:
            raise ValueError(
                f"too few videos for an interval: {n_real} real and {n_fake} fake; at least "
                f"{LEAST_VIDEOS} of each are needed"
            )
        self.real_sizes, self.fake_sizes = map(np.bincount, (self.real_video, self.fake_video))
        self.threshold = threshold

    def bosc(self, real_weight: NDArray, fake_weight: NDArray, level: float) -> Part:
        """Weights (draws, videos): how often each draw takes each video."""
        real, fake = self.score[~self.is_fake], self.score[self.is_fake]
        halves = []
        for weight, video, sizes, right in (
            (real_weight, self.real_video, self.real_sizes, real <= self.threshold),
            (fake_weight, self.fake_video, self.fake_sizes, fake > self.threshold),
        ):
            count = np.bincount(video, weights=right)
            share = count / sizes
            drawn = weight @ count / (weight @ sizes)
            halves.append(_part(drawn, share, len(sizes), level))
        first, second = halves
        return Part(
            (first.drawn + second.drawn) / 2,
            (first.open + second.open) / 2,
            first.alike and second.alike,
        )

    def auc(self, real_weight: NDArray, fake_weight: NDArray, level: float) -> Part:
        """As :meth:`bosc`."""
        # wins[r, f]: how often a frame of fake video f scores above one of real video r. A
        # resample only reweights the videos, so its AUC is a bilinear form of this matrix.
        wins = self._wins()
        share = wins / np.multiply.outer(self.real_sizes, self.fake_sizes)
        above = ((real_weight @ wins) * fake_weight).sum(axis=1)
        drawn = above / ((real_weight @ self.real_sizes) * (fake_weight @ self.fake_sizes))
        return _part(drawn, share, min(wins.shape), level)

    def right(self, fake: bool) -> NDArray[np.float64]:
        """Of one class, the share of each video's samples that are called rightly, by name."""
        video, sizes, names = (
            (self.fake_video, self.fake_sizes, self.fake_names)
            if fake
            else (self.real_video, self.real_sizes, self.real_names)
        )
        called_fake = self.score[self.is_fake == fake] > self.threshold
        share = np.bincount(video, weights=called_fake == fake) / sizes
        return share[np.argsort(names)]

    def in_order(self) -> NDArray[np.float64]:
        """(real videos, fake videos), both by name: the share of pairs of samples in which the
        fake scores higher, ties half."""
        share = self._wins() / np.multiply.outer(self.real_sizes, self.fake_sizes)
        return share[np.ix_(np.argsort(self.real_names), np.argsort(self.fake_names))]

    def _wins(self) -> NDArray[np.float64]:
        real, fake = self.score[~self.is_fake], self.score[self.is_fake]
        return _wins(real, self.real_video, fake, self.fake_video)


def _part(
    drawn: NDArray[np.float64], share: NDArray[np.float64], trials: int, level: float
) -> Part:
    alike = bool((share == share.flat[0]).all())
    value = share.flat[0]
    bounds = _bound(value, trials, level) if alike else (value, value)
    return Part(drawn, np.subtract(bounds, value), alike)


class Resampled(NamedTuple):
    """One set of scores, resampled together with others."""

    videos: Videos
    estimate: float
    """The metric of all samples."""
    part: Part


def resampled(
    samples: Sequence[Sample],
    metric: str = "bosc",
    *,
    threshold: float | Sequence[float] = 0.5,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> list[Resampled]:
    """The paired bootstrap over videos: every set of scores with its metric in the same draws.

    Real and fake videos are resampled apart, each in their own number, and those that are in the
    same sets among each other; a draw takes a video equally often in every set that holds it. So
    a mean over the sets, or a difference of two, has the spread that other videos would give it.

    Args:
        samples: sets of scores; videos are told by their names.
        metric: ``"bosc"`` or ``"auc"``.
        threshold: of BOSC, of all sets or one of each.
        level: of confidence, in (0, 1), of the exact bounds.
        draws: number of resamples; at least 200, and enough for five beyond either end.
        seed: of the draws.

    Raises:
        ValueError: as :func:`mcxlib.evaluate.bosc`; for a video with both real and fake samples;
            for fewer than two videos of a class; for settings out of range; for no set at all.
    """
    check_settings(metric, level, draws)
    if not samples:
        raise ValueError("no samples: an interval needs at least one set of scores")
    limits = [threshold] * len(samples) if isinstance(threshold, (int, float)) else threshold
    sets = [Videos(*one, limit) for one, limit in zip(samples, limits, strict=True)]
    rng = np.random.default_rng(seed)
    real = _weights([one.real_names for one in sets], draws, rng)
    fake = _weights([one.fake_names for one in sets], draws, rng)
    found = []
    for one, real_weight, fake_weight in zip(sets, real, fake, strict=True):
        whole = partial(metrics.bosc, threshold=one.threshold) if metric == "bosc" else metrics.auc
        part = getattr(one, metric)(real_weight, fake_weight, level)
        found.append(Resampled(one, float(whole(one.is_fake, one.score)), part))
    return found


def check_settings(metric: str, level: float, draws: int) -> None:
    """A ValueError that says what is valid, for settings of a bootstrap that are not."""
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; valid names: {', '.join(METRICS)}")
    confidence(level)
    # Five resamples beyond either end; the slack is for 1 - 0.95, which is not 0.05 exactly.
    least = max(LEAST_DRAWS, math.ceil(10 / (1 - level) - 1e-6))
    if draws < least:
        raise ValueError(f"draws must be at least {least} at the level {level}, not {draws}")


def _weights(
    names: list[NDArray], draws: int, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Names of each set's videos -> for each set (draws, videos), how often a draw takes each.

    Videos that are in the same sets are resampled among each other, so that every set keeps its
    number of videos in every draw.
    """
    place, every = pd.factorize(np.concatenate(names))
    places = np.split(place, np.cumsum([len(found) for found in names])[:-1])
    held = np.zeros((len(every), len(names)), dtype=bool)
    for number, found in enumerate(places):
        held[found, number] = True
    stratum = np.unique(held, axis=0, return_inverse=True)[1].reshape(-1)
    weight = np.empty((draws, len(every)))
    for number in range(stratum.max() + 1):
        inside = stratum == number
        weight[:, inside] = _draw(int(inside.sum()), draws, rng)
    return [weight[:, found] for found in places]


def _draw(groups: int, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(draws, groups): how often each draw takes each group."""
    weight = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws)
    return weight.astype(np.float64)


def _wins(
    real: NDArray[np.float64],
    real_video: NDArray[np.intp],
    fake: NDArray[np.float64],
    fake_video: NDArray[np.intp],
) -> NDArray[np.float64]:
    """(real videos, fake videos): pairs of frames in which the fake scores higher, ties half."""
    order = np.argsort(real_video, kind="stable")
    wins = []
    for scores in np.split(real[order], np.cumsum(np.bincount(real_video))[:-1]):
        scores = np.sort(scores)
        below = np.searchsorted(scores, fake, "left") + np.searchsorted(scores, fake, "right")
        wins.append(np.bincount(fake_video, weights=below / 2))
    return np.stack(wins)


def _bound(value: float, trials: int, level: float) -> tuple[float, float]:
    """What the mean can be of something in [0, 1] that had this ``value`` in every trial."""
    share = (1 - level) ** (1 / trials)
    return float(value * share), float(1 - (1 - value) * share)
