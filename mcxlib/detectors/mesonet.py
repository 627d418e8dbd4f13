"""MesoNet (Afchar et al., 2018): two small networks on 256 px faces, trained by squared error.

Every convolution is followed by its activation and then by its normalisation, each by a
BatchNorm of its own. The output is the probability of *real*, which is turned round here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional

from mcxlib.detectors.base import Detector, DetectorSettings, Published, check_images
from mcxlib.detectors.resize import scale

_EPS, _MOMENTUM = 1e-3, 0.01
"""Keras's defaults for BatchNorm, which the reference uses."""
# The publication's optimiser; the rest stays the paper's, so that all rows see the same batches.
_ADAM = dict(optimizer="adam", schedule="constant", lr=1e-3, weight_decay=0.0, freeze_epochs=0)


class MesoNetSettings(DetectorSettings):
    """Of MesoNet."""

    variant: Literal["meso4", "mesoinception4"] = Field(
        "mesoinception4", description="the FaceForensics++ benchmark quotes MesoInception-4"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="publication")
    side: int = Field(
        256, ge=0, description="publication: pixels that faces are scaled to; 0 takes them as given"
    )


def _convolution(inputs: int, outputs: int, size: int, dilation: int = 1) -> nn.Sequential:
    same = dilation * (size - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=same, dilation=dilation), nn.ReLU()
    )


class _Block(nn.Sequential):
    """Convolution, ReLU, BatchNorm, max pooling."""

    def __init__(self, inputs: int, outputs: int, size: int, pool: int) -> None:
        super().__init__(
            _convolution(inputs, outputs, size),
            nn.BatchNorm2d(outputs, eps=_EPS, momentum=_MOMENTUM),
            nn.MaxPool2d(pool, ceil_mode=True),
        )


class _Inception(nn.Module):
    """Four branches: 1x1, then 3x3 at dilations 1, 2 and 3 behind a 1x1; ReLU after each."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        plain, *dilated = widths
        self.branches = nn.ModuleList([_convolution(inputs, plain, 1)])
        for dilation, width in enumerate(dilated, start=1):
            self.branches.append(
                nn.Sequential(
                    _convolution(inputs, width, 1), _convolution(width, width, 3, dilation)
                )
            )
        self.normalise = nn.BatchNorm2d(sum(widths), eps=_EPS, momentum=_MOMENTUM)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        together = torch.cat([branch(x) for branch in self.branches], dim=1)
        return self.pool(self.normalise(together))


class MesoNet(Detector):
    """Meso-4 or MesoInception-4.

    Faces of any size are scaled to the published 256 px. With ``side=0`` they are taken as they
    are, and the last map is brought to 8 x 8 by average pooling, which at 256 px is the identity.
    """

    name = "mesonet"
    Settings: ClassVar[type[BaseModel]] = MesoNetSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "paper": _ADAM,
            # Small crops gain nothing by being enlarged. The least of all networks learns
            # slowest, and three times the steps cost less than any other row's. At the other rows'
            # rate and decay it ends, on some machines, where every face gets one score.
            "demo": {"side": 0, "epochs": 30, "lr": 1e-3, "weight_decay": 0.0},
            "test": {"side": 0},
        }
    )
    paper_labels: ClassVar[tuple[str, ...]] = ("MesoNet",)
    tables: ClassVar[tuple[int, ...]] = (1,)
    published: ClassVar[Published | None] = Published(28_615, 1, MappingProxyType({}))
    deviations: ClassVar[str] = "faces cut as for the other rows, then scaled to 256 px"
    licence: ClassVar[str] = "Apache-2.0"
    outputs = 1
    settings: MesoNetSettings

    def __init__(self, settings: MesoNetSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        first: tuple[nn.Module, nn.Module]
        if settings.variant == "meso4":
            first = (_Block(3, 8, 3, 2), _Block(8, 8, 5, 2))
            width = 8
        else:
            first = (_Inception(3, (1, 4, 4, 2)), _Inception(11, (2, 4, 4, 2)))
            width = 12
        self.blocks = nn.Sequential(*first, _Block(width, 16, 5, 2), _Block(16, 16, 5, 4))
        self.to_grid = nn.AdaptiveAvgPool2d(8)
        self.hidden = nn.Linear(16 * 8 * 8, 16)
        self.output = nn.Linear(16, 1)
        self.drop = nn.Dropout(settings.dropout)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 16): the layer before the last."""
        check_images(images, self.name)
        images = scale(images.to(self.output.weight.dtype), self.settings.side)
        flat = self.to_grid(self.blocks(images)).contiguous().flatten(1)
        return functional.leaky_relu(self.hidden(self.drop(flat)), 0.1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], no mean or deviation -> (B, 1), the logit of *real*."""
        return self.output(self.drop(self.features(images)))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Mean squared error of the probability of real (publication, section 3.1)."""
        error = (torch.sigmoid(self(images)[:, 0].float()) - (labels == 0).float()).square()
        return {"total": error.mean(), "squared_error": error.mean().detach()}

    def log_probabilities(self, logits: Tensor) -> Tensor:
        real = logits[:, 0].float()
        return torch.stack([functional.logsigmoid(real), functional.logsigmoid(-real)], dim=1)

    @property
    def score_kind(self) -> str:
        return "1 - sigmoid of one output, which is 1 for real"

    def cam_layer(self) -> nn.Module:
        return self.blocks[-1]
