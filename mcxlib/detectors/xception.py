"""Xception without pairs (Chollet, 2017): the paper's row of that name, and its own ablation.

The backbone, the colour spaces and the training are MCX-API's; what is left out is everything
that looks at two images at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from mcxlib.detectors.base import Published
from mcxlib.detectors.colorspace_net import SLIM, ColorspaceDetector, ColorspaceSettings
from mcxlib.method import colorspace as colorspaces


class XceptionSettings(ColorspaceSettings):
    """Of a plain classifier."""

    outputs: Literal["classes", "binary"] = Field(
        "classes", description="one a class, as MCX-API; or two, real and fake"
    )
    normalisation: Literal["imagenet", "half"] = Field(
        "imagenet", description="released code of MCX-API; FaceForensics++'s: 0.5 and 0.5 (half)"
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

    def __init__(self, settings: XceptionSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        if settings.normalisation == "half":
            self.mean.fill_(0.5)
            self.std.fill_(0.5)

    @classmethod
    def label(cls, settings: BaseModel) -> str:
        assert isinstance(settings, ColorspaceSettings)
        if settings.colorspace == "rgb":
            return "Xception"
        return f"Xception({colorspaces.label(settings.colorspace)})"
