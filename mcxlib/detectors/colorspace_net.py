"""Networks that read colour spaces: conversion, normalisation, a backbone, one linear layer."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from mcxlib.detectors import backbones
from mcxlib.detectors.base import Detector, DetectorSettings, check_images, normalise_
from mcxlib.method import colorspace as colorspaces

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""ImageNet's RGB statistics. The experiments' released code repeats them for every colour space,
though they describe only RGB; a fixed affine map of each channel, it costs no information."""


class ColorspaceSettings(DetectorSettings):
    """Of a network that reads colour spaces through a timm backbone."""

    colorspace: str = Field("rgb", description="sec. 3, Table 1 and 3: colour spaces joined by +")
    backbone: str = Field(
        "legacy_xception", description="sec. 4.1; a timm name; slim_, mini_xception"
    )
    pretrained: bool | Path = Field(
        False,
        union_mode="left_to_right",
        description="not in the paper; the released code has False; or a file of such weights",
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="released code")

    @field_validator("colorspace")
    @classmethod
    def _known_colorspace(cls, value: str) -> str:
        colorspaces.parse(value)
        return value


SLIM = MappingProxyType(
    {
        # Half a million weights with the head: what a CPU core can train in a minute and a half.
        "demo": MappingProxyType({"backbone": backbones.MINI}),
        "test": MappingProxyType({"backbone": backbones.SLIM}),
    }
)


class ColorspaceDetector(Detector):
    """Colour spaces, normalisation, a backbone with average pooling, one linear classifier.

    The attribute ``num_features`` is D, the width of the features (2048 for Xception).

    Raises:
        ValueError: for an unknown colour space or backbone.
        RuntimeError: if pretrained weights cannot be had.
    """

    settings: ColorspaceSettings
    mean: Tensor
    std: Tensor

    def __init__(self, settings: ColorspaceSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        channels = colorspaces.channels(settings.colorspace)
        self.colorspace = settings.colorspace
        self.backbone = backbones.create(settings.backbone, channels, settings.pretrained)
        self.num_features = backbones.width(self.backbone)
        self._add_head(settings)
        # Constants of the architecture, not weights: they follow the device, not the checkpoint.
        repeats = channels // 3
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            constant = torch.tensor(values * repeats).view(1, channels, 1, 1)
            self.register_buffer(name, constant, persistent=False)

    def _add_head(self, settings: ColorspaceSettings) -> None:
        self.classifier = nn.Linear(self.num_features, self.outputs)
        self.drop = nn.Dropout(settings.dropout)

    def embed(self, images: Tensor) -> Tensor:
        """Images -> features x_i: colour spaces, normalisation, backbone, average pooling.

        Args:
            images: (B, 3, H, W), floating point RGB in [0, 1], on the model's device.

        Returns:
            (B, D).

        Raises:
            ValueError: for a wrong shape or dtype, or values that look like 0-255 (looked at on
                the CPU only: elsewhere it would make the host wait for the device).
        """
        check_images(images, self.name)
        # Colours in float32 even for half-precision images: only the result is rounded.
        half = images.dtype in (torch.float16, torch.bfloat16)
        exact = images.float() if half else images
        planes = colorspaces.stack(exact, self.colorspace)  # (B, 3n, H, W)
        planes = normalise_(planes, self.mean, self.std)
        weight = self.classifier.weight
        return self.backbone(planes.to(dtype=weight.dtype, memory_format=torch.channels_last))

    def classify(self, features: Tensor) -> Tensor:
        """Features (B, D) -> logits (B, C): the one classifier all features share."""
        return self.classifier(self.drop(features))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> logits (B, C), each image alone: ``classify(embed(images))``.

        The paper does not say how a single test image is classified; this is what its released
        code does.
        """
        return self.classify(self.embed(images))  # (B, 3, H, W) -> (B, D) -> (B, C)

    def features(self, images: Tensor) -> Tensor:
        return self.embed(images)

    def cam_layer(self) -> nn.Module:
        return backbones.cam_layer(self.backbone)
