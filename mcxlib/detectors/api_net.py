"""API-Net, the base architecture: the same pairwise interaction, on RGB and a ResNet (Table 1)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import BaseModel, Field, field_validator

from mcxlib.detectors.mcx_api import MCXAPI, PairSettings


class ApiNetSettings(PairSettings):
    """Of API-Net."""

    backbone: str = Field("resnet101", description='Table 1: "API-Net(ResNet101)"; a timm name')

    @field_validator("colorspace")
    @classmethod
    def _only_rgb(cls, value: str) -> str:
        if value != "rgb":
            raise ValueError(f"api-net is the base architecture on rgb; for {value!r} use mcx-api")
        return value


class ApiNet(MCXAPI):
    """Attentive pairwise interaction on RGB (Zhuang et al., 2020)."""

    name = "api-net"
    Settings: ClassVar[type[BaseModel]] = ApiNetSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"demo": {"backbone": "test_resnet"}, "test": {"backbone": "resnet10t"}}
    )
    paper_labels: ClassVar[tuple[str, ...]] = ("API-Net",)
    deviations: ClassVar[str] = (
        "a batch of three categories by nine images as MCX-API's, in place of its own 30 by 4"
    )

    @classmethod
    def label(cls, settings: BaseModel) -> str:
        return "API-Net"
