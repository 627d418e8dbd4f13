"""M2TR (Wang et al., ICMR 2022): patches of four sizes, a filter of frequencies, their fusion.

EfficientNet-B4 is opened after its second stage. What flows there passes four rounds of
attention between patches, a learnt filter of its spectrum, and attention from the image's
positions to the filtered ones; then the rest of the network decides. A decoder of the same map
can learn where the face was changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, Field, field_validator
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn import functional

from mcxlib.detectors import efficientnet_stages as efficientnet
from mcxlib.detectors import efficientnets
from mcxlib.detectors.base import Detector, DetectorSettings, Published, check_images
from mcxlib.detectors.m2tr_parts import (
    SCALES,
    FrequencyFilter,
    Fusion,
    MaskDecoder,
    PatchAttention,
    mask_loss,
)
from mcxlib.detectors.resize import scale

_OPENED = 2
"""The stage after which the rounds come: a quarter of the image's size."""


class M2TRSettings(DetectorSettings):
    """Of M2TR."""

    backbone: str = Field("tf_efficientnet_b4", description="publication")
    pretrained: bool = Field(False, description="publication has True; MCX-API's row has False")
    side: int = Field(320, ge=32, description="reference: pixels that faces are scaled to")
    depth: int = Field(4, ge=1, description="reference: rounds of attention, filter and fusion")
    dropout: float = Field(0.5, ge=0, lt=1, description="reference")
    drop_path: float = Field(0.2, ge=0, lt=1, description="EfficientNet's stochastic depth")
    gamma: float = Field(2.0, ge=0, description="reference: exponent of the focal loss")
    weight_masks: float = Field(
        0.0,
        ge=0,
        description="of the masks' loss, which the publication has; 0 builds no decoder, as in "
        "the reference",
    )

    @field_validator("side")
    @classmethod
    def _patches_are_whole(cls, value: int) -> int:
        if value % 32:
            raise ValueError("a quarter of it is cut into 8 patches: it must divide by 32")
        return value


_SLIM = MappingProxyType(
    {
        "backbone": efficientnets.PLAIN,
        "side": 64,
        "depth": 2,
        "drop_path": 0.0,
        # Drawn people come with their masks.
        "weight_masks": 1.0,
    }
)


class M2TR(Detector):
    """Two outputs, real and fake, each with a sigmoid of its own and a focal loss.

    Raises:
        ValueError: a backbone that is no EfficientNet, or too narrow a one.
        RuntimeError: pretrained weights cannot be had.
    """

    name = "m2tr"
    Settings: ClassVar[type[BaseModel]] = M2TRSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            # SGD with momentum 0.9 at 5e-4 without weight decay, along a cosine, is the
            # reference's; epochs and batches stay the paper's, so that all rows see the same.
            "paper": {"lr": 5e-4, "weight_decay": 0.0, "freeze_epochs": 0},
            # In half the steps its second stream has not caught up.
            "demo": _SLIM | {"epochs": 20},
            "test": _SLIM,
        }
    )
    paper_labels: ClassVar[tuple[str, ...]] = ("M2TR",)
    tables: ClassVar[tuple[int, ...]] = (2,)
    # What the reference holds, less the classifier of its EfficientNet, which nothing calls.
    published: ClassVar[Published | None] = Published(18_611_532 - 3_586, 2, MappingProxyType({}))
    deviations: ClassVar[str] = (
        "the focal loss alone, as in the reference's own configuration: no contrastive loss, and "
        "the masks' loss only where weight_masks is set and the data have masks, with a smaller "
        "decoder; weights are random unless pretrained is set; trained on this paper's batches; "
        "faces cut as for the other rows, then scaled to 320 px"
    )
    licence: ClassVar[str] = "MIT"
    settings: M2TRSettings
    mean: Tensor
    std: Tensor

    def __init__(self, settings: M2TRSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        self.backbone = efficientnets.create(
            settings.backbone, settings.pretrained, drop_path=settings.drop_path
        )
        width = efficientnet.channels(self.backbone, _OPENED)
        if width % len(SCALES):
            raise ValueError(
                f"{settings.backbone} has {width} channels after stage {_OPENED}; the attention's "
                f"{len(SCALES)} heads need a multiple of that number: choose another backbone"
            )
        self.rounds = nn.ModuleList(
            nn.ModuleList(
                [PatchAttention(width), FrequencyFilter(width, settings.side // 4), Fusion(width)]
            )
            for _ in range(settings.depth)
        )
        self.classifier = nn.Linear(self.backbone.num_features, 2)
        self.drop = nn.Dropout(settings.dropout)
        self.decoder = MaskDecoder(width) if settings.weight_masks else None
        for name, values in (("mean", IMAGENET_DEFAULT_MEAN), ("std", IMAGENET_DEFAULT_STD)):
            constant = torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(name, constant, persistent=False)

    @classmethod
    def uses_masks(cls, settings: Any) -> bool:
        return settings.weight_masks > 0

    def _opened(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> the map after the rounds, (B, C, side / 4, side / 4)."""
        check_images(images, self.name)
        images = scale(images.to(self.classifier.weight.dtype), self.settings.side)
        maps = efficientnet.stem(self.backbone, (images - self.mean) / self.std)
        maps = efficientnet.stages(self.backbone, maps, 1, _OPENED)
        for one in self.rounds:
            attention, frequency, fusion = one.children()
            maps = attention(maps)
            maps = fusion(maps, frequency(maps))
        return maps

    def _closed(self, maps: Tensor) -> Tensor:
        maps = efficientnet.stages(self.backbone, maps, _OPENED + 1)
        return efficientnet.top(self.backbone, maps).mean((2, 3))

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 1792): the last map, averaged."""
        return self._closed(self._opened(images))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 2): the logits of real and of fake."""
        return self.classifier(self.drop(self.features(images)))

    def masks(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 1, side / 2, side / 2) in [0, 1]: where the face was changed.

        Raises:
            ValueError: the detector was built without a decoder.
        """
        if self.decoder is None:
            raise ValueError(f"{self.name} has no decoder of masks; set weight_masks above 0")
        return torch.sigmoid(self.decoder(self._opened(images)).float())

    def losses(
        self, images: Tensor, labels: Tensor, masks: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Focal loss of each output against its own target, averaged over both (reference), and
        the masks' cross-entropy.

        Args:
            images: as :meth:`forward` takes them.
            labels: (B,).
            masks: (B, 1, h, w) in [0, 1], what share of each pixel was changed; all NaN for an
                image whose mask is not known. They are not looked at without a decoder.

        Raises:
            ValueError: masks of another shape or beyond [0, 1].
        """
        maps = self._opened(images)
        logits = self.classifier(self.drop(self._closed(maps)))
        targets = torch.stack([labels == 0, labels > 0], dim=1).float()
        entropy = functional.binary_cross_entropy_with_logits(
            logits.float(), targets, reduction="none"
        )
        focal = ((1 - torch.exp(-entropy)) ** self.settings.gamma * entropy).mean()
        parts = {"focal": focal.detach()}
        if self.decoder is None:
            return {"total": focal} | parts
        if masks is None:
            # Every parameter has a part in every step: processes that train together need it.
            of_masks = 0.0 * torch.stack([p.sum() for p in self.decoder.parameters()]).sum()
        else:
            self._check_masks(masks, len(images))
            of_masks = mask_loss(self.decoder(maps), masks)
        parts["masks"] = of_masks.detach()
        return {"total": focal + self.settings.weight_masks * of_masks} | parts

    def _check_masks(self, masks: Tensor, count: int) -> None:
        if masks.ndim != 4 or tuple(masks.shape[:2]) != (count, 1) or not masks.is_floating_point():
            raise ValueError(
                f"{self.name}: masks must be floating point of shape ({count}, 1, h, w), not "
                f"{masks.dtype} of {tuple(masks.shape)}"
            )
        if masks.device.type == "cpu" and ((masks < 0) | (masks > 1)).any():
            raise ValueError(
                f"{self.name}: masks must be in [0, 1], or NaN where unknown; divide 8-bit masks "
                "by 255"
            )

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """The two outputs need not add up to 1. Here p(fake) is the mean of what each says: the
        sigmoid of fake and one minus that of real. It ranks as the reference's test does, by the
        difference of the two sigmoids, and is above 0.5 where fake's is the larger."""
        yes, no = functional.logsigmoid(logits.float()), functional.logsigmoid(-logits.float())
        real = torch.logaddexp(yes[:, 0], no[:, 1])
        fake = torch.logaddexp(no[:, 0], yes[:, 1])
        return torch.stack([real, fake], dim=1) - math.log(2)

    def class_probabilities(self, logits: Tensor) -> Tensor | None:
        return None

    @property
    def score_kind(self) -> str:
        return "mean of sigmoid(fake) and 1 - sigmoid(real), two separate outputs"

    def cam_layer(self) -> nn.Module:
        return self.backbone.bn2
