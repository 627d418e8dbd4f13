"""MaDD (Zhao et al., CVPR 2021): several attention maps gather texture and meaning apart.

EfficientNet-B4 gives maps at three depths: shallow ones for texture, deeper ones for a few maps
of attention, the last for meaning. Two losses keep the maps apart: one draws each map's features
of real faces to a centre of its own, the other asks for the same answer when one map's region is
blurred away.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from mcxlib.detectors import efficientnet_stages as efficientnet
from mcxlib.detectors import efficientnets
from mcxlib.detectors.base import Detector, DetectorSettings, Published, check_images
from mcxlib.detectors.distributed import gather
from mcxlib.detectors.madd_losses import blurred_away, independence, moved_centres
from mcxlib.detectors.madd_parts import (
    AttentionMaps,
    TextureEnhancement,
    average,
    pool,
    standardised,
)
from mcxlib.detectors.resize import scale

_SHALLOW, _MIDDLE = 2, 5
"""Stages whose maps are read for texture and for attention."""


class MaDDSettings(DetectorSettings):
    """Of MaDD. "Run" is the authors' run on FaceForensics++ in their released code."""

    backbone: str = Field("tf_efficientnet_b4", description="publication")
    pretrained: bool = Field(False, description="publication has True; MCX-API's row has False")
    side: int = Field(
        380, ge=0, description="run: pixels that faces are scaled to; 0 takes them as given"
    )
    maps: int = Field(4, ge=1, description="publication: number of attention maps")
    width: int = Field(256, ge=1, description="run: of the local and the global description")
    dropout_maps: float = Field(0.25, ge=0, lt=1, description="run: of a whole map")
    dropout: float = Field(0.5, ge=0, lt=1, description="run: of the global description")
    drop_path: float = Field(0.2, ge=0, lt=1, description="EfficientNet's stochastic depth")
    pretraining_share: float = Field(
        20 / 70,
        ge=0,
        lt=1,
        description="run: 20 epochs of the backbone under a classifier of its own, then 50 of all",
    )
    weight_independence: float = Field(0.5, ge=0, description="run")
    weight_augmented: float = Field(1.0, ge=0, description="run")
    weight_match: float = Field(0.1, ge=0, description="run")
    centre_rate: float = Field(0.05, gt=0, le=1, description="run: alpha")
    centre_decay: float = Field(0.9, gt=0, le=1, description="run: of alpha, an epoch")
    centre_epochs: int = Field(50, ge=1, description="run: epochs that the decay is spread over")
    margin_centres: float = Field(0.8, ge=0, description="run: between two centres")
    margin_real: float = Field(0.2, ge=0, description="run: real is no further from its centres")
    margin_fake: float = Field(0.8, ge=0, description="run: fake is at least as far from them")
    blur_scale: float = Field(0.5, gt=0, le=1, description="run: shrunk by this first")
    blur_kernel: int = Field(11, ge=1, description="run: side of the Gaussian, odd")
    blur_sigma: float = Field(7.0, gt=0, description="run")
    blur_noise: float = Field(0.05, ge=0, description="run: 0.1 of images in [-1, 1]")
    blur_threshold: tuple[float, float] = Field(
        (0.4, 0.6), description="run: attention where blurring sets in, drawn from these bounds"
    )
    blur_steepness: tuple[float, float] = Field(
        (3.0, 5.0), description="run: how steeply it does, drawn likewise"
    )

    @field_validator("blur_kernel")
    @classmethod
    def _has_a_middle(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("a Gaussian has a middle: the number must be odd")
        return value


_SLIM = MappingProxyType(
    {
        "backbone": efficientnets.PLAIN,
        "side": 0,
        # Two passes a step, and textures for each map: fewer maps. In so few steps the backbone
        # needs more of them by itself than the run's two in seven.
        "maps": 2,
        "width": 64,
        "drop_path": 0.0,
        "pretraining_share": 0.6,
    }
)


class MaDD(Detector):
    """One head: local textures by attention map and a global description, joined.

    The backbone learns alone at first, under a classifier that is used for nothing else. Scores
    come from the head always, whose last layer then starts at zero: until the second stage they
    are all the same, so that no epoch of the first is selected by luck.

    Raises:
        ValueError: a backbone that is no EfficientNet.
        RuntimeError: pretrained weights cannot be had.
    """

    name = "madd"
    Settings: ClassVar[type[BaseModel]] = MaDDSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            # AdamW at 1e-4 is the run's; a cosine stands for its halving every five epochs. Epochs
            # and batches stay the paper's, so that all rows see the same.
            "paper": {"optimizer": "adamw", "lr": 1e-4, "weight_decay": 1e-6, "freeze_epochs": 0},
            # Its two stages take more steps than one.
            "demo": _SLIM | {"epochs": 25},
            "test": _SLIM | {"pretraining_share": 0.0},
        }
    )
    paper_labels: ClassVar[tuple[str, ...]] = ("MaDD",)
    tables: ClassVar[tuple[int, ...]] = (2,)
    published: ClassVar[Published | None] = Published(18_826_068, 2, MappingProxyType({}))
    deviations: ClassVar[str] = (
        "margins and weights of the authors' released run, not of the publication; both stages "
        "under one learning rate schedule, a cosine for steps; weights are random unless "
        "pretrained is set; the head starts at zero; the centres move once a step, by the images "
        "and not by the blurred ones; blurred images are kept in [0, 1]; trained on this paper's "
        "batches; faces cut as for the other rows, then scaled to 380 px"
    )
    licence: ClassVar[str] = "not stated"
    outputs = 2
    settings: MaDDSettings
    centres: Tensor

    def __init__(self, settings: MaDDSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        self.backbone = efficientnets.create(
            settings.backbone, settings.pretrained, drop_path=settings.drop_path
        )
        shallow, middle = (efficientnet.channels(self.backbone, n) for n in (_SHALLOW, _MIDDLE))
        maps, width, deep = settings.maps, settings.width, self.backbone.num_features
        self.attend = AttentionMaps(middle, maps)
        self.texture = TextureEnhancement(shallow, maps)
        self.local = nn.Sequential(
            nn.Linear(maps * shallow, width), nn.Hardswish(), nn.Linear(width, width)
        )
        self.overall = nn.Linear(deep, width)
        self.join = nn.Linear(2 * width, width)
        self.classifier = nn.Linear(width, 2)
        self.first_classifier = nn.Linear(deep, 2) if settings.pretraining_share else None
        if self.first_classifier is not None:
            nn.init.zeros_(self.classifier.weight)
            nn.init.zeros_(self.classifier.bias)
        self.register_buffer("centres", torch.zeros(maps, shallow))
        # Both follow from how far the training is, which is said before each step.
        self._pretraining = False
        self._rate = settings.centre_rate

    # -- stages -----------------------------------------------------------------------------

    def before_step(self, progress: float) -> None:
        """The backbone alone up to ``pretraining_share`` of the training; after that the rate of
        the centres falls with each of the run's epochs."""
        own = self.settings
        self._pretraining = progress < own.pretraining_share
        done = (progress - own.pretraining_share) / (1 - own.pretraining_share)
        self._rate = own.centre_rate * own.centre_decay ** int(max(done, 0.0) * own.centre_epochs)

    # -- what is computed -------------------------------------------------------------------

    def _maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The backbone's maps: for texture, for attention, and the last."""
        maps = efficientnet.stem(self.backbone, (images - 0.5) / 0.5)
        shallow = efficientnet.stages(self.backbone, maps, 1, _SHALLOW)
        middle = efficientnet.stages(self.backbone, shallow, _SHALLOW + 1, _MIDDLE)
        last = efficientnet.stages(self.backbone, middle, _MIDDLE + 1)
        return shallow, middle, efficientnet.top(self.backbone, last)

    def describe(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) -> what the last layer reads (B, width), the attention maps (B, M, h, w),
        and the regions (B, M, C) that the independence loss compares."""
        shallow, middle, last = self._maps(images)
        attention = self.attend(middle)
        texture, coarse = self.texture(shallow, attention)
        kept = functional.dropout(
            attention.new_ones(attention.shape[:2]), self.settings.dropout_maps, self.training
        )
        local = self.local((pool(texture, attention) * kept.unsqueeze(2)).flatten(1))
        mass = (attention * kept[:, :, None, None]).sum(1)
        overall = functional.dropout(average(last, mass), self.settings.dropout, self.training)
        both = torch.cat([local, self.overall(overall)], dim=1)
        described = functional.hardswish(self.join(functional.hardswish(both)))
        return described, attention, pool(standardised(coarse), attention)

    def _ready(self, images: Tensor) -> Tensor:
        check_images(images, self.name)
        return scale(images.to(self.classifier.weight.dtype), self.settings.side)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 256): what the last layer reads."""
        return self.describe(self._ready(images))[0]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 2): real and fake."""
        return self.classifier(self.features(images))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The stage's own parts, real against fake; those of the other are 0.

        First cross-entropy of the backbone's own classifier. Then that of the images and of the
        same with a region blurred away, regional independence (both publication), and the distance
        between both images' other regions (the authors' code).
        """
        images, targets = self._ready(images), (labels > 0).long()
        if self._pretraining:
            parts, idle = self._first(images, targets), self._second_only()
        else:
            parts, idle = self._second(images, labels, targets), self._first_only()
        own = self.settings
        weights = {
            "independence": own.weight_independence,
            "augmented": own.weight_augmented,
            "match": own.weight_match,
        }
        total = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        # Every parameter has a part in every step: processes that train together need it.
        for parameter in idle:
            total = total + 0.0 * parameter.sum()
        zeros = dict.fromkeys(("cross_entropy", *weights), torch.zeros_like(total).detach())
        if self.first_classifier is not None:
            zeros["pretraining"] = zeros["match"]
        return {"total": total} | zeros | {name: part.detach() for name, part in parts.items()}

    def _first_only(self) -> list[nn.Parameter]:
        return [] if self.first_classifier is None else list(self.first_classifier.parameters())

    def _second_only(self) -> list[nn.Parameter]:
        parts = (self.attend, self.texture, self.local, self.overall, self.join, self.classifier)
        return [parameter for part in parts for parameter in part.parameters()]

    def _first(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        assert self.first_classifier is not None
        deep = self._maps(images)[2].mean((2, 3))
        deep = functional.dropout(deep, self.settings.dropout, self.training)
        logits = self.first_classifier(deep).float()
        return {"pretraining": functional.cross_entropy(logits, targets)}

    def _second(self, images: Tensor, labels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        own = self.settings
        described, attention, regions = self.describe(images)
        centres = moved_centres(self.centres, gather(regions), gather(labels) == 0, self._rate)
        if self.training:
            self.centres.copy_(centres.detach())
        inner, outer = independence(
            centres, regions, labels == 0, (own.margin_real, own.margin_fake, own.margin_centres)
        )
        # The images have only that share in the centres; the run divides by it. Here the gradient
        # is the same, and the value does not grow while the rate falls.
        outer = outer.detach() + (outer - outer.detach()) / self._rate
        blurred, drawn = blurred_away(
            images,
            attention,
            scale=own.blur_scale,
            kernel=own.blur_kernel,
            sigma=own.blur_sigma,
            noise=own.blur_noise,
            threshold=own.blur_threshold,
            steepness=own.blur_steepness,
        )
        again, _, regions_again = self.describe(blurred)
        others = 1 - functional.one_hot(drawn, own.maps)
        moved = torch.linalg.vector_norm(regions_again - regions, dim=2)
        return {
            "cross_entropy": functional.cross_entropy(self.classifier(described).float(), targets),
            "independence": inner + outer,
            "augmented": functional.cross_entropy(self.classifier(again).float(), targets),
            "match": (moved * others).mean(),
        }

    def cam_layer(self) -> nn.Module:
        return self.backbone.bn2
