"""EfficientNet-B4 (Tan and Le, 2019) with a linear classifier, as a detector of fakes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn

from mcxlib.detectors import efficientnets
from mcxlib.detectors.base import (
    Detector,
    DetectorSettings,
    Published,
    check_images,
    normalise_,
)
from mcxlib.detectors.resize import scale

# Small crops gain nothing by being enlarged; a short run of a small network needs no help against
# overfitting.
_SLIM = {"backbone": efficientnets.SLIM, "side": 0, "drop_path": 0.0}


class EfficientNetSettings(DetectorSettings):
    """Of EfficientNet-B4."""

    backbone: str = Field(
        "tf_efficientnet_b4",
        description="publication; a timm name of an EfficientNet, or slim_efficientnet",
    )
    pretrained: bool = Field(False, description="not in the paper; MCX-API's row has False too")
    outputs: Literal["classes", "binary"] = Field(
        "classes", description="one a class, as MCX-API; or two, real and fake"
    )
    side: int = Field(
        380, ge=0, description="publication: pixels that faces are scaled to; 0 takes them as given"
    )
    dropout: float = Field(0.4, ge=0, lt=1, description="publication: 0.2 for B0 to 0.5 for B7")
    drop_path: float = Field(
        0.2, ge=0, lt=1, description="publication: stochastic depth, survival of the last block 0.8"
    )


class EfficientNetB4(Detector):
    """Normalisation, EfficientNet, average pooling, dropout, one linear layer."""

    name = "efficientnet-b4"
    Settings: ClassVar[type[BaseModel]] = EfficientNetSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            # Of the benchmark that trains it on faces (DeepfakeBench): Adam at 2e-4 with a decay of
            # 5e-4 and nothing frozen. The publication's own (RMSProp) is for ImageNet.
            "paper": {
                "optimizer": "adam",
                "schedule": "constant",
                "lr": 2e-4,
                "weight_decay": 5e-4,
                "freeze_epochs": 0,
            },
            "demo": _SLIM,
            "test": _SLIM,
        }
    )
    paper_labels: ClassVar[tuple[str, ...]] = ("EfficientNet-B4",)
    tables: ClassVar[tuple[int, ...]] = (2,)
    published: ClassVar[Published | None] = Published(
        17_552_202, 2, MappingProxyType({"outputs": "binary"})
    )
    deviations: ClassVar[str] = (
        "how the quoted row was trained is not known: optimiser of a public benchmark, on this "
        "paper's batches, from random weights, with ImageNet's mean and deviation; faces cut as "
        "for the other rows, then scaled to 380 px; as many outputs as classes"
    )
    licence: ClassVar[str] = "Apache-2.0"
    settings: EfficientNetSettings
    mean: Tensor
    std: Tensor

    def __init__(self, settings: EfficientNetSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        self.backbone: EfficientNet = efficientnets.create(
            settings.backbone, settings.pretrained, drop_path=settings.drop_path
        )
        for name, values in zip(
            ("mean", "std"), efficientnets.normalisation(self.backbone), strict=True
        ):
            constant = torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(name, constant, persistent=False)
        self.drop = nn.Dropout(settings.dropout)
        self.classifier = nn.Linear(self.backbone.num_features, self.outputs)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D), after pooling; D is 1792 for B4."""
        check_images(images, self.name)
        half = images.dtype in (torch.float16, torch.bfloat16)
        planes = scale(images.float() if half else images, self.settings.side)
        planes = normalise_(planes.clone(), self.mean, self.std).to(self.classifier.weight.dtype)
        return self.backbone(planes.contiguous(memory_format=torch.channels_last))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> logits (B, K)."""
        return self.classifier(self.drop(self.features(images)))

    def cam_layer(self) -> nn.Module:
        """The activation behind the last convolution."""
        return self.backbone.bn2
