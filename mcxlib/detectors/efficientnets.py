"""EfficientNets as feature extractors: timm's by name, and two small ones for training on a CPU."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from timm.layers import DropPath
from timm.models._efficientnet_builder import decode_arch_def, round_channels
from timm.models.efficientnet import EfficientNet
from torch import nn

from mcxlib.detectors import backbones
from mcxlib.detectors.colorspace_net import IMAGENET_MEAN, IMAGENET_STD

SLIM, PLAIN = SMALL = "slim_efficientnet", "plain_efficientnet"
"""The names here that are not timm's."""

_TF_MOMENTUM = 0.01
"""0.99 in TensorFlow's counting (Tan and Le, 2019, section 5.2). timm's ``tf_`` models have the
epsilon and the padding of the original, but torch's momentum."""

_SMALL_MOMENTUM = 0.2
"""As for slim_xception: a short run's weights change too quickly for less."""


def create(
    name: str, pretrained: bool | str | Path = False, *, channels: int = 3, drop_path: float = 0.0
) -> EfficientNet:
    """An EfficientNet without classifier: (B, channels, H, W) -> (B, D), D its ``num_features``.

    Args:
        name: of one of timm's EfficientNets, ``"slim_efficientnet"``, or ``"plain_efficientnet"``
            for detectors that look at its second and fifth stage.
        pretrained: as for :func:`mcxlib.detectors.backbones.create`.
        channels: of its input.
        drop_path: how often the last block is left out for an image in training; the first never
            is, and those between in proportion.

    Raises:
        ValueError: no such network, no EfficientNet, or no published weights of it.
        RuntimeError: if pretrained weights cannot be had.
    """
    if name in SMALL:
        if pretrained:
            raise ValueError(f"{name} has no published weights; leave pretrained=False")
        network = _slim(channels) if name == SLIM else _plain(channels)
    else:
        momentum = _TF_MOMENTUM if name.startswith("tf_") else None
        found = backbones.create(name, channels, pretrained, bn_momentum=momentum)
        if not isinstance(found, EfficientNet):
            raise ValueError(
                f"{name!r} is no EfficientNet; valid: {SLIM}, {PLAIN}, tf_efficientnet_b0 "
                "to _b7 and timm's others of that family"
            )
        network = found
    blocks = [block for stage in network.blocks.children() for block in stage.children()]
    for number, block in enumerate(blocks):
        if drop_path and number:
            block.drop_path = DropPath(drop_path * number / len(blocks))
    return network


def normalisation(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the RGB images that a network's published weights were trained on:
    ImageNet's, or 0.5 for those of adversarial propagation (``.ap_in1k``)."""
    config = getattr(network, "pretrained_cfg", None) or {}
    return config.get("mean", IMAGENET_MEAN), config.get("std", IMAGENET_STD)


def _slim(channels: int) -> EfficientNet:
    # A stride of 8 where the family has 32: crops of 64 to 96 px keep maps of 8 to 12.
    stages = [
        ["ds_r1_k3_s1_e1_c16_se0.25"],
        ["ir_r1_k3_s2_e4_c32_se0.25"],
        ["ir_r2_k3_s2_e3_c64_se0.25"],
        ["ir_r1_k3_s1_e3_c96_se0.25"],
    ]
    return EfficientNet(
        decode_arch_def(stages),
        num_classes=0,
        num_features=256,
        in_chans=channels,
        stem_size=16,
        pad_type="same",
        act_layer=nn.SiLU,
        norm_layer=partial(nn.BatchNorm2d, eps=1e-3, momentum=_SMALL_MOMENTUM),
    )


def _plain(channels: int) -> EfficientNet:
    # Six stages, at strides of 2, 4, 8, 8, 8 and 16. Plain convolutions in place of those by
    # channel, which two CPU cores are slow at.
    stages = [
        ["ds_r1_k3_s1_e1_c12"],
        ["er_r1_k3_s2_e2_c12"],
        ["er_r1_k3_s2_e2_c32"],
        ["er_r1_k3_s1_e2_c32"],
        ["er_r1_k3_s1_e2_c48"],
        ["er_r1_k3_s2_e2_c96"],
    ]
    return EfficientNet(
        decode_arch_def(stages),
        num_classes=0,
        num_features=192,
        in_chans=channels,
        stem_size=12,
        act_layer=partial(nn.SiLU, inplace=True),
        norm_layer=partial(nn.BatchNorm2d, momentum=_SMALL_MOMENTUM),
        round_chs_fn=partial(round_channels, divisor=4),
    )
