"""Every detector over its own bare network: a training step, one scored image, peak memory; at the
demonstration's settings, or (:func:`published`) at its publication's.

The bare network is the detector's backbone (or, where it has none, its own layers one after the
other) under a linear layer and cross-entropy, fed with planes that are ready. What a detector adds
to it, from the bytes of a batch to changed weights, is what the ratio shows. Some compute more by
their own definition; there the counted operations say how much more, and that is their goal.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import machine, measure, steps
from benchmarks.measure import Result, Settings, synchroniser
from mcxlib import CLASSES, detectors
from mcxlib.config import RunConfig, load
from mcxlib.detectors import dcl_views, together
from mcxlib.detectors.base import Detector
from mcxlib.detectors.clips import clip_of
from mcxlib.engine import flops, schedule
from mcxlib.files import read_json, write_json
from mcxlib.weights import build

GOAL = 1.10
STEP_SECONDS, SCORE_SECONDS = 8.0, 2.0

IMAGES, CLIPS = 6, 3
"""In a step at a publication's settings: on a CPU one takes seconds, and a clip takes gigabytes."""

MORE = {
    "dcl": "a second view of each image through a second encoder, forward only",
    "f3-net": "two streams, a network each, and attention between them",
    "m2tr": "rounds of attention and of a filter of frequencies between two stages",
    "madd": "each image a second time, blurred in part; textures for each attention map",
    "supcon": "two views of each image; its scores come from one pass",
}
"""What a detector computes by its own definition beyond one pass of its network."""


class Bare(NamedTuple):
    """A detector's network without what makes it that detector."""

    network: nn.Module
    """(B, channels, S, S) -> (B, D)."""
    channels: int
    what: str


def bare(model: Detector) -> Bare:
    """The bare network of a freshly built detector, whose modules it takes over.

    Raises:
        ValueError: the detector has no backbone, and its layers are not known here.
    """
    if model.name in _BARE:
        return _BARE[model.name](model)
    backbone = getattr(model, "backbone", None)
    if backbone is None:
        raise ValueError(f"benchmarks.detectors does not know the bare network of {model.name}")
    return Bare(backbone, _first(backbone).in_channels, _backbone(model))


def _backbone(model: Detector) -> str:
    return getattr(model.settings, "backbone", "its backbone")


def _first(network: nn.Module) -> nn.Conv2d:
    return next(module for module in network.modules() if isinstance(module, nn.Conv2d))


def _mesonet(model: Any) -> Bare:
    layers = (model.blocks, model.to_grid, nn.Flatten(), model.hidden, nn.LeakyReLU(0.1))
    return Bare(nn.Sequential(*layers), 3, "its own layers")


def _bayar(model: Any) -> Bare:
    filters, inputs, size, _ = model.constrained.weight.shape
    first = nn.Conv2d(inputs, filters, size, bias=False)
    layers = (first, model.blocks, model.to_grid, nn.Flatten(), model.hidden)
    return Bare(nn.Sequential(*layers), inputs, "its own layers, the first one unconstrained")


def _cozzolino(model: Any) -> Bare:
    layers = (model.descriptor, nn.Flatten(), model.standardise)
    return Bare(nn.Sequential(*layers), 1, "its own layers, on grey")


def _f3_net(model: Any) -> Bare:
    network = next(iter(model.networks.values()))
    return Bare(network, _first(network).in_channels, f"{_backbone(model)}, of one stream")


def _dcl(model: Any) -> Bare:
    return Bare(model.encoder.backbone, 3, _backbone(model))


class _OfClips(nn.Module):
    """A network of clips that takes the frames of one side by side: (B, T C, S, S) -> (B, D)."""

    def __init__(self, network: nn.Module, frames: int, grey: bool) -> None:
        super().__init__()
        self.network, self.frames, self.grey = network, frames, grey

    def forward(self, planes: Tensor) -> Tensor:
        if self.grey:
            return self.network(planes).mean(1)
        clips = planes.unflatten(1, (self.frames, -1)).transpose(1, 2)
        return self.network(clips).mean((2, 3, 4))


def _ftcn(model: Any) -> Bare:
    frames = model.settings.clip_frames
    return Bare(_OfClips(model.backbone, frames, False), 3 * frames, "its temporal network")


def _lipforensics(model: Any) -> Bare:
    frames = model.settings.clip_frames
    return Bare(_OfClips(model.backbone, frames, True), frames, "its network of frames, on grey")


_BARE: dict[str, Callable[[Any], Bare]] = {
    "bayar": _bayar,
    "cozzolino": _cozzolino,
    "dcl": _dcl,
    "f3-net": _f3_net,
    "ftcn": _ftcn,
    "lipforensics": _lipforensics,
    "mesonet": _mesonet,
}


class _Plain(nn.Module):
    """A bare network and a linear layer."""

    def __init__(self, found: Bare, pixels: int, outputs: int) -> None:
        super().__init__()
        self.network = found.network.eval()
        with torch.no_grad():
            width = self.network(torch.zeros(2, found.channels, pixels, pixels)).shape[1]
        self.classifier = nn.Linear(width, outputs)

    def forward(self, planes: Tensor) -> Tensor:
        return self.classifier(self.network(planes))


def _plain_step(
    model: nn.Module, config: RunConfig, planes: Tensor, labels: Tensor
) -> Callable[[], Tensor]:
    model.train()
    wanted = [p for p in model.parameters() if p.requires_grad]
    optimizer = schedule.optimizer(config.train, [wanted])

    def step() -> Tensor:
        loss = functional.cross_entropy(model(planes), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


class Pair(NamedTuple):
    """The same thing done by a detector and by its bare network."""

    ours: Callable[[], Any]
    plain: Callable[[], Any]
    pixels: int
    """Side of what the bare network sees."""
    what: str


def _planes(found: Bare, images: int, pixels: int, settings: Settings) -> Tensor:
    generator = torch.Generator().manual_seed(settings.seed)
    planes = torch.randn(images, found.channels, pixels, pixels, generator=generator)
    return planes.to(settings.device, memory_format=torch.channels_last)


def config_of(name: str, preset: str = "demo") -> RunConfig:
    """The settings of a detector in a preset, in fp32."""
    return load(preset, detector=name, precision="32-true")


def _side(config: RunConfig) -> int:
    """Of what the network sees, in pixels."""
    own = (getattr(config.model, name, 0) for name in ("crop", "side", "shown"))
    return next(filter(None, own), config.train.input_size)


def _frames(config: RunConfig) -> int:
    return clip_of(detectors.find(config.detector), config.model).frames


def _count(config: RunConfig, settings: Settings) -> int:
    """Images or clips in a training step."""
    if settings.quick:
        return IMAGES
    if config.preset == "demo":
        return config.train.categories * config.train.per_category
    return CLIPS if _frames(config) > 1 else IMAGES


def _batch(config: RunConfig, kind: str, settings: Settings) -> str:
    """What is measured at once, in words."""
    count = _count(config, settings) if kind == "step" else 1
    return f"{count} {'clip' if _frames(config) > 1 else 'image'}{'s' if count > 1 else ''}"


def training(name: str, settings: Settings, preset: str = "demo") -> Pair:
    """One training step of a detector, and of its bare network, on batches of the same size."""
    config = config_of(name, preset)
    train, model = config.train, config.model
    count = _count(config, settings)
    # A view of SupCon's is smaller than the image: two of them are its step.
    side = getattr(model, "view_side", 0) or _side(config)
    size = steps.Size(count, train.input_size, 0)
    images, labels = steps.batch(size, settings.seed, _frames(config))
    found = bare(build(config))
    plain = _Plain(found, side, len(CLASSES)).to(settings.device, memory_format=torch.channels_last)
    planes = _planes(found, count, side, settings)
    return Pair(
        steps.project_step(build(config), config, images, labels, settings.device),
        _plain_step(plain, config, planes, labels.to(settings.device)),
        side,
        found.what,
    )


def scoring(name: str, settings: Settings, preset: str = "demo") -> Pair:
    """The score of one image from its bytes, and the bare network's output for it."""
    config = config_of(name, preset)
    side = _side(config)
    model = build(config).to(settings.device).eval()
    found = bare(build(config))
    plain = _Plain(found, side, len(CLASSES)).to(settings.device, memory_format=torch.channels_last)
    plain.eval()
    size = steps.Size(3, config.train.input_size, 0)
    image = steps.batch(size, settings.seed, _frames(config))[0][:1]
    planes = _planes(found, 1, side, settings)

    @torch.inference_mode()
    def score() -> Tensor:
        return model.fake_score(model(image.to(settings.device).float().div_(255)))

    @torch.inference_mode()
    def output() -> Tensor:
        return plain(planes)

    return Pair(score, output, side, found.what)


def peak_bytes(call: Callable[[], Any], device: torch.device) -> int:
    """Most memory that ``call`` holds at once beyond what was there before it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        call()
    assert profile.profiler is not None
    recorded = profile.profiler.kineto_results
    assert recorded is not None
    held = peak = 0
    for event in sorted(recorded.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def _operations(call: Callable[[], object]) -> int:
    """Of the network. Random changes of images come on top of it: that torch counts the one step of
    them that is a matrix product must raise no goal."""

    def places_alone(images: Tensor, boxes: object, size: list[int]) -> Tensor:
        return functional.interpolate(images, tuple(size))

    with (
        patch.object(together, "resized", places_alone),
        patch.object(dcl_views, "resized", places_alone),
    ):
        return flops.count(call)


def _compared(
    name: str, kind: str, pair: Pair, settings: Settings, least: int = 5, warm_up: int = 2
) -> Result:
    counted = _operations(pair.ours) / _operations(pair.plain)
    expected = max(1.0, counted) if name in MORE else 1.0
    memory = [peak_bytes(call, settings.device) for call in (pair.ours, pair.plain)]
    samples = measure.take_turns(
        pair.ours,
        pair.plain,
        least=settings.repetitions(least),
        seconds=settings.seconds(STEP_SECONDS if kind == "step" else SCORE_SECONDS),
        warm_up=warm_up,
        synchronise=synchroniser(settings.device),
    )
    subject = "Training step" if kind == "step" else "One scored image"
    return measure.result(
        samples,
        what=f"{subject} of {name} over its bare network, {pair.what} at {pair.pixels} px.",
        target=GOAL * expected,
        seed=settings.seed,
        details={
            "detector": name,
            "kind": kind,
            "base": f"{pair.what}, {pair.pixels} px",
            "operations": counted,
            "expected": expected,
            "why_more": MORE.get(name, ""),
            "peak_bytes": memory[0],
            "peak_bytes_compared_with": memory[1],
            "device": settings.device.type,
        },
    )


def run(settings: Settings) -> dict[str, Result]:
    """``detectors_step_NAME`` and ``detectors_score_NAME`` of every detector, and ``detectors``,
    the one that is furthest beyond its goal."""
    results = {}
    for name in detectors.modules():
        for kind, make in (("step", training), ("score", scoring)):
            results[f"detectors_{kind}_{name}"] = _compared(
                name, kind, make(name, settings), settings
            )
    return results | {"detectors": measure.worse(results)}


def published(
    path: Path, settings: Settings, starting: Callable[[str], None] = lambda name: None
) -> dict[str, Any]:
    """The same at the settings of each publication (preset ``paper``), in a file of its own by
    device, since it takes longer; what a stopped run has measured on this machine stays.

    With ``settings.quick``, the demonstration's settings, to try the code.
    """
    preset = "demo" if settings.quick else "paper"
    here = machine.description(settings.device)
    stored = read_json(path) if path.is_file() else {}
    before = stored.get(settings.device.type, {})
    # The longest clips last.
    names = sorted(detectors.modules(), key=lambda name: _frames(config_of(name, preset)))
    entries: dict[str, Any] = {}
    if before and machine.same(before["machine"], here) and before["quick"] == settings.quick:
        entries = before["entries"] if len(before["entries"]) < 2 * len(names) else {}
    for name in names:
        for kind, make in (("step", training), ("score", scoring)):
            if (key := f"detectors_{kind}_{name}") in entries:
                continue
            starting(key)
            pair = make(name, settings, preset)
            found = _compared(name, kind, pair, settings, least=3, warm_up=1)
            entries[key] = found.row() | {"batch": _batch(config_of(name, preset), kind, settings)}
            left = [n for n in names if f"detectors_score_{n}" not in entries]
            part = {"machine": here, "quick": settings.quick, "without": left}
            stored |= {settings.device.type: part | {"entries": entries}}
            write_json(path, stored)
    return stored
