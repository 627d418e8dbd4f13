"""EfficientNet in pieces, for detectors that read or change what flows between its stages."""

from __future__ import annotations

from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn


def channels(backbone: EfficientNet, stage: int) -> int:
    """Of the map after stage ``stage``, counted from 1."""
    convolutions = [m for m in backbone.blocks[stage - 1].modules() if isinstance(m, nn.Conv2d)]
    return convolutions[-1].out_channels


def stem(backbone: EfficientNet, images: Tensor) -> Tensor:
    """Images -> what the first stage reads, at half the size."""
    return backbone.bn1(backbone.conv_stem(images))


def stages(backbone: EfficientNet, maps: Tensor, first: int, last: int | None = None) -> Tensor:
    """Apply stages ``first`` to ``last``, counted from 1, both included; None: to the end."""
    for stage in backbone.blocks[first - 1 : last]:
        maps = stage(maps)
    return maps


def top(backbone: EfficientNet, maps: Tensor) -> Tensor:
    """The map after the last stage -> the one that is pooled."""
    return backbone.bn2(backbone.conv_head(maps))
