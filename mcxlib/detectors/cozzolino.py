"""Cozzolino et al. (2017): co-occurrences of noise residuals, written as a network and tuned.

There is no reference code; this is a reading of the idea. The classical descriptor takes third
differences of an image, rounds them to a few levels, and counts how often each four neighbouring
levels occur together. Each of these steps is a layer here: a convolution, a choice among linear
functions of the residual, products of four neighbours, and the average over the image. With a soft
choice the whole has gradients, and what was fixed can learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from mcxlib.detectors.base import Detector, DetectorSettings, check_images
from mcxlib.detectors.cooccurrence import Descriptor
from mcxlib.detectors.resize import centre, scale

_GREY = (0.299, 0.587, 0.114)


class CozzolinoSettings(DetectorSettings):
    """Of the residual descriptor as a network."""

    side: int = Field(
        256, ge=0, description="pixels that faces are scaled to; 0 takes them as given"
    )
    crop: int = Field(
        128, ge=0, description="FaceForensics++: pixels cut from the middle; 0 takes all"
    )
    quantum: float = Field(
        2.0, gt=0, description="Splicebuster, the descriptor's best known use: grey levels a step"
    )
    truncation: int = Field(
        1, ge=1, le=3, description="Splicebuster: steps up and down; 1 gives three levels"
    )
    softness: float = Field(
        0.25,
        ge=0,
        description="our reading: width of the soft choice in steps; 0 for a hard one, through "
        "which the descriptor cannot learn",
    )
    relaxed: bool = Field(
        True, description="publication: the descriptor learns too; False keeps it as it starts"
    )


class Cozzolino(Detector):
    """The descriptor as a network, standardised bins, and a linear classifier.

    There is no feature map: what is pooled, every four levels at every pixel, is never held.
    """

    name = "cozzolino"
    Settings: ClassVar[type[BaseModel]] = CozzolinoSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            # Adam at 1e-5 is the FaceForensics++ benchmark's as far as it is known; the rest stays
            # the paper's.
            "paper": {
                "optimizer": "adam",
                "schedule": "constant",
                "lr": 1e-5,
                "weight_decay": 0.0,
                "freeze_epochs": 0,
            },
            # Small crops are taken whole. At the high rate of a short run, 300 times the
            # benchmark's, the filters would lose their sum of 0 in a few steps: the classifier
            # learns alone.
            "demo": {"side": 0, "crop": 0, "relaxed": False},
            # The tests are to see the filters learn.
            "test": {"side": 0, "crop": 0},
        }
    )
    paper_labels: ClassVar[tuple[str, ...]] = ("Cozzolino et al.",)
    tables: ClassVar[tuple[int, ...]] = (1,)
    deviations: ClassVar[str] = (
        "our reading of the publication, of which no reference code exists: residuals, levels and "
        "neighbours are those of the descriptor's use in Splicebuster, on grey, without folding "
        "bins by symmetry; bins are standardised by BatchNorm in front of a linear layer; the "
        "benchmark's learning rate is unconfirmed; as many outputs as classes; faces cut as for "
        "the other rows, then scaled to 256 px"
    )
    licence: ClassVar[str] = "no reference code"
    settings: CozzolinoSettings

    def __init__(self, settings: CozzolinoSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        self.descriptor = Descriptor(settings.quantum, settings.truncation, settings.softness)
        self.descriptor.requires_grad_(settings.relaxed and settings.softness > 0)
        width = 2 * self.descriptor.bins
        # In units of an even spread. A bin that hardly varies is not blown up to the others' size.
        self.standardise = nn.BatchNorm1d(width, eps=1e-2, affine=False)
        self.output = nn.Linear(width, len(self.classes))

    def describe(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 2, bins), the two histograms, in 32 bits at least."""
        check_images(images, self.name)
        with torch.autocast(images.device.type, enabled=False):
            planes = images.to(self.descriptor.filters.dtype)
            weights = 255 * planes.new_tensor(_GREY)
            grey = (planes.movedim(1, 3) @ weights).unsqueeze(1)
            grey = centre(scale(grey, self.settings.side), self.settings.crop, self.name)
            return self.descriptor(grey.contiguous())

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 2 bins): standardised; 162 of three levels."""
        return self.standardise(self.descriptor.bins * self.describe(images).flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> logits (B, K)."""
        return self.output(self.features(images))
