"""FTCN (Zheng et al. 2021): a fully temporal convolution network, which sees how each place of an
aligned face changes and nothing of what lies beside it, and a transformer over its moments."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional

from mcxlib.detectors.base import DetectorSettings
from mcxlib.detectors.clips import ClipDetector
from mcxlib.detectors.colorspace_net import IMAGENET_MEAN, IMAGENET_STD


class _Size(NamedTuple):
    stem: int
    """Channels after the first convolution; a stage's output has 4, 8 and 16 times as many."""
    blocks: tuple[int, int, int]
    heads: int
    head_width: int
    hidden: int
    """Of the transformer's two linear layers."""


_SIZES = MappingProxyType(
    {
        # I3D-R50 of SlowFast without its last stage; the transformer of the publication.
        "temporal_r50": _Size(64, (3, 4, 6), 16, 64, 2048),
        "slim_temporal": _Size(16, (1, 1, 1), 4, 16, 128),
    }
)


class FTCNSettings(DetectorSettings):
    """Of FTCN; what a description calls the reference is the authors' code."""

    backbone: str = Field(
        "temporal_r50",
        pattern="^(temporal_r50|slim_temporal)$",
        description="reference, or a slim stand-in",
    )
    clip_frames: int = Field(32, ge=8, multiple_of=2, description="reference: frames of a clip")
    clip_stride: int = Field(1, ge=1, description="reference: a clip from every frame on")
    dropout: float = Field(0.1, ge=0, lt=1, description="reference: in the transformer")
    head_dropout: float = Field(0.5, ge=0, lt=1, description="reference: before the last layer")


_SLIM = {
    **{"crop_rule": "aligned", "frame_rule": "first"},
    **{"backbone": "slim_temporal", "clip_frames": 8},
}


class FTCN(ClipDetector):
    """Normalisation, temporal convolutions, the mean over places, a transformer, one output."""

    name = "ftcn"
    Settings: ClassVar[type[BaseModel]] = FTCNSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            # The reference's optimiser; crops of its 224 px, and clips that do not overlap, of
            # which 64 frames give two: from every frame on, an epoch would be thirty times as long.
            # Its batches are of 16: a clip keeps 3.5 GB for the backward pass, in fp32.
            "paper": {
                "crop_rule": "aligned", "crop_size": 224, "input_size": 224, "frame_count": 64,
                "clip_stride": 32, "lr": 0.1, "weight_decay": 1e-4, "freeze_epochs": 0,
                "per_category": 5,
            },
            # The drawn videos have twelve frames: clips of eight. Of three lengths and two amounts
            # of dropout, the one that did best on validation videos.
            "demo": _SLIM | {"frame_count": 12, "head_dropout": 0.1, "epochs": 30},
            "test": _SLIM | {"frame_count": 10, "clip_stride": 2},
        }
    )  # fmt: skip
    paper_labels: ClassVar[tuple[str, ...]] = ("FTCN",)
    tables: ClassVar[tuple[int, ...]] = (3,)
    deviations: ClassVar[str] = (
        "faces aligned by MTCNN's five points, averaged over twelve frames, for 68 points of the "
        "clip; the largest face of each frame; real and fake clips weigh alike; trained and scored "
        "on clips that do not overlap (reference: clip_stride=1, frame_count=768), with this "
        "paper's batches of three categories, five clips of each, no warm-up and from random "
        "weights; where the reference's module dropout of 0.5 acts is not confirmed, and its "
        "parameter count is not published"
    )
    licence: ClassVar[str] = "none given"
    frames_per_item: ClassVar[int] = 32
    settings: FTCNSettings
    mean: Tensor
    std: Tensor

    def __init__(self, settings: FTCNSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        size = _SIZES[settings.backbone]
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        self.backbone = TemporalNet(size.stem, size.blocks)
        width = 16 * size.stem
        self.transformer = MomentTransformer(
            width, settings.clip_frames // 2, size.heads, size.head_width, size.hidden,
            settings.dropout,
        )  # fmt: skip
        self.drop = nn.Dropout(settings.head_dropout)
        self.output = nn.Linear(width, 1)

    def features(self, images: Tensor) -> Tensor:
        """(B, T, 3, H, W) in [0, 1] -> (B, D), the transformer's; D is 1024 for the reference."""
        self._check(images)
        planes = ((images - self.mean) / self.std).transpose(1, 2)
        moments = self.backbone(planes.to(self.output.weight.dtype)).mean((3, 4)).transpose(1, 2)
        return self.transformer(moments)

    def forward(self, images: Tensor) -> Tensor:
        """(B, T, 3, H, W) in [0, 1] -> (B, 1), the logit of fake."""
        return self.output(self.drop(self.features(images)))


class Temporal(nn.Conv2d):
    """A convolution over time alone, with BatchNorm after it: (B, C, T, H, W) -> (B, D, T, H, W).

    Height and width are one axis to it, along which its kernel is 1: what a place becomes depends
    on that place alone. (As a convolution in two dimensions it runs with channels innermost.)
    """

    def __init__(self, inputs: int, outputs: int, frames: int) -> None:
        super().__init__(inputs, outputs, (frames, 1), padding=(frames // 2, 0), bias=False)
        self.normalise = nn.BatchNorm2d(outputs)

    def forward(self, planes: Tensor) -> Tensor:
        height, width = planes.shape[3:]
        out: Tensor = self.normalise(super().forward(planes.flatten(3)))
        return out.unflatten(3, (height, width))


class _Block(nn.Module):
    """A bottleneck of the residual network; where it halves the sides, it takes the largest of
    each 2 x 2 places after normalisation, in place of a step of 2."""

    def __init__(self, inputs: int, inner: int, outputs: int, frames: int, halve: bool) -> None:
        super().__init__()
        self.first = Temporal(inputs, inner, frames)
        self.second = Temporal(inner, inner, 1)
        self.third = Temporal(inner, outputs, 1)
        self.shortcut = Temporal(inputs, outputs, 1) if inputs != outputs else None
        self.halve = halve

    def forward(self, planes: Tensor) -> Tensor:
        out = self.second(self.first(planes).relu_())
        kept = planes if self.shortcut is None else self.shortcut(planes)
        if self.halve:
            out, kept = _halved(out), _halved(kept)
        return (self.third(out.relu_()) + kept).relu_()


class TemporalNet(nn.Module):
    """I3D's residual network with every spatial kernel 1: (B, 3, T, H, W) -> (B, 16 C, T / 2, H /
    16, W / 16), for C channels of its stem."""

    def __init__(self, stem: int, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = Temporal(3, stem, 5)
        self.stages = nn.ModuleList()
        inputs = stem
        for number, count in enumerate(blocks):
            inner = stem * 2**number
            stage = nn.Sequential()
            for place in range(count):
                # Kernels over three frames: in all blocks of the first stage, in every second of
                # the others.
                frames = 3 if number == 0 or place % 2 == 0 else 1
                halve = number > 0 and place == 0
                stage.append(_Block(inputs, inner, 4 * inner, frames, halve))
                inputs = 4 * inner
            self.stages.append(stage)

    def forward(self, planes: Tensor) -> Tensor:
        planes = _halved(self.stem(planes)).relu_()
        planes = _frames_first(planes, lambda frames: functional.max_pool2d(frames, 3, 2, 1))
        planes = self.stages[0](planes)
        planes = functional.max_pool3d(planes, (2, 1, 1))
        for stage in list(self.stages)[1:]:
            planes = stage(planes)
        return planes


def _frames_first(planes: Tensor, function: Any) -> Tensor:
    """A function of images (N, C, H, W) on each frame of (B, C, T, H, W)."""
    out = function(planes.transpose(1, 2).flatten(0, 1))
    return out.unflatten(0, (planes.shape[0], planes.shape[2])).transpose(1, 2)


def _halved(planes: Tensor) -> Tensor:
    return _frames_first(planes, lambda frames: functional.max_pool2d(frames, 2))


class MomentTransformer(nn.Module):
    """One layer of self-attention over a clip's moments: (B, N, D) -> (B, D), of its class token.

    Normalisation first, positions learned, no bias where queries, keys and values are made.
    """

    def __init__(
        self, width: int, moments: int, heads: int, head_width: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, moments + 1, width) * 0.02)
        self.before_attention = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.from_heads = nn.Linear(heads * head_width, width)
        self.drop = nn.Dropout(dropout)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(hidden, width), nn.Dropout(dropout),
        )  # fmt: skip
        self.last = nn.LayerNorm(width)

    def forward(self, moments: Tensor) -> Tensor:
        """Moments (B, N, D), N as given at the start."""
        tokens = torch.cat([self.token.expand(moments.shape[0], -1, -1), moments], 1)
        tokens = self.drop(tokens + self.positions)
        queries, keys, values = self.to_qkv(self.before_attention(tokens)).chunk(3, -1)
        mixed = functional.scaled_dot_product_attention(
            *(
                part.unflatten(2, (self.heads, -1)).transpose(1, 2)
                for part in (queries, keys, values)
            )
        )
        tokens = tokens + self.drop(self.from_heads(mixed.transpose(1, 2).flatten(2)))
        return self.last((tokens + self.perceptron(tokens))[:, 0])
