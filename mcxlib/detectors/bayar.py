"""Bayar and Stamm (2016, 2018): a first convolution that may only predict pixels by their
neighbours, and a small network on its errors."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from mcxlib.detectors.base import Detector, DetectorSettings, Published, check_images
from mcxlib.detectors.constrained import ConstrainedConv2d
from mcxlib.detectors.resize import centre, scale


class BayarSettings(DetectorSettings):
    """Of Bayar and Stamm's detector."""

    network: Literal["benchmark", "mislnet", "slim"] = Field(
        "benchmark",
        description="the FaceForensics++ benchmark's, after the publication of 2016; that of 2018 "
        "(faces of 256 px: crop=256); or a small one with normalisation for two cores",
    )
    side: int = Field(
        256, ge=0, description="pixels that faces are scaled to; 0 takes them as given"
    )
    crop: int = Field(
        128, ge=0, description="FaceForensics++: pixels cut from the middle; 0 takes all"
    )


class Bayar(Detector):
    """Constrained convolution, convolutions with pooling, two hidden layers, one linear layer.

    The last map is brought to the size it has at the published crop by average pooling, which at
    that crop is the identity.
    """

    name = "bayar"
    Settings: ClassVar[type[BaseModel]] = BayarSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            # Adam at 1e-5 is the FaceForensics++ benchmark's as far as it is known; the rest stays
            # the paper's. (The publication of 2018 has SGD at 1e-3, momentum 0.95, decay 5e-4.)
            "paper": {
                "optimizer": "adam",
                "schedule": "constant",
                "lr": 1e-5,
                "weight_decay": 0.0,
                "freeze_epochs": 0,
            },
            # Small crops are taken whole and gain nothing by being enlarged.
            "demo": {"network": "slim", "side": 0, "crop": 0},
            "test": {"network": "slim", "side": 0, "crop": 0},
        }
    )
    paper_labels: ClassVar[tuple[str, ...]] = ("Bayar and Stamm",)
    tables: ClassVar[tuple[int, ...]] = (1,)
    # Published for six classes and with three biases of the first layer that stay 0.
    published: ClassVar[Published | None] = Published(
        1_575_444 - (200 + 1) - 3, 5, MappingProxyType({"network": "mislnet", "crop": 256})
    )
    deviations: ClassVar[str] = (
        "unconfirmed: the layers of the benchmark's network (those of the publication of 2016), "
        "its green channel of 0 to 255, its learning rate; filters start positive, are also "
        "brought back to the constraint after a step, and are shifted where their sum is near 0; "
        "as many outputs as classes; faces cut as for the other rows, then scaled to 256 px"
    )
    licence: ClassVar[str] = "not stated"
    settings: BayarSettings

    def __init__(self, settings: BayarSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        filters, self.blocks, grid, widths = _layers(settings.network)
        self.constrained = ConstrainedConv2d(1, filters, 5)
        self.to_grid = nn.AdaptiveAvgPool2d(grid)
        activation = nn.Tanh if settings.network == "mislnet" else nn.ReLU
        self.hidden = nn.Sequential(
            nn.Linear(widths[0] * grid * grid, widths[1]),
            activation(),
            nn.Linear(widths[1], widths[1]),
            activation(),
        )
        self.output = nn.Linear(widths[1], len(self.classes))

    def before_step(self, progress: float) -> None:
        """The constraint, before each step as published."""
        self.constrained.project()

    def after_step(self) -> None:
        """The constraint again: what is validated and stored has it too."""
        self.constrained.project()

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D), the last hidden layer; D is 4096, or 200 for ``mislnet``."""
        check_images(images, self.name)
        half = images.dtype in (torch.float16, torch.bfloat16)
        green = (images.float() if half else images)[:, 1:2]
        green = centre(scale(green, self.settings.side), self.settings.crop, self.name)
        maps = self.blocks(self.constrained(255 * green))
        return self.hidden(self.to_grid(maps).contiguous().flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> logits (B, K)."""
        return self.output(self.features(images))

    def cam_layer(self) -> nn.Module:
        """The last pooling."""
        return self.blocks[-1]


def _layers(network: str) -> tuple[int, nn.Sequential, int, tuple[int, int]]:
    """Constrained filters, what follows, its last map's size and its and the hidden layers' width.

    Caffe, which the publications use, rounds the size of a pooled map up.
    """
    if network == "mislnet":
        blocks = nn.Sequential(
            _block(3, 96, 7, nn.Tanh(), stride=2, padding=3),
            _block(96, 64, 5, nn.Tanh(), padding=2),
            _block(64, 64, 5, nn.Tanh(), padding=2),
            _block(64, 128, 1, nn.Tanh(), average=True),
        )
        return 3, blocks, 7, (128, 200)
    normalise = network == "slim"
    filters, first, second, grid, hidden = (
        (8, 16, 32, 4, 64) if normalise else (12, 64, 48, 12, 4096)
    )
    blocks = nn.Sequential(
        _block(filters, first, 7, nn.ReLU(), stride=2, normalise=normalise),
        _block(first, second, 5, nn.ReLU(), normalise=normalise),
    )
    return filters, blocks, grid, (second, hidden)


def _block(
    inputs: int,
    outputs: int,
    size: int,
    activation: nn.Module,
    *,
    stride: int = 1,
    padding: int = 0,
    normalise: bool = True,
    average: bool = False,
) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, size, stride, padding)]
    if normalise:
        layers.append(nn.BatchNorm2d(outputs))
    pool = nn.AvgPool2d if average else nn.MaxPool2d
    return nn.Sequential(*layers, activation, pool(3, 2, ceil_mode=True))
