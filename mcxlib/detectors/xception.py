"""Xception without pairs (Chollet, 2017): the paper's row of that name, and its own ablation.

The backbone, the colour spaces and the training are MCX-API's; what is left out is everything
that looks at two images at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional

from mcxlib.detectors.base import Published
from mcxlib.detectors.colorspace_net import SLIM, ColorspaceDetector, ColorspaceSettings
from mcxlib.method import colorspace as colorspaces


class XceptionSettings(ColorspaceSettings):
    """Of a plain classifier."""

    outputs: Literal["classes", "binary"] = Field(
        "classes", description="one a class, as MCX-API; or two, real and fake"
    )


class Xception(ColorspaceDetector):
    """A backbone and a linear classifier, trained by cross-entropy."""

    name = "xception"
    Settings: ClassVar[type[BaseModel]] = XceptionSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = SLIM
    paper_labels: ClassVar[tuple[str, ...]] = ("Xception",)
    tables: ClassVar[tuple[int, ...]] = (1, 2, 3)
    published: ClassVar[Published | None] = Published(
        20_811_050, 2, MappingProxyType({"outputs": "binary"})
    )
    deviations: ClassVar[str] = (
        "trained with this paper's settings and ImageNet's mean and deviation, where the "
        "FaceForensics++ benchmark has 299 px and 0.5; the paper does not say which its own run had"
    )
    licence: ClassVar[str] = "MIT (FaceForensics++)"
    settings: XceptionSettings

    def _add_head(self, settings: ColorspaceSettings) -> None:
        assert isinstance(settings, XceptionSettings)
        self.binary = settings.outputs == "binary"
        self.classifier = nn.Linear(self.num_features, 2 if self.binary else len(self.classes))
        self.drop = nn.Dropout(settings.dropout)

    @classmethod
    def label(cls, settings: BaseModel) -> str:
        assert isinstance(settings, ColorspaceSettings)
        if settings.colorspace == "rgb":
            return "Xception"
        return f"Xception({colorspaces.label(settings.colorspace)})"

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        targets = (labels > 0).long() if self.binary else labels
        loss = functional.cross_entropy(self(images).float(), targets)
        return {"total": loss, "cross_entropy": loss.detach()}

    def class_probabilities(self, logits: Tensor) -> Tensor | None:
        if self.binary and len(self.classes) > 2:
            return None
        return super().class_probabilities(logits)

    @property
    def score_kind(self) -> str:
        return f"1 - p(real) of a softmax over {self.classifier.out_features} classes"

    def fake_score(self, logits: Tensor) -> Tensor:
        return 1 - torch.softmax(logits.float(), 1)[:, 0].double()
