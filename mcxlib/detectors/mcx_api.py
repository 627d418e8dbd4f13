"""The paper's network: embed images, let pairs of features interact, classify (section 3.1).

images -> embed -> features -> classify -> logits                      (inference, no partner)
                   features of pairs -> interact -> classify -> logits (training)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field
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
    distance: Literal["euclidean", "cosine"] = Field("euclidean", description="sec. 4.1")
    margin: float = Field(0.05, ge=0, description="sec. 4.1: epsilon of eq. 4")
    rank_weight: float = Field(1.0, ge=0, description="sec. 4.1: lambda of eq. 5")
    mining: Literal["process", "gathered"] = Field(
        "process", description="several processes: pairs within each batch, or over all of them"
    )


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
        mutual = self.map2(self.drop(self.map1(torch.cat([first, second], dim=1))))
        return interact(first, second, mutual)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Eq. 3 to 5 over the pairs that are mined in the batch.

        With ``mining="gathered"`` and several processes, pairs are mined over the images of all
        of them, and each process computes the loss of the pairs whose first image is its own. The
        mean of these losses is what one process with all the images would compute.
        """
        settings = self.settings
        features = self.embed(images)
        rank, size = world()
        gathered = settings.mining == "gathered" and size > 1
        if gathered:
            features, labels = gather(features.float()), gather(labels)
        # The sampler gives several images of several classes: every image has both partners.
        pairs = mine_pairs(features, labels, settings.distance, complete=True)
        first, second = pairs
        if gathered:
            first, second = (p.view(2, size, -1)[:, rank].flatten() for p in pairs)
        out = self.interact(features[first], features[second])
        self_logits = self.classify(torch.cat([out.first_self, out.second_self]))
        other_logits = self.classify(torch.cat([out.first_other, out.second_other]))
        targets = labels[torch.cat([first, second])]
        loss = pair_loss(self_logits, other_logits, targets, settings.margin, settings.rank_weight)
        return {
            "total": loss.total,
            "cross_entropy": loss.cross_entropy.detach(),
            "score_ranking": loss.score_ranking.detach(),
        }
