"""Two ways of doing the same, measured side by side in one run: the ratio and its interval.

A single timing says little on a machine that does other things as well. Both ways therefore take
turns, A B B A A B B A ..., so that a slow drift meets both alike, and what is reported is the ratio
of the two medians with a bootstrap interval.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch

RESAMPLES = 2000
"""Bootstrap samples behind an interval."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Settings:
    """What every entry is told: where to measure, how long, and whether only to try the code."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    quick: bool = False
    """Tiny sizes and two repetitions: shows that the code runs, says nothing about speed."""
    seed: int = 0

    def seconds(self, budget: float) -> float:
        """A time budget, which is nothing when only the code is tried."""
        return 0.0 if self.quick else budget

    def repetitions(self, least: int) -> int:
        """The smallest number of repetitions: two when only the code is tried."""
        return min(2, least) if self.quick else least


@dataclass(frozen=True)
class Samples:
    """Seconds of each repetition; ``first[i]`` and ``second[i]`` were measured side by side."""

    first: tuple[float, ...]
    second: tuple[float, ...]

    @property
    def medians(self) -> tuple[float, float]:
        """Median seconds of the first and of the second way."""
        return float(np.median(self.first)), float(np.median(self.second))


@dataclass(frozen=True)
class Result:
    """One entry of results.json; see :meth:`row`."""

    ratio: float
    low: float
    high: float
    target: float
    better: Literal["lower", "higher"]
    unit: str
    what: str
    """One sentence: what over what."""
    details: dict[str, Any]

    @property
    def met(self) -> bool:
        """Whether the measured ratio is on the right side of the target."""
        return self.ratio <= self.target if self.better == "lower" else self.ratio >= self.target

    def row(self) -> dict[str, Any]:
        """JSON-ready: the fields and ``met``."""
        return asdict(self) | {"met": self.met}


def synchroniser(device: torch.device) -> Callable[[], None]:
    """What waits for ``device`` to have done all it was given; nothing on the CPU."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return lambda: None


def once(
    call: Callable[[], Any],
    synchronise: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds of one call, the device's share included."""
    synchronise()
    begin = clock()
    call()
    synchronise()
    return clock() - begin


def take_turns(
    first: Callable[[], Any],
    second: Callable[[], Any],
    *,
    least: int = 5,
    seconds: float = 10.0,
    warm_up: int = 1,
    synchronise: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Samples:
    """Time both calls in turns, A B B A ..., after ``warm_up`` calls of each that do not count.

    At least ``least`` repetitions of each, and further ones until ``seconds`` have passed since
    the first that counts.

    Raises:
        ValueError: ``least`` below 1.
    """
    if least < 1:
        raise ValueError(f"least must be at least 1, not {least}")
    for _ in range(warm_up):
        first()
        second()
    times: dict[int, list[float]] = {0: [], 1: []}
    calls = (first, second)
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()  # a collection would be charged to whoever happens to be measured
    try:
        start = clock()
        while len(times[0]) < least or clock() - start < seconds:
            turn = (0, 1) if len(times[0]) % 2 == 0 else (1, 0)
            for which in turn:
                times[which].append(once(calls[which], synchronise, clock))
    finally:
        if collecting:
            gc.enable()
    return Samples(tuple(times[0]), tuple(times[1]))


def ratio_of_medians(samples: Samples, scale: float = 1.0) -> float:
    """``scale`` times the first way's median over the second's."""
    first, second = samples.medians
    return scale * first / second


def interval(
    samples: Samples, scale: float = 1.0, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of :func:`ratio_of_medians`.

    Whole pairs are drawn with replacement: what slowed down both ways at one moment stays
    together.
    """
    first, second = np.asarray(samples.first), np.asarray(samples.second)
    drawn = np.random.default_rng(seed).integers(0, len(first), (resamples, len(first)))
    ratios = scale * np.median(first[drawn], axis=1) / np.median(second[drawn], axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(ratios, (tail, 1 - tail))
    return float(low), float(high)


def result(
    samples: Samples,
    *,
    what: str,
    target: float,
    better: Literal["lower", "higher"] = "lower",
    scale: float = 1.0,
    seed: int = 0,
    details: dict[str, Any] | None = None,
) -> Result:
    """The entry for ``samples`` = (ours, the other).

    ``better="lower"``: seconds over seconds, the smaller the faster. ``better="higher"``: a ratio
    of throughputs, so the other's seconds over ours. ``scale`` multiplies the ratio where the two
    did not do the same amount of work.
    """
    if better == "higher":
        ordered = Samples(samples.second, samples.first)
        unit = "throughput over throughput"
    else:
        ordered, unit = samples, "seconds over seconds"
    ratio = ratio_of_medians(ordered, scale)
    low, high = interval(ordered, scale, seed=seed)
    ours, other = samples.medians
    measured = {
        "seconds": ours,
        "seconds_compared_with": other,
        "repetitions": len(samples.first),
        "threads": torch.get_num_threads(),
    }
    return Result(ratio, low, high, target, better, unit, what, measured | (details or {}))


def worse(results: dict[str, Result]) -> Result:
    """The least favourable of several entries, each by its own target; its name is noted in
    ``details``."""

    def badness(name: str) -> float:
        entry = results[name]
        share = entry.ratio / entry.target
        return share if entry.better == "lower" else -share

    name = max(results, key=badness)
    chosen = results[name]
    others = {other: entry.ratio for other, entry in results.items()}
    return Result(
        **{k: getattr(chosen, k) for k in ("ratio", "low", "high", "target", "better", "unit")},
        what=chosen.what,
        details={"worse_of": others, "taken_from": name} | chosen.details,
    )
