"""What training at the paper's size would cost: an estimate from counted operations.

Nothing here is measured. Operations are counted, the rate at which a graphics card would do them is
its data sheet's peak times an assumed utilisation.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmarks import flops
from benchmarks.memory import training_bytes
from mcxlib.config import RunConfig, load
from mcxlib.method import colorspace
from mcxlib.settings.matrix import COLORSPACES

FRAMES = 30
CLASSES = 5
TRAIN_IMAGES = CLASSES * 600 * FRAMES
"""Section 4.1: target identities below 600 of five classes, 30 frames a video: 90,000 crops."""

VAL_IMAGES = CLASSES * 200 * FRAMES
"""Target identities 600 to 799, scored after every epoch."""

TEST_IMAGES = (CLASSES * 200 + 518 + 999 + 500) * FRAMES
"""Scored once: target identities from 800 on, and the videos of three other data sets, of which
Celeb-DF's official list (518) stands for the paper's selection."""

UTILISATIONS = (0.3, 0.5)


@dataclass(frozen=True)
class Card:
    name: str
    precision: str
    peak: float
    """FLOP/s by the maker's data sheet, without sparsity."""


CARDS = (
    Card("V100 32 GB", "fp32", 15.7e12),
    Card("V100 32 GB", "fp16 tensor cores", 125e12),
    Card("A100", "fp32", 19.5e12),
    Card("A100", "TF32", 156e12),
    Card("A100", "bf16", 312e12),
    Card("H100 SXM", "fp32", 67e12),
    Card("H100 SXM", "bf16", 989e12),
)


@dataclass(frozen=True)
class Schedule:
    """How often what is computed."""

    epochs: int
    frozen_epochs: int
    batch: int
    train_images: int = TRAIN_IMAGES
    val_images: int = VAL_IMAGES
    test_images: int = TEST_IMAGES

    @property
    def steps_per_epoch(self) -> int:
        return self.train_images // self.batch


def run_flops(schedule: Schedule, step: float, frozen_step: float, image: float) -> float:
    """Operations of a run from those of a step, of a step with frozen backbone, of a scored image.

    epochs split into frozen and free ones, validation after each, the test images once.
    """
    free = schedule.epochs - schedule.frozen_epochs
    training = schedule.steps_per_epoch * (free * step + schedule.frozen_epochs * frozen_step)
    scoring = (schedule.epochs * schedule.val_images + schedule.test_images) * image
    return training + scoring


def gpu_hours(operations: float, peak: float, utilisation: float) -> float:
    """Hours that one card needs at ``utilisation`` (0 to 1) of its ``peak`` FLOP/s."""
    return operations / (peak * utilisation) / 3600


def paper_configs() -> dict[str, RunConfig]:
    """The runs of the paper's tables: nine colour-space sets, and API-Net with ResNet101."""
    runs = {
        f"MCX-API({colorspace.label(spec)})": load("paper", colorspace=spec) for spec in COLORSPACES
    }
    return runs | {"API-Net(ResNet101)": load("paper", detector="api-net")}


def memory_table(configs: dict[str, RunConfig]) -> list[dict]:
    """Bytes of a training step of each run in each precision, with and without recomputation."""
    return [
        {
            "run": name,
            "precision": precision,
            "checkpoint_backbone": recompute,
            **training_bytes(_in(config, precision), checkpoint_backbone=recompute)._asdict(),
        }
        for name, config in configs.items()
        for precision in ("32-true", "bf16-mixed")
        for recompute in (False, True)
    ]


def _in(config: RunConfig, precision: str) -> RunConfig:
    train = config.train.model_copy(update={"precision": precision})
    return config.model_copy(update={"train": train})


def estimate(configs: dict[str, RunConfig] | None = None) -> dict:
    """The whole estimate, JSON-ready: operations of each run, hours on each card."""
    runs = {}
    schedule = None
    every = configs or paper_configs()
    for name, config in every.items():
        train = config.train
        batch = train.categories * train.per_category
        schedule = Schedule(train.epochs, train.freeze_epochs, batch)
        step = flops.training_step(config, batch, train.input_size)
        frozen = flops.training_step(config, batch, train.input_size, frozen=True)
        image = flops.inference(config, 1, train.input_size)
        runs[name] = {
            "image_flop": image,
            "step_flop": step,
            "frozen_step_flop": frozen,
            "run_flop": run_flops(schedule, step, frozen, image),
        }
    one = max(run["run_flop"] for run in runs.values())
    total = sum(run["run_flop"] for run in runs.values())
    cards = [
        asdict(card)
        | {
            "hours": {
                f"{round(100 * u)}": {
                    "dearest_run": gpu_hours(one, card.peak, u),
                    "all_runs": gpu_hours(total, card.peak, u),
                }
                for u in UTILISATIONS
            }
        }
        for card in CARDS
    ]
    return {
        "estimate": True,
        "schedule": asdict(schedule) | {"steps_per_epoch": schedule.steps_per_epoch},
        "runs": runs,
        "cards": cards,
        "memory": memory_table(
            {name: c for name, c in every.items() if c.colorspace in ("rgb", "rgb+lab+ycbcr")}
        ),
    }
