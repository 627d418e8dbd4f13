"""What a matrix of runs costs against videos, frames, colour spaces, seeds and GPUs.

Four things take time: cutting faces out (cores), reading crops (disk or memory), training and
scoring (GPUs). Cutting is done once. Reading goes on beside the arithmetic, done by processes that
read ahead, so that a run takes as long as the slower of the two: that one is its bottleneck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcxlib.scaling.measured import CROP_PIXELS, Rates
from mcxlib.scaling.work import Amount, Operations, scoring_flop, training_flop

HOUR = 3600.0


@dataclass(frozen=True)
class Machine:
    """What there is to compute on. Every entry that was not measured here is an assumption, named
    in ``assumed``."""

    cores: int
    """Cores that cut faces at the same time."""
    gpus: int
    """Runs that are trained at the same time, each on one."""
    flop_per_second: float
    """Of one of them."""
    readers: int
    """Processes that read ahead for one run."""
    disk_bytes: float
    """A second, from the store, for all runs together."""
    memory_bytes: float
    """That can hold crops which were read before."""
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """Of the whole matrix. Hours are of the clock unless their name says otherwise."""

    runs: int
    core_hours: float
    cutting: float
    store_bytes: int
    read_bytes: int
    reading: float
    """If arithmetic took no time."""
    training: float
    """Arithmetic alone, as the next one."""
    scoring: float
    gpu_hours: float
    """That GPUs are held for, waiting for the disk included."""

    @property
    def hours(self) -> float:
        """From the first video to the last score."""
        return self.cutting + max(self.reading, self.training + self.scoring)

    @property
    def bottleneck(self) -> str:
        """What takes longest: ``cutting``, ``reading``, ``training`` or ``scoring``."""
        names = ("cutting", "reading", "training", "scoring")
        return max(names, key=lambda name: getattr(self, name))


def cost(
    rows: Sequence[Operations],
    seeds: int,
    much: Amount,
    machine: Machine,
    rates: Rates,
    compressed: bool = False,
) -> Cost:
    """The cost of training every row with every seed, and of scoring it.

    Args:
        rows: counted operations of each row of the tables.
        seeds: trainings of each.
        much: videos, frames, epochs, sizes.
        machine: what it runs on.
        rates: measured on a core.
        compressed: whether crops are stored compressed.
    """
    share = rates.compressed_share if compressed else 1.0
    rates = rates.compressed() if compressed else rates
    frames = much.videos.all * much.frames
    core_hours = frames * rates.crop / HOUR
    store = round(frames * much.crop_bytes * share)
    runs = seeds * len(rows)
    training = seeds * sum(training_flop(row, much) for row in rows)
    scoring = seeds * sum(scoring_flop(row, much) for row in rows)
    at_once = min(machine.gpus, runs)
    per_hour = machine.flop_per_second * at_once * HOUR
    every = round(runs * much.images_read * much.crop_bytes * share)
    reading = _reading(store, every, share, machine, rates, at_once)
    arithmetic = (training + scoring) / per_hour
    return Cost(
        runs=runs,
        core_hours=core_hours,
        cutting=core_hours / machine.cores,
        store_bytes=store,
        read_bytes=every,
        reading=reading,
        training=training / per_hour,
        scoring=scoring / per_hour,
        gpu_hours=at_once * max(reading, arithmetic),
    )


def _reading(
    store: int, every: int, share: float, machine: Machine, rates: Rates, at_once: int
) -> float:
    """Hours that all crops take to be read, each time they are: ``every`` bytes of ``store``."""
    measured = 3 * CROP_PIXELS**2 * share
    readers = machine.readers * at_once
    cold = min(machine.disk_bytes, readers * rates.cold * measured)
    warm = readers * rates.warm * measured
    if store > machine.memory_bytes:
        return every / cold / HOUR  # what was read is gone before it is wanted again
    first = min(store, every)
    return (first / cold + (every - first) / warm) / HOUR
