"""How much memory a training step takes, counted before there is a device to try it on.

What a backward pass needs is kept from the forward pass: these activations are nearly all of a
step's memory, and proportional to images and pixels. They are counted by running the backbone on
tensors without data, so any size can be asked about on any machine.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from mcxlib.config import RunConfig
from mcxlib.detectors import backbones
from mcxlib.engine.memory import AUTOCAST
from mcxlib.method import colorspace as colorspaces

_COUNTED = 2
"""Images that are counted; the rest is proportion. One would do, but that BatchNorm."""


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


def training_bytes(config: RunConfig, *, checkpoint_backbone: bool = False) -> TrainingBytes:
    """Memory of one training step of ``config`` for the batch of one process.

    The backbone is run on two images without data and the result multiplied; the head, whose
    activations are a few vectors an image, is left out.

    Raises:
        ValueError: ``checkpoint_backbone`` for a backbone whose blocks are not known.
    """
    with FakeTensorMode():
        backbone = backbones.create(
            config.flat()["backbone"], colorspaces.channels(config.colorspace)
        )
        backbone.train()
        parameters = sum(p.numel() * p.element_size() for p in backbone.parameters())
        kept, inputs, largest = _saved(backbone, config, checkpoint_backbone)
    images = config.train.categories * config.train.per_category
    states = {"sgd": 1, "adam": 2, "adamw": 2}[config.train.optimizer]
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
    current = -1
    kept: dict[int, int] = {}
    inputs: dict[int, int] = {}
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

    def enter(index: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
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
    size, dtype = config.train.input_size, AUTOCAST[config.train.precision]
    images = torch.empty(_COUNTED, colorspaces.channels(config.colorspace), size, size)
    autocast = torch.autocast("cpu", dtype=dtype) if dtype else nullcontext()
    with saved_tensors_hooks(pack, lambda tensor: tensor), autocast:
        backbone(images.to(memory_format=torch.channels_last))
    for handle in handles:
        handle.remove()
    return kept, inputs, largest
