"""EfficientNet in pieces, for detectors that read or change what flows between its stages."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from timm.layers import DropPath
from timm.models._efficientnet_builder import decode_arch_def, round_channels
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mcxlib.detectors import backbones

SLIM = "plain_efficientnet"
"""The one name here that is not timm's."""

_TF_MOMENTUM = 0.01
"""TensorFlow's 0.99, which the reference implementations kept; timm's own default is 0.1."""

# Plain convolutions in place of those by channel, which two CPU cores are slow at.
_SLIM_STAGES = [
    ["ds_r1_k3_s1_e1_c12"],
    ["er_r1_k3_s2_e2_c12"],
    ["er_r1_k3_s2_e2_c32"],
    ["er_r1_k3_s1_e2_c32"],
    ["er_r1_k3_s1_e2_c48"],
    ["er_r1_k3_s2_e2_c96"],
]


def create(
    name: str, pretrained: bool | str | Path = False, *, drop_path: float = 0.0
) -> EfficientNet:
    """An EfficientNet without a classifier.

    Args:
        name: of a timm model of that family, or ``"plain_efficientnet"``, which has strides of
            4, 8 and 16 where the published ones have 4, 16 and 32.
        pretrained: as :func:`mcxlib.detectors.backbones.create`.
        drop_path: stochastic depth: the share that the residual blocks rise to from 0.

    Raises:
        ValueError: an unknown model, or one that is no EfficientNet.
        RuntimeError: pretrained weights cannot be had.
    """
    if name == SLIM:
        if pretrained:
            raise ValueError(f"{SLIM} has no published weights; leave pretrained=False")
        backbone = _slim()
    else:
        momentum = _TF_MOMENTUM if name.startswith("tf_") else None
        found = backbones.create(name, 3, pretrained, bn_momentum=momentum)
        if not isinstance(found, EfficientNet):
            raise ValueError(
                f"backbone {name!r} is a {type(found).__name__}; an EfficientNet is needed, "
                f"tf_efficientnet_b4 or {SLIM} say"
            )
        backbone = found
    blocks = [block for stage in backbone.blocks.children() for block in stage.children()]
    for index, block in enumerate(blocks):
        if block.has_skip and drop_path:
            block.drop_path = DropPath(drop_path * index / len(blocks))
    return backbone


def _slim() -> EfficientNet:
    backbone = EfficientNet(
        decode_arch_def(_SLIM_STAGES),
        num_classes=0,
        num_features=192,
        stem_size=12,
        act_layer=partial(nn.SiLU, inplace=True),
        round_chs_fn=partial(round_channels, divisor=4),
    )
    for module in backbone.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 0.2  # as slim_xception's, and for the same reason
    return backbone


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
