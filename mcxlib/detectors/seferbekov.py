"""Seferbekov's detector, winner of the Deepfake Detection Challenge (2020): EfficientNet-B7 on
faces scaled without distortion, strong augmentation, one output."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional

from mcxlib.detectors import backbones, efficientnets
from mcxlib.detectors.base import (
    Detector,
    DetectorSettings,
    Published,
    check_images,
    normalise_,
    set_batchnorm_momentum,
)
from mcxlib.detectors.colorspace_net import IMAGENET_MEAN, IMAGENET_STD
from mcxlib.detectors.seferbekov_views import changed, to_square

# Small crops gain nothing by being enlarged, and a short run of a small network needs no help
# against overfitting beyond the changed images.
_SLIM = {"backbone": efficientnets.SLIM, "side": 0, "drop_path": 0.0}


class SeferbekovSettings(DetectorSettings):
    """Of Seferbekov's detector; what a description calls the reference is the author's code."""

    backbone: str = Field(
        "tf_efficientnet_b7.ns_jft_in1k",
        description="reference; a timm name of an EfficientNet, or slim_efficientnet",
    )
    pretrained: bool = Field(False, description="reference has True; MCX-API's row has False")
    side: int = Field(
        380, ge=0, description="reference: pixels that faces are scaled to; 0 takes them as given"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="reference")
    drop_path: float = Field(
        0.2, ge=0, lt=1, description="reference: stochastic depth, survival of the last block 0.8"
    )
    label_smoothing: float = Field(
        0.01, ge=0, lt=0.5, description="reference: targets are this and 1 less this"
    )
    blackout: float = Field(
        0.1,
        ge=0,
        le=1,
        description="reference: half of a face black, of faces without another cut-out",
    )


class Seferbekov(Detector):
    """Scaling with black borders, normalisation, EfficientNet, average pooling, one output."""

    name = "seferbekov"
    Settings: ClassVar[type[BaseModel]] = SeferbekovSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            # The reference's SGD with momentum 0.9 at 0.01; its decay, and nothing frozen. For
            # its polynomial schedule stands the paper's cosine; batches and epochs are the paper's.
            "paper": {"lr": 0.01, "weight_decay": 1e-4, "freeze_epochs": 0},
            # Blacked-out halves and all its other changes take twice the steps to see through.
            "demo": _SLIM | {"epochs": 20},
            "test": _SLIM,
        }
    )
    paper_labels: ClassVar[tuple[str, ...]] = ("Seferbekov",)
    tables: ClassVar[tuple[int, ...]] = (3,)
    published: ClassVar[Published | None] = Published(63_789_521, 1, MappingProxyType({}))
    deviations: ClassVar[str] = (
        "one network for seven; no cut-outs of eyes, nose, mouth and half the face's outline, "
        "which need landmarks, and no upper or lower half black, which needs masks; no Nesterov "
        "momentum, no limit on the gradient's norm, a cosine for the polynomial schedule; trained "
        "on this paper's batches from random weights; faces cut as for the other rows, then "
        "scaled to 380 px (his own: crop_rule=seferbekov, crop_size=380, input_size=380); a "
        "video's score by the reference's rule, but of one face a frame"
    )
    licence: ClassVar[str] = "MIT"
    video_rule: ClassVar[str] = "confident"
    outputs = 1
    settings: SeferbekovSettings
    mean: Tensor
    std: Tensor

    def __init__(self, settings: SeferbekovSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        self.backbone = efficientnets.create(
            settings.backbone, settings.pretrained, drop_path=settings.drop_path
        )
        if settings.backbone not in efficientnets.SMALL:
            set_batchnorm_momentum(self.backbone, 0.1)  # as in the reference
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        self.drop = nn.Dropout(settings.dropout)
        self.output = nn.Linear(self.backbone.num_features, 1)

    def _pooled(self, squares: Tensor) -> Tensor:
        planes = normalise_(squares.clone(), self.mean, self.std).to(self.output.weight.dtype)
        return self.backbone(planes.contiguous(memory_format=torch.channels_last))

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D), after pooling; D is 2560 for B7."""
        check_images(images, self.name)
        half = images.dtype in (torch.float16, torch.bfloat16)
        return self._pooled(to_square(images.float() if half else images, self.settings.side))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 1), the logit of fake."""
        return self.output(self.drop(self.features(images)))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Half the mean binary cross-entropy of the fakes, half that of the real faces.

        In training, images are changed at random. A class that is absent adds 0.
        """
        check_images(images, self.name)
        if self.training:
            squares = changed(images, self.settings.side, self.settings.blackout)
            logits = self.output(self.drop(self._pooled(squares)))
        else:
            logits = self(images)
        fake = labels > 0
        smooth = self.settings.label_smoothing
        terms = functional.binary_cross_entropy_with_logits(
            logits[:, 0].float(), fake.float().clamp(smooth, 1 - smooth), reduction="none"
        )
        of_fakes, of_real = (
            terms.masked_fill(~chosen, 0.0).sum() / chosen.sum().clamp(min=1)
            for chosen in (fake, ~fake)
        )
        parts = {"fake": of_fakes.detach(), "real": of_real.detach()}
        return {"total": (of_fakes + of_real) / 2} | parts

    def cam_layer(self) -> nn.Module:
        return backbones.cam_layer(self.backbone)
