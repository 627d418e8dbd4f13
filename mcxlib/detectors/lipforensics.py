"""LipForensics (Haliassos et al. 2021): a network for lip reading on grey mouths, and temporal
convolutions of several widths over what it sees in each frame."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional

from mcxlib.detectors.base import DetectorSettings, Published
from mcxlib.detectors.clips import ClipDetector

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (Rec. 601)."""
MEAN, STD = 0.421, 0.165
"""Of grey mouths, by the reference."""
MOUTH = (0.501, 0.716)
"""Where the mouth of an aligned crop is, x and y as shares of its side."""
MOUTH_SHARE = 0.34
"""Side of the mouth's square over that of an aligned crop: about twice a mouth's width."""
KERNELS = (3, 5, 7)
"""Frames that the branches of the temporal convolutions look at."""


class _Size(NamedTuple):
    stem: int
    branch: int
    """Channels of each temporal branch."""
    layers: int
    """Temporal ones."""
    blocks: int
    """Of each of the four stages of the residual network."""


_SIZES = MappingProxyType({"lip_resnet18": _Size(64, 256, 4, 2), "slim_lip": _Size(12, 16, 2, 1)})


class LipForensicsSettings(DetectorSettings):
    """Of LipForensics; what a description calls the reference is the authors' code."""

    backbone: str = Field(
        "lip_resnet18",
        pattern="^(lip_resnet18|slim_lip)$",
        description="reference, or a slim stand-in",
    )
    clip_frames: int = Field(25, ge=2, description="reference: frames of a clip")
    clip_stride: int = Field(25, ge=1, description="reference: clips that do not overlap")
    mouth: int = Field(96, ge=24, description="reference: pixels that the mouth's square has")
    shown: int = Field(88, ge=16, description="reference: pixels of it that the network sees")
    dropout: float = Field(0.2, ge=0, lt=1, description="reference")


_DEMO = {
    **{"crop_rule": "aligned", "frame_rule": "first"},
    **{"backbone": "slim_lip", "mouth": 36, "shown": 32, "clip_frames": 8},
}


class LipForensics(ClipDetector):
    """Grey mouths, a convolution over five frames, ResNet-18 on each, temporal branches, their
    mean, one output."""

    name = "lipforensics"
    Settings: ClassVar[type[BaseModel]] = LipForensicsSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            # The mouth has its place in the whole crop; 110 frames are the reference's protocol.
            # With weights of lip reading to begin with (start_from), the backbone would stay
            # frozen throughout; random ones have to be trained.
            "paper": {
                "crop_rule": "aligned", "crop_size": 288, "input_size": 288, "frame_count": 110,
                "freeze_epochs": 0,
            },
            "demo": _DEMO | {"frame_count": 12, "input_size": 96, "clip_stride": 1, "epochs": 20},
            "test": _DEMO | {"frame_count": 10, "input_size": 72, "clip_stride": 2},
        }
    )  # fmt: skip
    paper_labels: ClassVar[tuple[str, ...]] = ("LipForensics",)
    tables: ClassVar[tuple[int, ...]] = (3,)
    published: ClassVar[Published | None] = Published(35_990_785, 1, MappingProxyType({}))
    deviations: ClassVar[str] = (
        "from random weights, where the publication begins with a network trained to read lips, "
        "freezes it and loses about 20 points without; faces aligned by MTCNN's five points, "
        "averaged over twelve frames, for 68 points and the mean face of the lip-reading data: "
        "how much of a face the mouth's square shows is of this project's choice; real and fake "
        "clips weigh alike; this paper's optimiser and batches, since the reference has no code "
        "for training"
    )
    licence: ClassVar[str] = "MIT"
    frames_per_item: ClassVar[int] = 25
    video_rule: ClassVar[str] = "logits"
    settings: LipForensicsSettings

    def __init__(self, settings: LipForensicsSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        if settings.shown > settings.mouth:
            raise ValueError(
                f"shown {settings.shown} is more than the mouth's {settings.mouth} pixels"
            )
        size = _SIZES[settings.backbone]
        self.register_buffer("grey", torch.tensor(GREY).view(3, 1, 1), persistent=False)
        self.backbone = LipNet(size.stem, size.blocks)
        width = len(KERNELS) * size.branch
        layers = [
            _Branches(width if number else 8 * size.stem, size.branch, 2**number, settings.dropout)
            for number in range(size.layers)
        ]
        self.temporal = nn.Sequential(*layers)
        self.output = nn.Linear(width, 1)

    def mouths(self, images: Tensor) -> Tensor:
        """Aligned faces (B, T, 3, H, W) -> normalised grey mouths (B, T, S, S), S as shown.

        In training, at a random place of the mouth's square, the same one in a clip's frames.
        """
        height, width = images.shape[-2:]
        side = round(MOUTH_SHARE * min(height, width))
        top = min(max(round(MOUTH[1] * height - side / 2), 0), height - side)
        left = min(max(round(MOUTH[0] * width - side / 2), 0), width - side)
        square = images[..., top : top + side, left : left + side].float()
        grey = (square * self.get_buffer("grey").float()).sum(2)
        mouth, shown = self.settings.mouth, self.settings.shown
        if side != mouth:
            grey = functional.interpolate(
                grey, (mouth, mouth), mode="bilinear", antialias=side > mouth
            )
        grey = (grey - MEAN) / STD
        room = mouth - shown
        if not self.training or not room:
            corner = room // 2
            return grey[..., corner : corner + shown, corner : corner + shown]
        corners = torch.randint(room + 1, (len(grey), 2)).tolist()
        return torch.stack(
            [
                clip[:, y : y + shown, x : x + shown]
                for clip, (y, x) in zip(grey, corners, strict=True)
            ]
        )

    def features(self, images: Tensor) -> Tensor:
        """(B, T, 3, H, W) in [0, 1] -> (B, D), the mean over time; D is 768 for the reference."""
        self._check(images)
        mouths = self.mouths(images).to(self.output.weight.dtype)
        moments = self.backbone(mouths)
        return self.temporal(moments.transpose(1, 2)).mean(2)

    def forward(self, images: Tensor) -> Tensor:
        """(B, T, 3, H, W) in [0, 1] -> (B, 1), the logit of fake."""
        return self.output(self.features(images))


class LipNet(nn.Module):
    """A convolution over five frames and ResNet-18 with PReLU: grey clips (B, T, S, S) ->
    (B, T, 8 C) for C channels of its stem."""

    def __init__(self, stem: int, blocks: int) -> None:
        super().__init__()
        # Grey clips have one channel: five frames of it as five channels are the convolution in
        # three dimensions, of 5 x 7 x 7 with steps of 2 in space.
        self.stem = nn.Conv2d(5, stem, 7, 2, 3, bias=False)
        self.normalise = nn.BatchNorm2d(stem)
        self.bend = nn.PReLU(stem)
        self.pool = nn.MaxPool2d(3, 2, 1)
        layers = []
        inputs = stem
        for number in range(4):
            outputs = stem * 2**number
            for place in range(blocks):
                layers.append(_Residual(inputs, outputs, 2 if number and not place else 1))
                inputs = outputs
        self.stages = nn.Sequential(*layers)

    def forward(self, clips: Tensor) -> Tensor:
        batch, frames = clips.shape[:2]
        around = functional.pad(clips, (0, 0, 0, 0, 2, 2)).unfold(1, 5, 1)
        planes = around.movedim(-1, 2).flatten(0, 1)
        planes = self.pool(self.bend(self.normalise(self.stem(planes))))
        return self.stages(planes).mean((2, 3)).unflatten(0, (batch, frames))


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_normalise = nn.BatchNorm2d(outputs)
        self.first_bend = nn.PReLU(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_normalise = nn.BatchNorm2d(outputs)
        self.second_bend = nn.PReLU(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, planes: Tensor) -> Tensor:
        out = self.first_bend(self.first_normalise(self.first(planes)))
        out = self.second_normalise(self.second(out))
        return self.second_bend(out + self.shortcut(planes))


class _Branches(nn.Module):
    """Twice, one temporal convolution for each of :data:`KERNELS` side by side; and a shortcut,
    with weights in every layer. (B, C, T) -> (B, 3 D, T) for D channels of a branch."""

    def __init__(self, inputs: int, branch: int, dilation: int, dropout: float) -> None:
        super().__init__()
        width = len(KERNELS) * branch
        self.first = _side_by_side(inputs, branch, dilation)
        self.second = _side_by_side(width, branch, dilation)
        self.drop = nn.Dropout(dropout)
        self.shortcut = nn.Conv1d(inputs, width, 1)
        self.bend = nn.PReLU(width)

    def forward(self, moments: Tensor) -> Tensor:
        out = self.drop(torch.cat([branch(moments) for branch in self.first], 1))
        out = self.drop(torch.cat([branch(out) for branch in self.second], 1))
        return self.bend(out + self.shortcut(moments))


def _side_by_side(inputs: int, branch: int, dilation: int) -> nn.ModuleList:
    return nn.ModuleList(
        nn.Sequential(
            nn.Conv1d(inputs, branch, kernel, padding=kernel // 2 * dilation, dilation=dilation),
            nn.BatchNorm1d(branch),
            nn.PReLU(branch),
        )
        for kernel in KERNELS
    )
