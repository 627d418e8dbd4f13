"""The paper's network: embed images, let pairs of features interact, classify (section 3.1).

    images -> embed -> features -> classify -> logits                      (inference, no partner)
                       features of pairs -> interact -> classify -> logits (training)

The paper's figures and equations call the outputs of the interaction "pristine" and "fake". They
are what API-Net calls *self* and *other*: an image's features gated by its own gate or by its
partner's. The words say nothing about the class of the image, so this package uses API-Net's.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mcxlib import CLASSES, backbones
from mcxlib import colorspace as colorspaces

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
"""ImageNet's RGB statistics. The experiments' released code repeats them for every colour space,
though they describe only RGB; a fixed affine map of each channel, it costs no information."""


class Interaction(NamedTuple):
    """Four (P, D) tensors (eq. 2): first and second members through own or partner's gate."""

    first_self: Tensor
    first_other: Tensor
    second_self: Tensor
    second_other: Tensor


def normalise_(planes: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(planes - mean) / std in place; (B, C, H, W), and constants of shape (1, C, 1, 1)."""
    batch, channels, height, width = planes.shape
    if planes.device.type == "cpu" and planes.is_contiguous(memory_format=torch.channels_last):
        # Whole rows of pixels at once: a loop over a handful of channels is several times slower.
        rows = planes.permute(0, 2, 3, 1).view(batch, height, width * channels)
        rows.sub_(mean.flatten().repeat(width)).div_(std.flatten().repeat(width))
        return planes
    return planes.sub_(mean).div_(std)


class MCXAPI(nn.Module):
    """Multi-Channel Xception Attentive Pairwise Interaction network.

    Args:
        colorspace: which colour spaces the backbone sees; see :mod:`mcxlib.colorspace`.
        backbone: a timm name or ``"slim_xception"``; see :mod:`mcxlib.backbones`.
        num_classes: outputs of the classifier, :data:`mcxlib.CLASSES` by default.
        pretrained: False, True or a local weights file, for the backbone alone.
        hidden: width between the two layers of the mutual vector's MLP (released code: 512).
        dropout: probability, in that MLP and before the classifier (released code: 0.5).

    Raises:
        ValueError: for an unknown colour space or backbone.
        RuntimeError: if pretrained weights cannot be had.

    The attribute ``num_features`` is D, the width of the features (2048 for Xception).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        colorspace: str = "rgb",
        backbone: str = "legacy_xception",
        num_classes: int = len(CLASSES),
        pretrained: bool | str | Path = False,
        *,
        hidden: int = 512,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        channels = colorspaces.channels(colorspace)
        self.colorspace = colorspace
        self.backbone_name = backbone
        self.num_classes = num_classes
        self.backbone = backbones.create(backbone, channels, pretrained)
        self.num_features: int = self.backbone.num_features
        self.map1 = nn.Linear(2 * self.num_features, hidden)
        self.map2 = nn.Linear(hidden, self.num_features)
        self.classifier = nn.Linear(self.num_features, num_classes)
        self.drop = nn.Dropout(dropout)
        # Constants of the architecture, not weights: they follow the device, not the checkpoint.
        repeats = channels // 3
        for name, values in (("mean", _MEAN), ("std", _STD)):
            constant = torch.tensor(values * repeats).view(1, channels, 1, 1)
            self.register_buffer(name, constant, persistent=False)
        self._frozen = False
        # Convolutions run faster with channels innermost, on CPU and GPU; shapes are unchanged.
        self.to(memory_format=torch.channels_last)

    def embed(self, images: Tensor) -> Tensor:
        """Images -> features x_i: colour spaces, normalisation, backbone, average pooling.

        Args:
            images: (B, 3, H, W), floating point RGB in [0, 1], on the model's device.

        Returns:
            (B, D).

        Raises:
            ValueError: for a wrong shape or dtype, or values that look like 0-255 (looked at on
                the CPU only: elsewhere it would make the host wait for the device).
        """
        if (
            images.device.type == "cpu"
            and images.numel()
            and not torch.compiler.is_compiling()
            and images.amax() > 2
        ):
            raise ValueError(
                f"images must be RGB in [0, 1], but the largest value is {images.amax():.4g}; "
                "divide 8-bit images by 255"
            )
        # Colours in float32 even for half-precision images: only the result is rounded.
        half = images.dtype in (torch.float16, torch.bfloat16)
        exact = images.float() if half else images
        planes = colorspaces.stack(exact, self.colorspace)
        planes = normalise_(planes, self.mean, self.std)
        weight = self.classifier.weight
        return self.backbone(planes.to(dtype=weight.dtype, memory_format=torch.channels_last))

    def interact(self, first: Tensor, second: Tensor) -> Interaction:
        """Compare the two images of each pair (eq. 1 and 2).

        The mutual vector is x_m = map2(dropout(map1([x_1, x_2]))), with no activation between
        the two linear layers; the gates are g_i = sigmoid(x_m * x_i) (eq. 1), and each feature is
        added to itself gated by its own and by its partner's gate (eq. 2).

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
        first_gate = torch.sigmoid(mutual * first)
        second_gate = torch.sigmoid(mutual * second)
        return Interaction(
            first_self=first + first * first_gate,
            first_other=first + first * second_gate,
            second_self=second + second * second_gate,
            second_other=second + second * first_gate,
        )

    def classify(self, features: Tensor) -> Tensor:
        """Features (B, D) -> logits (B, C): the one classifier all features share."""
        return self.classifier(self.drop(features))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> logits (B, C), each image alone: ``classify(embed(images))``.

        The paper does not say how a single test image is classified; this is what its released
        code does.
        """
        return self.classify(self.embed(images))

    def backbone_parameters(self) -> list[nn.Parameter]:
        """The parameters of the feature extractor."""
        return list(self.backbone.parameters())

    def head_parameters(self) -> list[nn.Parameter]:
        """All other parameters: the mutual vector's MLP and the classifier."""
        heads = (self.map1, self.map2, self.classifier)
        return [parameter for head in heads for parameter in head.parameters()]

    def freeze_backbone(self, flag: bool) -> None:
        """Freeze or release the backbone (section 4.1: frozen in the first eight epochs).

        A frozen backbone has ``requires_grad`` off and stays in eval mode whatever
        :meth:`train` is called with: its BatchNorm would otherwise go on updating running
        statistics, which is a way of training too. With random weights those statistics are
        still at their start, and a deep backbone's features then hardly depend on the image: the
        frozen epochs mean something for pretrained weights only.
        """
        self._frozen = flag
        self.backbone.requires_grad_(not flag)
        self.backbone.train(self.training and not flag)

    def train(self, mode: bool = True) -> MCXAPI:
        """As ``nn.Module.train``, but a frozen backbone stays in eval mode."""
        super().train(mode)
        if self._frozen:
            self.backbone.eval()
        return self
