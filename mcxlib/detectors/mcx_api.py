"""The paper's network: embed images, let pairs of features interact, classify (section 3.1).

images -> embed -> features -> classify -> logits                      (inference, no partner)
                   features of pairs -> interact -> classify -> logits (training)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from mcxlib.detectors.colorspace_net import SLIM, ColorspaceDetector, ColorspaceSettings
from mcxlib.detectors.distributed import gather, world
from mcxlib.method import colorspace as colorspaces
from mcxlib.method.interaction import Interaction, interact
from mcxlib.method.losses import pair_loss
from mcxlib.method.pairs import mine_pairs


class PairSettings(ColorspaceSettings):
    """Of attentive pairwise interaction."""

    hidden: int = Field(512, ge=1, description="released code: width of the mutual vector's MLP")
    outputs: Literal["classes", "binary"] = Field(
        "classes", description="sec. 4.1: one a class; or two, real and fake"
    )
    distance: Literal["euclidean", "cosine", "random"] = Field(
        "euclidean", description="sec. 4.1; random: any image of the right kind is the partner"
    )
    gates: Literal["pair", "alone"] = Field(
        "pair", description="eq. 1; alone: each image is its own partner, nothing is compared"
    )
    margin: float = Field(0.05, ge=0, description="sec. 4.1: epsilon of eq. 4")
    rank_weight: float = Field(1.0, ge=0, description="sec. 4.1: lambda of eq. 5")
    mining: Literal["process", "gathered"] = Field(
        "process", description="several processes: pairs within each batch, or over all of them"
    )

    @model_validator(mode="after")
    def _consistent(self) -> PairSettings:
        if self.outputs == "binary" and self.mining == "gathered":
            raise ValueError(
                "outputs=binary leaves some batches without a real image, and then processes "
                "cannot share their pairs evenly; use mining=process"
            )
        return self


class MCXAPI(ColorspaceDetector):
    """Multi-Channel Xception Attentive Pairwise Interaction network."""

    name = "mcx-api"
    Settings: ClassVar[type[BaseModel]] = PairSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = SLIM
    paper_labels: ClassVar[tuple[str, ...]] = ("MCX-API",)
    tables: ClassVar[tuple[int, ...]] = (1, 2, 3)
    licence: ClassVar[str] = "not stated"
    settings: PairSettings

    def _add_head(self, settings: ColorspaceSettings) -> None:
        assert isinstance(settings, PairSettings)
        self.map1 = nn.Linear(2 * self.num_features, settings.hidden)
        self.map2 = nn.Linear(settings.hidden, self.num_features)
        super()._add_head(settings)

    @classmethod
    def label(cls, settings: BaseModel) -> str:
        assert isinstance(settings, ColorspaceSettings)
        return f"MCX-API({colorspaces.label(settings.colorspace)})"

    def interact(self, first: Tensor, second: Tensor) -> Interaction:
        """Compare the two images of each pair (eq. 1 and 2).

        The mutual vector is x_m = map2(dropout(map1([x_1, x_2]))), with no activation between
        the two linear layers.

        Args:
            first: (P, D), features x_1 of the first members.
            second: (P, D), features x_2 of the second members.

        Raises:
            ValueError: if the shapes differ or are not (P, D).
        """
        if first.shape != second.shape or first.ndim != 2 or first.shape[1] != self.num_features:
            raise ValueError(
                f"first and second must both have shape (P, {self.num_features}), not "
                f"{tuple(first.shape)} and {tuple(second.shape)}"
            )
        mutual = self.map2(self.drop(self.map1(torch.cat([first, second], dim=1))))  # (P, D)
        return interact(first, second, mutual)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Eq. 3 to 5 over the pairs that are mined in the batch.

        With ``mining="gathered"`` and several processes, pairs are mined over the images of all
        of them, and each process computes the loss of the pairs whose first image is its own. The
        mean of these losses is what one process with all the images would compute.
        """
        settings = self.settings
        features = self.embed(images)  # (B, D)
        rank, size = world()
        gathered = settings.mining == "gathered" and size > 1
        if gathered:
            features, labels = gather(features.float()), gather(labels)
        labels = self.targets(labels)
        # The sampler gives several images of several classes: every image has both partners,
        # unless only real and fake are told apart and the batch has no real one.
        pairs = mine_pairs(features, labels, settings.distance, complete=not self.binary)
        first, second = pairs  # (P,) indices; P = 2B where each image has both partners
        if gathered:
            first, second = (p.view(2, size, -1)[:, rank].flatten() for p in pairs)
        out = self._compare(features[first], features[second])  # four of (P, D)
        self_logits = self.classify(torch.cat([out.first_self, out.second_self]))
        other_logits = self.classify(torch.cat([out.first_other, out.second_other]))
        targets = labels[torch.cat([first, second])]  # (2P,); the logits above are (2P, C)
        loss = pair_loss(self_logits, other_logits, targets, settings.margin, settings.rank_weight)
        return {
            "total": loss.total,
            "cross_entropy": loss.cross_entropy.detach(),
            "score_ranking": loss.score_ranking.detach(),
            "self_minus_other": loss.self_minus_other,
        }

    def _compare(self, first: Tensor, second: Tensor) -> Interaction:
        if self.settings.gates == "pair":
            return self.interact(first, second)
        one, two = self.interact(first, first), self.interact(second, second)
        return Interaction(one.first_self, one.first_other, two.first_self, two.first_other)
