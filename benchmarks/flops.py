"""Operations of a step or an image, counted on tensors without data and without running it."""

from __future__ import annotations

import torch

from mcxlib import detectors
from mcxlib.config import RunConfig
from mcxlib.detectors.clips import clip_of
from mcxlib.engine.flops import count
from mcxlib.engine.session import Step
from mcxlib.weights import build

__all__ = ["count", "inference", "shape", "training_step"]


def shape(config: RunConfig, items: int, size: int) -> tuple[int, ...]:
    """Of so many images, or clips, as the detector of ``config`` takes them."""
    frames = clip_of(detectors.find(config.detector), config.model).frames
    return (items, *([frames] if frames > 1 else []), 3, size, size)


def _empty(config: RunConfig, images: int, size: int) -> torch.Tensor:
    return torch.empty(shape(config, images, size), device="meta")


def training_step(config: RunConfig, images: int, size: int, *, frozen: bool = False) -> int:
    """Operations of one training step of ``images`` images of ``size`` px, forward and backward.

    Counted on tensors without data. ``frozen``: the backbone takes no gradient (section 4.1).
    """
    with torch.device("meta"):
        model = build(config)
    model.train()
    model.freeze(frozen)
    step = Step(model)
    labels = torch.empty(images, dtype=torch.int64, device="meta")
    return count(lambda: step(_empty(config, images, size), labels)["total"].backward())


def inference(config: RunConfig, images: int, size: int) -> int:
    """Operations of scoring ``images`` images of ``size`` px."""
    with torch.device("meta"):
        model = build(config).eval()
    with torch.no_grad():
        return count(lambda: model(_empty(config, images, size)))
