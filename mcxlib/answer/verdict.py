"""Scores of one person's frames -> an interval, and a verdict by four rules.

The rules compare the whole interval with two levels that the validation data of the weights give:

- all of it below the threshold: no sign found;
- the threshold inside it: uncertain;
- all of it at or above the threshold: suspicious;
- all of it at or above the level that at most one in a hundred real validation videos reach:
  likely manipulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mcxlib.answer.schema import Interval, Verdict
from mcxlib.evaluate.calibration import calibrated
from mcxlib.evaluate.intervals import proportion_interval
from mcxlib.evaluate.operating import LEAST_REAL
from mcxlib.weights import Card

LEAST_FRAMES = 4
"""Frames of a video in which a person must be seen to be judged."""

LEAST_BLOCKS = 4
BLOCK_SECONDS = 1.0
DRAWS = 2000
LEVEL = 0.95


class Scale(NamedTuple):
    """What the card of the weights says about scores."""

    threshold: float
    threshold_from: str
    false_alarms: Interval | None
    strong_level: float | None
    strong_alarms: Interval | None
    why_not_strong: str
    """Why there is no level of the strongest verdict; "" if there is one."""
    temperature: float | None
    why_not_calibrated: str


def scale(card: Card) -> Scale:
    """The levels and the calibration in a card; older cards lack them, which is said.

    The threshold is the one with the highest BOSC on the frames of the validation data, if the card
    has it; else 0.5.
    """
    best = card.validation.get("threshold_best_bosc")
    if best is not None and 0 < best < 1:
        threshold, origin = float(best), "the highest BOSC on the validation data of the weights"
    else:
        threshold, origin = 0.5, "one half, as the validation data of the weights give no other"
    real = card.validation.get("real_videos", {})
    videos = real.get("videos", 0)
    level, strong, alarms = None, None, None
    if not videos:
        why = "the card of the weights does not say how its real validation videos scored"
    elif real["rare_level"] is None:
        why = (
            f"{videos} real validation videos cannot show what one in a hundred reach; "
            f"{LEAST_REAL} are needed"
        )
    else:
        why, level = "", max(real["rare_level"], threshold)
        # Of a level raised to the threshold, fewer may reach it than are counted here.
        strong = _share(real["reach_rare_level"], videos)
    for entry in real.get("reach", ()):
        if entry["threshold"] == threshold and videos:
            alarms = _share(entry["videos"], videos)
    found = card.calibration
    uncalibrated = (
        ""
        if found.get("temperature")
        else found.get("why", "the card of the weights holds no calibration")
    )
    return Scale(
        threshold, origin, alarms, level, strong, why, found.get("temperature"), uncalibrated
    )


def interval(
    scores: Sequence[float], seconds: Sequence[float | None], noun: str = "frame", seed: int = 0
) -> Interval:
    """The mean of the frames' scores, and how far it could move with other moments of the video.

    Frames that follow one another resemble each other, so whole blocks of time are drawn again and
    again, not frames: a block holds the frames from one on, up to ``BLOCK_SECONDS`` later. Where
    that gives fewer than ``LEAST_BLOCKS``, the length is halved until it does not. Frames without
    times make blocks of the cube root of their number, and as many. The ends are the 2.5 % and
    97.5 % points of the means of ``DRAWS`` draws.

    Fewer than ``LEAST_FRAMES`` frames say nothing about others: the interval is all of [0, 1].

    Args:
        scores: (n,), in the order of the frames.
        seconds: (n,), ascending; None where a frame has no time.
        noun: what a score is of: "frame" or "clip".
        seed: of the draws.
    """
    values = np.asarray(scores, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < LEAST_FRAMES:
        how = f"none can be made of {len(values)} {noun}{'s' * (len(values) > 1)}"
        return Interval(value=mean, low=0.0, high=1.0, level=LEVEL, how=how)
    block, length = blocks(seconds, noun)
    sizes = np.bincount(block)
    sums = np.bincount(block, weights=values)
    drawn = np.random.default_rng(seed).integers(0, len(sizes), (DRAWS, len(sizes)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    # The mean of equal numbers may differ from them in the last bit.
    low, high = min(float(low), mean), max(float(high), mean)
    how = f"bootstrap of {len(sizes)} blocks of {length}"
    return Interval(value=mean, low=low, high=high, level=LEVEL, how=how)


def blocks(seconds: Sequence[float | None], noun: str = "frame") -> tuple[np.ndarray, str]:
    """The block of each of at least ``LEAST_FRAMES`` frames, (n,) int from 0, and the blocks'
    length in words."""
    n = len(seconds)
    times = [s for s in seconds if s is not None]
    if len(set(times)) < n:  # also if some cannot be told apart
        each = min(round(n ** (1 / 3)), n // LEAST_BLOCKS)
        return np.arange(n) // each, f"{each} {noun}{'s' * (each > 1)}"
    length = BLOCK_SECONDS
    while (number := _numbered(times, length))[-1] + 1 < LEAST_BLOCKS:
        length /= 2
    return np.array(number), f"{length:.3g} s"


def _numbered(times: Sequence[float], length: float) -> list[int]:
    """The block of each time: one holds those from its first on, up to ``length`` later."""
    number, begin, out = 0, times[0], []
    for time in times:
        if time - begin >= length:
            number, begin = number + 1, time
        out.append(number)
    return out


def probability(score: Interval, found: Scale) -> Interval | None:
    """A person's score on the calibrated scale; None for weights without calibration."""
    if found.temperature is None:
        return None
    value, low, high = calibrated([score.value, score.low, score.high], found.temperature)
    how = f"{score.how}, temperature {found.temperature:.2g} of the validation data"
    return Interval(value=value, low=low, high=high, level=score.level, how=how)


def verdict(score: Interval, found: Scale) -> Verdict:
    """By the four rules above."""
    if score.high < found.threshold:
        return "no sign found"
    if score.low < found.threshold:
        return "uncertain"
    if found.strong_level is not None and score.low >= found.strong_level:
        return "likely manipulated"
    return "suspicious"


def steady(score: Interval, found: Scale, margin: float) -> bool:
    """Whether the verdict would be the same, had each frame's score been up to ``margin`` off."""
    lower, higher = (
        score.model_copy(update={"low": score.low + off, "high": score.high + off})
        for off in (-margin, margin)
    )
    return verdict(lower, found) == verdict(higher, found)


def _share(count: int, videos: int) -> Interval:
    found = proportion_interval(count, videos, LEVEL)
    how = f"exact (Clopper and Pearson), {count} of {videos} real validation videos"
    return Interval(value=found.estimate, low=found.low, high=found.high, level=LEVEL, how=how)
