"""How much there is to do: videos, images and floating-point operations of each run.

Operations were counted once for the preset ``paper`` on tensors without data (``counted.csv``, made
by ``python -m benchmarks counted``). Other presets are in proportion to images and pixels.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mcxlib.presets import PRESETS
from mcxlib.settings.data import DataConfig
from mcxlib.settings.matrix import Row
from mcxlib.settings.train import TrainConfig

COUNTED = Path(__file__).with_name("counted.csv")
CLASSES = 5
"""Real and four manipulations."""


@dataclass(frozen=True)
class Videos:
    """Videos used: for training and for selection, and tested on in all data sets together."""

    train: int
    val: int
    test: int

    @property
    def all(self) -> int:
        return self.train + self.val + self.test

    def scaled(self, count: int) -> Videos:
        """``count`` videos, shared out as these are."""
        train, val = (round(count * n / self.all) for n in (self.train, self.val))
        return Videos(train, val, count - train - val)


PAPER = Videos(CLASSES * 600, CLASSES * 200, CLASSES * 200 + 518 + 999 + 500)
"""Section 4.1: target identities below 600, 600 to 799, and from 800 on; and three other data sets,
of which Celeb-DF's official list (518) stands for the paper's selection."""


@dataclass(frozen=True)
class Operations:
    """Counted for one row of the tables at the size in ``images`` and ``pixels``."""

    images: int
    """Of a training step."""
    pixels: int
    """Of an image's side."""
    image: float
    """Floating-point operations of scoring one image; a multiply-add counts as two."""
    step: float
    """Of a training step."""
    frozen_step: float
    """Of one with a frozen backbone."""
    step_bytes: int
    """Memory of a training step in fp32; 0 where it was not counted."""
    parameters: int = 0


@dataclass(frozen=True)
class Amount:
    """What a preset does with a row."""

    videos: Videos
    frames: int
    """Of each video."""
    epochs: int
    frozen_epochs: int
    batch: int
    pixels: int
    crop_pixels: int

    @property
    def steps(self) -> int:
        """Of the whole training; batches that are not full are left out."""
        return self.epochs * (self.videos.train * self.frames // self.batch)

    @property
    def crop_bytes(self) -> int:
        """Of one stored crop."""
        return 3 * self.crop_pixels**2

    @property
    def images_read(self) -> int:
        """Crops read from the store by one run: training, validation after each epoch, tests."""
        scored = self.epochs * self.videos.val + self.videos.test
        return self.steps * self.batch + scored * self.frames


@cache
def counted() -> dict[str, Operations]:
    """By the name of the run with seed 0."""
    with open(COUNTED, encoding="utf-8", newline="") as file:
        return {
            row["run"]: Operations(
                int(row["images"]),
                int(row["pixels"]),
                float(row["image"]),
                float(row["step"]),
                float(row["frozen_step"]),
                int(row["step_bytes"]),
                int(row["parameters"]),
            )
            for row in csv.DictReader(file)
        }


def amount(preset: str) -> Amount:
    """What ``preset`` asks for; the settings of single detectors are left out."""
    given = PRESETS[preset]
    train = TrainConfig(**{k: v for k, v in given.items() if k in TrainConfig.model_fields})
    data = DataConfig(**{k: v for k, v in given.items() if k in DataConfig.model_fields})
    return Amount(
        videos(preset),
        data.frame_count,
        train.epochs,
        train.freeze_epochs,
        train.categories * train.per_category,
        train.input_size,
        data.crop_size,
    )


def videos(preset: str) -> Videos:
    """How many videos a preset uses."""
    if preset == "paper":
        return PAPER
    from mcxlib.synthetic.spec import DemoSpec

    spec = DemoSpec.small() if preset == "test" else DemoSpec()
    others = 3 * (spec.cross_real + spec.cross_fake)
    return Videos(CLASSES * spec.train, CLASSES * spec.val, CLASSES * spec.test + others)


def operations(row: Row) -> Operations:
    """What was counted for a row of the tables; the dearest row's for one that was not counted."""
    known = counted()
    return known.get(row.run_id(0)) or max(known.values(), key=lambda count: count.step)


def uncounted(rows: Iterable[Row]) -> list[str]:
    """The runs of rows that were not counted yet: ``python -m benchmarks counted`` does."""
    return [row.run_id(0) for row in rows if row.run_id(0) not in counted()]


def training_flop(count: Operations, much: Amount) -> float:
    """Floating-point operations of a training, without its validations."""
    frozen = much.steps * min(1.0, much.frozen_epochs / much.epochs)
    return _of_step(count, much) * ((much.steps - frozen) * count.step + frozen * count.frozen_step)


def scoring_flop(count: Operations, much: Amount) -> float:
    """Of its validations after each epoch and of its tests."""
    images = (much.epochs * much.videos.val + much.videos.test) * much.frames
    return images * count.image * (much.pixels / count.pixels) ** 2


def run_flop(row: Row, much: Amount) -> float:
    """Of a run: both."""
    count = operations(row)
    return training_flop(count, much) + scoring_flop(count, much)


def step_bytes(row: Row, much: Amount) -> int:
    """Memory of a training step; 0 where it was not counted."""
    count = operations(row)
    return round(count.step_bytes * _of_step(count, much))


def _of_step(count: Operations, much: Amount) -> float:
    """A step of ``much`` over the counted one: in proportion to its images and their pixels."""
    return (much.pixels / count.pixels) ** 2 * much.batch / count.images
