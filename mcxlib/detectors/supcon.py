"""SupCon (Xu et al., 2022): an encoder by supervised contrast, then a linear head on it.

Both stages are one run. In the first, two random views of each image are embedded, and views of
one class are drawn together (Khosla et al., 2020). In the second the encoder stands still, in
eval mode, and a linear classifier learns on its features. Scores come from that classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2

from mcxlib.detectors import backbones
from mcxlib.detectors.base import Detector, DetectorSettings, check_images
from mcxlib.detectors.distributed import gather
from mcxlib.detectors.together import applied, drawn

CONTRAST, HEAD = 1, 2
"""The two stages."""


class SupConSettings(DetectorSettings):
    """Of SupCon."""

    backbone: str = Field(
        "legacy_xception", description="publication: Xception; a timm name, or slim_, mini_xception"
    )
    pretrained: bool = Field(False, description="not in the paper; MCX-API's row has False too")
    temperature: float = Field(0.07, gt=0, description="reference implementation")
    embedding: int = Field(128, ge=1, description="reference: width of the projection that is used")
    contrast_share: float = Field(
        10 / 11, gt=0, lt=1, description="reference: 1000 epochs of contrast, 100 of the head"
    )
    view_scale: float = Field(
        0.2, gt=0, le=1, description="reference: smallest share of an image's area in a view"
    )
    view_side: int = Field(
        0, ge=0, description="pixels of a view; 0 for the image's own, as in the reference"
    )


def supcon_loss(embeddings: Tensor, labels: Tensor, temperature: float = 0.07) -> Tensor:
    """Supervised contrastive loss, the sum over positives outside the logarithm, every view an
    anchor (Khosla et al., 2020, eq. 2).

    An anchor that has no positive, which one view an image makes possible, has no term: the mean
    is over the others, and 0 if there is none.

    Args:
        embeddings: (N, V, D), V views of N images; rows of length 1.
        labels: (N,).
        temperature: of the similarities.
    """
    views = embeddings.shape[1]
    half = embeddings.dtype in (torch.float16, torch.bfloat16)
    rows = (embeddings.float() if half else embeddings).transpose(0, 1).flatten(0, 1)
    with torch.autocast(rows.device.type, enabled=False):
        similarity = rows @ rows.T / temperature
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    log_p = similarity - similarity.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    classes = labels.repeat(views)
    positive = (classes[:, None] == classes) & ~itself
    count = positive.sum(1)
    terms = (log_p * positive).sum(1) / count.clamp(min=1)
    return -terms.sum() / (count > 0).sum().clamp(min=1)


class SupCon(Detector):
    """Encoder, projection for the contrast, linear classifier.

    The classifier starts at zero: until the second stage every score is the same, so that no
    epoch of the first is selected by luck.
    """

    name = "supcon"
    Settings: ClassVar[type[BaseModel]] = SupConSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            # The reference's first stage; its second has a rate of its own (0.1, decay 0).
            "paper": {"lr": 0.05, "weight_decay": 1e-4, "schedule": "cosine", "freeze_epochs": 0},
            # Two views of each image cost twice the time, unless they are smaller; and a fifth of
            # so small a face shows little. Contrast learns slowly, in more steps than the other
            # rows take. The head comes last, so that the rate must not have fallen by then.
            "demo": {
                **{"backbone": backbones.MINI, "view_side": 48, "view_scale": 0.7},
                **{"epochs": 25, "contrast_share": 0.7},
                **{"schedule": "constant", "weight_decay": 1e-4},
            },
            "test": {"backbone": backbones.SLIM, "view_side": 48, "contrast_share": 0.5},
        }
    )
    paper_labels: ClassVar[tuple[str, ...]] = ("SupCon",)
    tables: ClassVar[tuple[int, ...]] = (1,)
    deviations: ClassVar[str] = (
        "batches of three classes instead of 256 random images; both stages under one learning "
        "rate schedule; as many classes as the data have, where the reference's head has two; the "
        "head starts at zero"
    )
    licence: ClassVar[str] = "MIT"
    settings: SupConSettings
    stage: Tensor

    def __init__(self, settings: SupConSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        self.backbone = backbones.create(settings.backbone, 3, settings.pretrained)
        width = backbones.width(self.backbone)
        self.projection = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, settings.embedding)
        )
        self.classifier = nn.Linear(width, len(classes))
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        self.register_buffer("stage", torch.tensor(CONTRAST))
        # The same as a number: asking the buffer would make the host wait for the device.
        self._stage = CONTRAST
        self.register_load_state_dict_post_hook(_take_over_stage)
        self._set_trained()

    # -- stages -----------------------------------------------------------------------------

    def before_step(self, progress: float) -> None:
        """Contrast up to ``contrast_share`` of the training, then the head."""
        stage = CONTRAST if progress < self.settings.contrast_share else HEAD
        if stage != self._stage:
            self._stage = stage
            self.stage.fill_(stage)
            self._set_trained()

    def _set_trained(self) -> None:
        contrast = self._stage == CONTRAST
        self.backbone.requires_grad_(contrast and not self._frozen)
        self.projection.requires_grad_(contrast)
        self.classifier.requires_grad_(not contrast)
        self.train(self.training)

    def freeze(self, flag: bool) -> None:
        self._frozen = flag
        self._set_trained()

    def train(self, mode: bool = True) -> SupCon:
        """The encoder of the second stage stays in eval mode."""
        super().train(mode)
        if self._stage == HEAD:
            self.backbone.eval()
        return self

    # -- what is computed -------------------------------------------------------------------

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D): the encoder's, pooled, after its last ReLU."""
        check_images(images, self.name)
        planes = (images * 2 - 1).to(self.classifier.weight.dtype)  # mean and deviation of 0.5
        return self.backbone(planes.contiguous(memory_format=torch.channels_last))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, K)."""
        return self.classifier(self.features(images))

    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 128), of length 1: what the contrast compares."""
        return functional.normalize(self.projection(self.features(images)).float(), dim=1)

    def views(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (2B, 3, S, S): a random view of each image, then a second of each.

        Drawn from torch's global generator, each view by itself.
        """
        side = self.settings.view_side
        size = [side, side] if side else list(images.shape[2:])
        change = v2.Compose([crop_and_flip(size, self.settings.view_scale), recolour()])
        exact = images.detach().float()
        found = [drawn(change, image) for _ in range(2) for image in exact]
        return applied(change, exact.repeat(2, 1, 1, 1), found)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The stage's own loss; the other's is 0.

        Of several processes each contrasts its own batch. The head learns from all batches in
        each process: its gradients need no averaging, whichever parameters DDP was made for.
        """
        check_images(images, self.name)
        if self._stage == CONTRAST:
            views = self.embed(self.views(images)).unflatten(0, (2, -1)).transpose(0, 1)
            contrastive = loss = supcon_loss(views, labels, self.settings.temperature)
            cross_entropy = torch.zeros_like(loss)
        else:
            with torch.no_grad():
                found, labels = gather(self.features(images).float()), gather(labels)
            cross_entropy = loss = functional.cross_entropy(self.classifier(found).float(), labels)
            contrastive = torch.zeros_like(loss)
        parts = {"contrastive": contrastive.detach(), "cross_entropy": cross_entropy.detach()}
        return {"total": loss} | parts

    def cam_layer(self) -> nn.Module:
        return backbones.cam_layer(self.backbone)


def crop_and_flip(size: list[int], smallest: float) -> nn.Module:
    """The reference's change of place: a box of at least ``smallest`` of the area, scaled to
    ``size`` (height, width), and every second one turned round."""
    return v2.Compose(
        [v2.RandomResizedCrop(size, scale=(smallest, 1.0)), v2.RandomHorizontalFlip(0.5)]
    )


def recolour() -> nn.Module:
    """The reference's change of colour: jitter of four images in five, grey of one in five."""
    jitter = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    return v2.Compose([v2.RandomApply([jitter], p=0.8), v2.RandomGrayscale(p=0.2)])


def _take_over_stage(model: nn.Module, _: Any) -> None:
    """After weights were loaded: the stage is the one they were stored in."""
    assert isinstance(model, SupCon)
    model._stage = int(model.stage)
    model._set_trained()
