"""MCX-API as its released code computes it, which is not what the paper draws: for the published
weights, which fit no other network.

The released network is a chain of Xception's modules, and the ReLUs after the second convolution
and after the last two separable ones are no modules: they are lost. The average over 14 x 14 cells
ties it to images of 448 pixels, where it is the average over the whole map.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator
from torch import Tensor, nn

from mcxlib.detectors.base import check_images
from mcxlib.detectors.colorspace_net import SLIM
from mcxlib.detectors.mcx_api import MCXAPI, PairSettings

LOST = ("act2", "act3", "act4")
"""timm's names of the ReLUs that the released network lacks."""


class ReleasedSettings(PairSettings):
    """Of the released network."""

    colour_order: Literal["rgb", "bgr"] = Field(
        "rgb", description="released code: RGB for one colour space, BGR where it stacks several"
    )
    side: int = Field(448, ge=0, description="released code: pixels of its input; 0 takes any")

    @field_validator("colorspace")
    @classmethod
    def _only_rgb(cls, value: str) -> str:
        if value != "rgb":
            raise ValueError(
                f"weights of mcx-api-released are published for rgb alone; for {value!r} use "
                "mcx-api"
            )
        return value


class MCXAPIReleased(MCXAPI):
    """MCX-API(RGB) without three of Xception's ReLUs, on 448 px. Pairs and losses are MCX-API's.

    Of other backbones than Xception nothing is lost.
    """

    name = "mcx-api-released"
    Settings: ClassVar[type[BaseModel]] = ReleasedSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {preset: settings | {"side": 0} for preset, settings in SLIM.items()}
    )
    paper_labels: ClassVar[tuple[str, ...]] = ()
    tables: ClassVar[tuple[int, ...]] = ()
    deviations: ClassVar[str] = (
        "from the paper, as the released code: no ReLU after the second convolution and the last "
        "two separable ones; 448 px only"
    )
    settings: ReleasedSettings

    def __init__(self, settings: ReleasedSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        for name in LOST:
            if hasattr(self.backbone, name):
                setattr(self.backbone, name, nn.Identity())

    @classmethod
    def label(cls, settings: BaseModel) -> str:
        return "MCX-API(RGB), released network"

    def embed(self, images: Tensor) -> Tensor:
        """As :meth:`ColorspaceDetector.embed`, of images of ``side`` pixels.

        Raises:
            ValueError: as there, or images of another size.
        """
        check_images(images, self.name, self.settings.side or None)
        return super().embed(images.flip(1) if self.settings.colour_order == "bgr" else images)
