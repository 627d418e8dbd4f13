"""The training step, over the bare backbone (the floor) and over the plain implementation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import timm
import torch
from lightning_fabric import Fabric
from torch import Tensor

from benchmarks import flops, measure, plain
from benchmarks.measure import Result, Settings, synchroniser
from mcxlib.config import RunConfig, load
from mcxlib.detectors import backbones
from mcxlib.detectors.base import Detector
from mcxlib.detectors.mcx_api import MCXAPI
from mcxlib.engine import schedule
from mcxlib.engine.session import Step
from mcxlib.method import colorspace
from mcxlib.weights import build

SPEC = "rgb+hsv+lab"
"""The paper's most expensive set to convert to."""

CLASSES_A_BATCH = 3


class Size(NamedTuple):
    """A batch to measure with."""

    images: int
    pixels: int
    seconds: float
    """Time budget of one comparison at this size."""


SIZES = (Size(6, 448, 120.0), Size(27, 128, 70.0))


def sizes(settings: Settings) -> dict[str, Size]:
    """The batches by the suffix of their entries; tiny ones under the same names when quick."""
    return {str(size.pixels): Size(6, 64, 0.0) if settings.quick else size for size in SIZES}


def paper_config(settings: Settings, spec: str = SPEC) -> RunConfig:
    """The paper's settings with colour spaces ``spec``, in fp32; a small backbone when quick."""
    small = {"backbone": backbones.SLIM} if settings.quick else {}
    return load("paper", colorspace=spec, precision="32-true", **small)


def batch(size: Size, seed: int, frames: int = 1) -> tuple[Tensor, Tensor]:
    """Images uint8 (B, 3, S, S), or clips (B, T, 3, S, S), in channels-last memory, as a loader
    yields them, and labels."""
    generator = torch.Generator().manual_seed(seed)
    shape = (size.images, *([frames] if frames > 1 else []), size.pixels, size.pixels, 3)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    labels = torch.arange(CLASSES_A_BATCH).repeat_interleave(size.images // CLASSES_A_BATCH)
    return images.movedim(-1, -3), labels


def project_step(
    model: Detector, config: RunConfig, images: Tensor, labels: Tensor, device: torch.device
) -> Callable[[], Tensor]:
    """One step as :func:`mcxlib.engine.train.fit` takes it, from bytes to changed weights."""
    fabric = Fabric(accelerator=device.type, devices=1, precision=config.train.precision)
    model.to(device)
    optimizer = fabric.setup_optimizers(schedule.optimizer(config.train, model.groups()))
    module = fabric.setup_module(Step(model))
    module.train()

    def step() -> Tensor:
        model.before_step(0.0)
        losses = module(images.to(device, non_blocking=True), labels.to(device, non_blocking=True))
        fabric.backward(losses["total"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.after_step()
        return losses["total"].detach()

    return step


def plain_step(
    model: MCXAPI, config: RunConfig, images: Tensor, labels: Tensor, device: torch.device
) -> Callable[[], Tensor]:
    """The same step by the plain implementation; ``images`` are laid out as NCHW beforehand."""
    images = images.contiguous()
    module = plain.PlainStep(model.to(device)).train()
    train = config.train
    optimizers = [
        torch.optim.SGD(
            parameters, train.lr, momentum=train.momentum, weight_decay=train.weight_decay
        )
        for parameters in model.groups()
    ]

    def step() -> Tensor:
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        losses = module(images.to(device).float() / 255, labels.to(device))
        losses.total.backward()
        for optimizer in optimizers:
            optimizer.step()
        return losses.total.detach()

    return step


def floor(
    config: RunConfig, size: Size, device: torch.device, layout: torch.memory_format, seed: int = 0
) -> Callable[[], None]:
    """Forward and backward of timm's bare backbone, from planes to a fixed gradient of features."""
    generator = torch.Generator().manual_seed(seed)
    channels = colorspace.channels(config.colorspace)
    name = config.model.backbone
    # Straight from timm, so that nothing of the project's own can slow down the floor.
    backbone = (
        backbones.create(name, channels)
        if name == backbones.SLIM
        else timm.create_model(name, num_classes=0, in_chans=channels)
    )
    backbone = backbone.to(device, memory_format=layout).train()
    shape = (size.images, channels, size.pixels, size.pixels)
    images = torch.randn(shape, generator=generator).to(device, memory_format=layout)
    upstream = torch.randn(size.images, backbone.num_features, generator=generator).to(device)

    def forward_and_backward() -> None:
        for parameter in backbone.parameters():
            parameter.grad = None
        backbone(images).backward(upstream)

    return forward_and_backward


def _details(config: RunConfig, size: Size, settings: Settings) -> dict[str, Any]:
    return {
        "batch": f"{size.images} x {size.pixels} px",
        "colorspace": config.colorspace,
        "precision": "fp32",
        "device": settings.device.type,
        "cudnn_tf32": settings.device.type == "cuda" and torch.backends.cudnn.allow_tf32,
    }


def _achieved(config: RunConfig, size: Size, seconds: float) -> dict[str, float]:
    """Counted operations of a step, and the rate that a measured time comes to."""
    counted = flops.training_step(config, size.images, size.pixels)
    return {"flop": counted, "flops": counted / seconds}


def step_over_floor(settings: Settings) -> dict[str, Result]:
    """``step_over_floor_448``, ``step_over_floor_128``, and ``step_over_floor``, the worse."""
    config = paper_config(settings)
    wait = synchroniser(settings.device)
    results = {}
    for suffix, size in sizes(settings).items():
        layouts = {
            "NCHW": floor(config, size, settings.device, torch.contiguous_format),
            "NHWC": floor(config, size, settings.device, torch.channels_last),
        }
        tried = measure.take_turns(
            *layouts.values(), least=settings.repetitions(2), seconds=0, synchronise=wait
        )
        seconds = dict(zip(layouts, tried.medians, strict=True))
        best = min(seconds, key=seconds.__getitem__)
        bare = layouts[best]
        layouts.clear()
        images, labels = batch(size, settings.seed)
        step = project_step(build(config), config, images, labels, settings.device)
        samples = measure.take_turns(
            step,
            bare,
            least=settings.repetitions(5),
            seconds=settings.seconds(size.seconds),
            synchronise=wait,
        )
        results[f"step_over_floor_{suffix}"] = measure.result(
            samples,
            what=f"Training step of MCX-API, {size.images} x {size.pixels} px, over forward and "
            "backward of its bare backbone in the faster memory layout.",
            target=1.05,
            seed=settings.seed,
            details=_details(config, size, settings)
            | {"floor_layout": best, "layout_seconds": seconds}
            | _achieved(config, size, samples.medians[0]),
        )
    return results | {"step_over_floor": measure.worse(results)}


def loss_difference(config: RunConfig, device: torch.device, seed: int = 0) -> float:
    """Relative difference of the two implementations' losses: same weights, no dropout."""
    torch.manual_seed(seed)
    model = build(config)
    model.drop.p = 0.0
    images, labels = batch(Size(6, 64, 0), seed)
    losses = [
        float(make(copy.deepcopy(model), config, images, labels, device)())
        for make in (project_step, plain_step)
    ]
    return abs(losses[0] - losses[1]) / abs(losses[1])


def step_over_plain(settings: Settings) -> dict[str, Result]:
    """``step_over_plain_448``, ``step_over_plain_128``, and ``step_over_plain``, the worse.

    Raises:
        RuntimeError: the two do not compute the same loss, so that comparing them means nothing.
    """
    config = paper_config(settings)
    difference = loss_difference(config, settings.device, settings.seed)
    # The two differ in the order of their sums only; on CUDA the convolutions round to TF32.
    if not difference < (1e-4 if settings.device.type == "cpu" else 1e-2):
        raise RuntimeError(
            f"the plain implementation's loss differs from the project's by {difference:.2g} of "
            "itself: one of the two is wrong, and their times are not to be compared"
        )
    results = {}
    for suffix, size in sizes(settings).items():
        images, labels = batch(size, settings.seed)
        model = build(config)
        samples = measure.take_turns(
            project_step(copy.deepcopy(model), config, images, labels, settings.device),
            plain_step(model, config, images, labels, settings.device),
            least=settings.repetitions(5),
            seconds=settings.seconds(size.seconds * 0.8),
            synchronise=synchroniser(settings.device),
        )
        results[f"step_over_plain_{suffix}"] = measure.result(
            samples,
            what=f"Training step of MCX-API, {size.images} x {size.pixels} px, over the plain "
            "implementation of the same step.",
            target=0.75,
            seed=settings.seed,
            details=_details(config, size, settings)
            | {"relative_loss_difference": difference}
            | _achieved(config, size, samples.medians[0]),
        )
    return results | {"step_over_plain": measure.worse(results)}
