"""How much memory a training step takes, counted before there is a device to try it on.

What a backward pass needs is kept from the forward pass: these activations are nearly all of a
step's memory, and proportional to images and pixels. They are counted by running the backbone on
tensors without data, so any size can be asked about on any machine.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from mcxlib import backbones
from mcxlib import colorspace as colorspaces
from mcxlib.config import RunConfig

_COUNTED = 2
"""Images that are counted; the rest is proportion. One would do, but that BatchNorm."""

AUTOCAST = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Precision setting -> the type that autocast computes in, if any."""


class OutOfMemory(RuntimeError):
    """The device has too little memory; the message says for what, and what to change."""


class TrainingBytes(NamedTuple):
    """Bytes of a training step. A library's workspaces and the driver's own (about 1 GiB on a
    GPU) come on top."""

    parameters: int
    """Weights, their gradients and the optimiser's averages, all float32."""
    activations: int
    """Kept from the forward pass for the backward pass, at the moment when it is most."""
    gradients: int
    """Of activations: the largest input, output and gradient that are alive at once."""

    @property
    def total(self) -> int:
        return sum(self)


@cache
def keep_freed() -> bool:
    """Let this process keep the memory it frees, for what it allocates next; whether it could.

    A network's activations are large, and by default the C library returns each to the system
    and asks for it again a moment later, every page of it to be cleared: on a CPU that takes up
    to a third of a step. Only glibc has these settings; elsewhere nothing changes.
    """
    mmap_max, trim_threshold, top_pad = -4, -1, -2  # names of malloc.h, M_MMAP_MAX and so on
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    wanted = ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 64 * 2**20))
    return all(mallopt(*setting) == 1 for setting in wanted)


@contextmanager
def explained(message: str) -> Iterator[None]:
    """Turn a device's or the host's "out of memory" into :class:`OutOfMemory` with ``message``."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise OutOfMemory(message) from error
        raise


def training_bytes(config: RunConfig, *, checkpoint_backbone: bool = False) -> TrainingBytes:
    """Memory of one training step of ``config`` for the batch of one process.

    The backbone is run on two images without data and the result multiplied; the head, whose
    activations are a few vectors an image, is left out.

    Raises:
        ValueError: ``checkpoint_backbone`` for a backbone whose blocks are not known.
    """
    with FakeTensorMode():
        backbone = backbones.create(config.backbone, colorspaces.channels(config.colorspace))
        backbone.train()
        parameters = sum(p.numel() * p.element_size() for p in backbone.parameters())
        kept, inputs, largest = _saved(backbone, config, checkpoint_backbone)
    images = config.categories * config.per_category
    states = {"sgd": 1, "adamw": 2}[config.optimizer]
    blocks = {name: size for name, size in kept.items() if name >= 0}
    activations = sum(kept.values())
    if checkpoint_backbone:
        # The inputs of all blocks stay; a block's own activations exist while its turn lasts.
        activations = kept.get(-1, 0) + sum(inputs.values()) + max(blocks.values())
    share = images / _COUNTED
    return TrainingBytes(
        parameters * (2 + states), round(activations * share), round(2 * largest * share)
    )


def _saved(
    backbone: nn.Module, config: RunConfig, checkpoint_backbone: bool
) -> tuple[dict[int, int], dict[int, int], int]:
    """Bytes saved for backward by block (-1: outside any), of the blocks' inputs, and of the
    largest single tensor."""
    found = backbones.blocks(backbone)
    if checkpoint_backbone and not found:
        backbones.checkpoint_blocks(backbone)  # raises, and says why
    weights = {p.untyped_storage()._cdata for p in backbone.parameters()}
    current, kept, inputs = -1, {}, {}
    seen: dict[int, Tensor] = {}
    largest = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal largest
        key = tensor.untyped_storage()._cdata
        # Rounded copies of the weights are not activations: they do not grow with the images.
        if tensor.ndim == 4 and key not in seen and key not in weights and len(tensor) == _COUNTED:
            seen[key] = tensor  # held on to, so that no later storage gets the same address
            size = tensor.untyped_storage().nbytes()
            kept[current] = kept.get(current, 0) + size
            largest = max(largest, size)
        return tensor

    def enter(index: int):
        def hook(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            nonlocal current
            current = index
            storage = arguments[0].untyped_storage()
            if storage._cdata not in seen:  # else the operation that made it keeps it already
                inputs[index] = storage.nbytes()
                seen[storage._cdata] = arguments[0]

        return hook

    def leave(*_: object) -> None:
        nonlocal current
        current = -1

    handles = []
    if checkpoint_backbone:
        for index, block in enumerate(found):
            handles += [
                block.register_forward_pre_hook(enter(index)),
                block.register_forward_hook(leave),
            ]
    size, dtype = config.input_size, AUTOCAST[config.precision]
    images = torch.empty(_COUNTED, colorspaces.channels(config.colorspace), size, size)
    autocast = torch.autocast("cpu", dtype=dtype) if dtype else nullcontext()
    with saved_tensors_hooks(pack, lambda tensor: tensor), autocast:
        backbone(images.to(memory_format=torch.channels_last))
    for handle in handles:
        handle.remove()
    return kept, inputs, largest
