"""DCL (Sun et al., 2022): real and fake faces contrasted with each other and within themselves.

Two random views of each face go through two encoders, the second a moving average of the first.
Inter-instance: a face's two views belong together, and apart from stored hard examples of the
other class. Intra-instance: within a fake, untouched places look alike and unlike forged ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

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
    set_batchnorm_momentum,
)
from mcxlib.detectors.dcl_losses import inter_loss, intra_loss, on_grid
from mcxlib.detectors.dcl_memory import Follower, Memory
from mcxlib.detectors.dcl_views import RESIDUAL_SHARE, SHUFFLE_SHARE, check_masks, two_views
from mcxlib.detectors.distributed import gather
from mcxlib.detectors.resize import scale

_REAL_WEIGHT = 0.01
"""Reference: of real faces in the intra-instance loss."""
# For small crops and a few hundred steps: the queues must fill, the second encoder must follow,
# and no step is left over for a warm-up.
_SLIM = {
    **{"backbone": efficientnets.SLIM, "side": 64, "grid": 8},
    **{"queue": 128, "key_momentum": 0.97},
    # In so few steps from random weights the reference's shares and contrast leave it at chance.
    **{"residual_share": 0.0, "shuffle_share": 0.0, "warmup_share": 0.6, "contrast_weight": 0.2},
}


class DCLSettings(DetectorSettings):
    """Of DCL; what a description calls the reference is the authors' released code."""

    backbone: str = Field(
        "tf_efficientnet_b4.ns_jft_in1k",
        description="reference; a timm name of an EfficientNet, or slim_efficientnet",
    )
    pretrained: bool = Field(False, description="reference has True; MCX-API's row has False")
    outputs: Literal["classes", "binary"] = Field(
        "binary", description="reference: two, real and fake; or one a class"
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="reference")
    side: int = Field(
        299, ge=0, description="reference: pixels that faces are scaled to; 0 takes them as given"
    )
    grid: int = Field(
        10, ge=2, description="reference: the map is 10 x 10 at 299 px, an embedding 100 wide"
    )
    temperature: float = Field(0.07, gt=0, description="reference")
    queue: int = Field(32768, ge=1, description="reference: stored embeddings of each class")
    hard: int = Field(5, ge=1, description="reference: embeddings of each class queued a step")
    key_momentum: float = Field(0.999, ge=0, lt=1, description="reference: of the second encoder")
    prototype_momentum: float = Field(0.9, ge=0, lt=1, description="reference")
    contrast_weight: float = Field(
        0.5, ge=0, lt=1, description="reference: share of the contrastive losses in the total"
    )
    intra_weight: float = Field(0.1, ge=0, description="reference: of intra- to inter-instance")
    residual_share: float = Field(
        RESIDUAL_SHARE, ge=0, le=1, description="reference: of images, noise residual added"
    )
    shuffle_share: float = Field(
        SHUFFLE_SHARE, ge=0, le=1, description="reference: of first views, patches shuffled"
    )
    warmup_share: float = Field(
        0.1, ge=0, lt=1, description="reference: cross-entropy only in 3 of 30 epochs"
    )


class _Encoder(nn.Module):
    """A backbone, and a 1x1 convolution of its last map to one plane."""

    def __init__(self, settings: DCLSettings) -> None:
        super().__init__()
        self.grid = settings.grid
        self.backbone = efficientnets.create(settings.backbone, settings.pretrained)
        if settings.backbone not in efficientnets.SMALL:
            set_batchnorm_momentum(self.backbone, 0.1)  # as in the reference
        self.squeeze = nn.Conv2d(self.backbone.num_features, 1, 1)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> maps (B, C, h, w); the plane on the grid, of length 1 (B, grid^2)."""
        maps = self.backbone.forward_features(planes)
        rows = on_grid(self.squeeze(maps), self.grid).flatten(1)
        return maps, functional.normalize(rows.float(), dim=1)


class DCL(Detector):
    """Encoder, its moving average, two queues, two prototypes, linear classifier.

    All that is kept between steps is in buffers: stored with the weights, and no parameters.
    """

    name = "dcl"
    Settings: ClassVar[type[BaseModel]] = DCLSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            # The reference's optimiser; it divides the rate by 10 after 10 and 20 of 30 epochs,
            # for which the paper's cosine stands here. Batches and epochs are the paper's.
            "paper": {"optimizer": "adam", "lr": 2e-4, "weight_decay": 1e-5, "freeze_epochs": 0},
            # Two classes, of which the paper's batches show four fakes to a real face: in so few
            # steps everything is then called fake.
            "demo": _SLIM | {"batches": "paired"},
            "test": _SLIM | {"side": 56, "grid": 7},
        }
    )
    paper_labels: ClassVar[tuple[str, ...]] = ("DCL",)
    tables: ClassVar[tuple[int, ...]] = (2,)
    published: ClassVar[Published | None] = Published(17_553_995, 2, MappingProxyType({}))
    deviations: ClassVar[str] = (
        "both views are of one frame, where the publication takes every second one from another "
        "frame of the video; masks are the data set's own and no differences of images, and fakes "
        "without one have no intra-instance loss; a mask follows every change of place, pairs "
        "outside it do not count, and each face has a ratio of its own; patches in random orders, "
        "no compression; a cosine for the steps of the learning rate; trained on this paper's "
        "batches from random weights; faces cut as for the other rows, then scaled to 299 px"
    )
    licence: ClassVar[str] = "Apache-2.0"
    settings: DCLSettings

    def __init__(self, settings: DCLSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        self.encoder = _Encoder(settings)
        width = self.encoder.backbone.num_features
        self.classifier = nn.Linear(width, self.outputs)
        self.drop = nn.Dropout(settings.dropout)
        self.key = Follower(self.encoder)
        self.memory = Memory(
            settings.queue, settings.grid**2, settings.hard, settings.prototype_momentum
        )
        self._warm = settings.warmup_share > 0

    @classmethod
    def uses_masks(cls, settings: Any) -> bool:
        return settings.intra_weight * settings.contrast_weight > 0

    def slow_part(self) -> nn.Module | None:
        return self.encoder.backbone

    # -- what is computed -------------------------------------------------------------------

    def _planes(self, images: Tensor) -> Tensor:
        """Mean and deviation of 0.5."""
        planes = (images * 2 - 1).to(self.classifier.weight.dtype)
        return planes.contiguous(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C): the last map's average."""
        check_images(images, self.name)
        planes = self._planes(scale(images, self.settings.side))
        maps = self.encoder.backbone.forward_features(planes)
        return maps.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, K)."""
        return self.classifier(self.drop(self.features(images)))

    def losses(
        self, images: Tensor, labels: Tensor, masks: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Cross-entropy, and after the warm-up half of it and half of the contrastive losses.

        Args:
            images, labels: as of every detector.
            masks: (B, 1, h, w) in [0, 1], where a face is forged (0 of a real one), NaN where
                that is unknown. Without masks there is no intra-instance loss.

        Returns:
            "total", "cross_entropy", "inter", "intra"; the last three without their weights.
        """
        check_images(images, self.name)
        if masks is None:
            masks = images.new_full((len(images), 1, 1, 1), torch.nan)
        check_masks(masks, images)
        given, fake = self.settings, labels > 0
        size = [given.side] * 2 if given.side else list(images.shape[2:])
        first, second, masks = two_views(
            images, masks, size, given.residual_share, given.shuffle_share
        )
        maps, queries = self.encoder(self._planes(first))
        logits = self.classifier(self.drop(maps.mean((2, 3)))).float()
        cross_entropy = functional.cross_entropy(logits, self.targets(labels))
        keys, all_keys = self.key(self.encoder, self._planes(second))
        if self.training:
            self.memory.remember(all_keys, gather(fake))
        # A copy: the next step's keys must not change what this one's gradients need.
        inter = inter_loss(queries, keys, fake, self.memory.queues.clone(), given.temperature)
        of_fakes, of_real = intra_loss(on_grid(maps, given.grid), masks, fake, given.temperature)
        intra = of_fakes + _REAL_WEIGHT * of_real
        weight = 0.0 if self._warm else given.contrast_weight
        total = (1 - weight) * cross_entropy + weight * (inter + given.intra_weight * intra)
        parts = {"cross_entropy": cross_entropy, "inter": inter, "intra": intra}
        return {"total": total} | {name: value.detach() for name, value in parts.items()}

    # -- how it is trained ------------------------------------------------------------------

    def before_step(self, progress: float) -> None:
        """Cross-entropy only, up to ``warmup_share`` of the training; queues are filled already."""
        self._warm = progress < self.settings.warmup_share

    def after_step(self) -> None:
        """The second encoder's weights follow the first one's."""
        self.key.follow(self.encoder, self.settings.key_momentum)

    # -- scores -----------------------------------------------------------------------------

    def cam_layer(self) -> nn.Module:
        return backbones.cam_layer(self.encoder.backbone)
