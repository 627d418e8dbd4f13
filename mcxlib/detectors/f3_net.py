"""F3-Net (Qian et al., 2020): two Xceptions on frequencies, and attention between them.

One stream sees the image taken apart into bands of its cosine transform (FAD), the other how much
of each band there is in every small window (LFS). After the seventh and the twelfth block each
stream gets something of the other's maps (MixBlock).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field
from timm.models.xception import Xception
from timm.models.xception_aligned import XceptionAligned
from torch import Tensor, nn
from torch.nn import functional

from mcxlib.detectors import backbones
from mcxlib.detectors.base import Detector, DetectorSettings, Published, check_images
from mcxlib.detectors.dct import band, dct_matrix
from mcxlib.detectors.resize import scale

_WINDOW, _STRIDE, _PADDING, _BANDS = 10, 2, 4, 6
"""Publication, section 3.2: windows of 10 px every 2 px, six bands."""

_GREY = (0.299, 0.587, 0.114)


class F3NetSettings(DetectorSettings):
    """Of F3-Net."""

    streams: Literal["both", "fad", "lfs"] = Field("both", description="publication; its ablation")
    mix: bool = Field(True, description="publication: attention between the two streams")
    reading: Literal["publication", "port"] = Field(
        "publication",
        description="port: the public re-implementation's closed bands, logarithm before the "
        "bands, and 245 for white",
    )
    side: int = Field(299, ge=32, description="publication: pixels that faces are scaled to")
    backbone: str = Field("legacy_xception", description="publication: Xception; or slim_xception")
    pretrained: bool = Field(False, description="publication has True; MCX-API's row has False")
    dropout: float = Field(0.2, ge=0, lt=1, description="public re-implementation")


class _Bands(nn.Module):
    """Fixed bands, and for each a learned weight between -1 and 1 that is added to it."""

    fixed: Tensor

    def __init__(self, fixed: list[Tensor]) -> None:
        super().__init__()
        self.register_buffer("fixed", torch.stack(fixed), persistent=False)
        self.learned = nn.Parameter(torch.empty_like(self.fixed).normal_(0, 0.1))

    def forward(self) -> Tensor:
        """(bands, size, size)."""
        return self.fixed + 2 * torch.sigmoid(self.learned) - 1


class FrequencyDecomposition(nn.Module):
    """FAD: the image in its low, middle and high frequencies and in all of them.

    On the sum of the two indices, low ends at 1/2.82 of the side and middle at 1/2 (about 1/16
    and 1/8 of all frequencies). Bands are half-open here, so that without learned weights the
    three add up to the image; the port's share the diagonals between them.
    """

    dct: Tensor

    def __init__(self, side: int, closed: bool) -> None:
        super().__init__()
        edges = (0.0, side / 2.82, side / 2, 2.0 * side)
        if closed:
            edges = (0.0, side // 2.82, float(side // 2), 2.0 * side)
        parts = [band(side, a, b, closed) for a, b in pairwise(edges)]
        self.bands = _Bands([*parts, torch.ones(side, side)])
        self.register_buffer("dct", dct_matrix(side).float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, N, N) -> (B, 12, N, N): the channels of the first band, of the second, ..."""
        frequencies = self.dct @ images @ self.dct.T
        parts = frequencies[:, None] * self.bands()[:, None]
        return (self.dct.T @ parts @ self.dct).flatten(1, 2)


class LocalStatistics(nn.Module):
    """LFS: the logarithm of each band's mean magnitude in windows all over the image.

    The publication takes the logarithm of a band's sum; the port sums up logarithms.
    """

    transform: Tensor
    counts: Tensor

    def __init__(self, port: bool) -> None:
        super().__init__()
        self.port = port
        width = 2 * _WINDOW
        edges = [width * i / _BANDS for i in range(_BANDS + 1)]
        self.bands = _Bands([band(_WINDOW, a, b, port) for a, b in pairwise(edges)])
        dct = dct_matrix(_WINDOW)
        # Both directions at once: a window as a column of 100 pixels -> its 100 coefficients.
        self.register_buffer("transform", torch.kron(dct, dct).float(), persistent=False)
        counts = self.bands.fixed.sum((1, 2))
        self.register_buffer("counts", counts[:, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, N, N) in [0, 1] -> (B, 6, M, M), M = (N - 2) // 2 + 1."""
        white = 245.0 if self.port else 255.0
        grey = (images * images.new_tensor(_GREY)[:, None, None]).sum(1, keepdim=True) * white
        windows = functional.unfold(grey, _WINDOW, padding=_PADDING, stride=_STRIDE)
        size = (images.shape[2] + 2 * _PADDING - _WINDOW) // _STRIDE + 1
        magnitudes = (self.transform @ windows).abs()
        weights = self.bands().flatten(1)
        if self.port:
            found = weights @ torch.log10(magnitudes + 1e-15) / self.counts
        else:
            found = torch.log10(weights.abs() @ magnitudes / self.counts + 1e-15)
        return found.unflatten(2, (size, size))


class MixBlock(nn.Module):
    """Attention of each channel over rows, from both streams; each gets the other's maps by it.

    Both shares start at 0, and so does the bias behind them: at first the maps pass unchanged.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.queries = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(2))
        self.keys = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(2))
        self.shares = nn.Parameter(torch.zeros(2))
        self.scales = nn.ModuleList(_scale(channels) for _ in range(2))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Two of (B, C, S, S), FAD's and LFS's -> the same.

        Raises:
            ValueError: they differ in size, or are not square.
        """
        size, other = maps[0].shape[2:], maps[1].shape[2:]
        if size != other or size[0] != size[1]:
            raise ValueError(
                f"f3-net: the streams' maps are {tuple(size)} and {tuple(other)}, and to be mixed "
                "they must be square and equal; choose another side"
            )
        query = torch.cat([f(x) for f, x in zip(self.queries, maps, strict=True)], dim=3)
        key = torch.cat([f(x) for f, x in zip(self.keys, maps, strict=True)], dim=3)
        # A channel's plane has to lie together, or each is copied by itself.
        attention = torch.softmax(query.contiguous() @ key.contiguous().transpose(2, 3), dim=3)
        share = 2 * torch.sigmoid(self.shares) - 1
        given = [
            _scaled(scale, other * attention, s)
            for scale, other, s in zip(self.scales, reversed(maps), share.flip(0), strict=True)
        ]
        return [x + y for x, y in zip(maps, given, strict=True)]


def _scale(channels: int) -> nn.Sequential:
    one = nn.Conv2d(channels, channels, 1, groups=channels)
    assert one.bias is not None
    nn.init.zeros_(one.bias)
    return nn.Sequential(one, nn.BatchNorm2d(channels))


def _scaled(scale: nn.Module, maps: Tensor, share: Tensor) -> Tensor:
    """``scale(share * maps)``. A convolution of one pixel and one channel is a product; as a
    convolution torch calls a matrix product for each channel of a single image."""
    one, normalise = scale.children()
    assert isinstance(one, nn.Conv2d)
    assert one.bias is not None
    weight = (one.weight * share).view(1, -1, 1, 1)
    return normalise(torch.addcmul(one.bias.view(1, -1, 1, 1), maps, weight))


class F3Net(Detector):
    """Both streams with MixBlocks, both without, or one of them alone; one output, fake."""

    name = "f3-net"
    Settings: ClassVar[type[BaseModel]] = F3NetSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            # SGD with momentum 0.9 at 0.002 along a cosine is the publication's as far as it is
            # known; the rest stays the paper's.
            "paper": {"lr": 0.002, "freeze_epochs": 0},
            # Two of the small networks, on images small enough for the time of one.
            "demo": {"backbone": backbones.SLIM, "side": 56},
            "test": {"backbone": backbones.SLIM, "side": 48},
        }
    )
    paper_labels: ClassVar[tuple[str, ...]] = ("F3-Net",)
    tables: ClassVar[tuple[int, ...]] = (2,)
    # What the public re-implementation holds, less what is no weight here (transforms and fixed
    # bands) and the two classifiers of its Xceptions that nothing uses.
    published: ClassVar[Published | None] = Published(
        42_520_971 - 537_212 - 2 * 2_049, 1, MappingProxyType({"mix": False})
    )
    deviations: ClassVar[str] = (
        "no official code: the MixBlock follows a public re-implementation, which never connected "
        "it, with a bias that starts at 0; learning rate and schedule are unconfirmed; trained on "
        "this paper's batches from random weights; faces cut as for the other rows, then scaled "
        "to 299 px"
    )
    licence: ClassVar[str] = "not stated (re-implementation)"
    outputs = 1
    settings: F3NetSettings

    def __init__(self, settings: F3NetSettings, classes: tuple[str, ...]) -> None:
        super().__init__(settings, classes)
        port = settings.reading == "port"
        self.fronts, self.networks = nn.ModuleDict(), nn.ModuleDict()
        if settings.streams != "lfs":
            self.fronts["fad"] = FrequencyDecomposition(settings.side, closed=port)
            self.networks["fad"] = _network(settings, 12)
        if settings.streams != "fad":
            self.fronts["lfs"] = LocalStatistics(port)
            # It starts at half the size: the first convolution does not halve it again.
            self.networks["lfs"] = _network(settings, _BANDS)
            _first_convolution(self.networks["lfs"]).stride = (1, 1)
        blocks = backbones.blocks(next(iter(self.networks.values())))
        self.depth = len(blocks)
        self.mixes = nn.ModuleDict()
        if settings.streams == "both" and settings.mix:
            for last in (math.ceil(self.depth * 7 / 12), self.depth):
                self.mixes[str(last)] = MixBlock(_channels(blocks[last - 1]))
        width = sum(backbones.width(network) for network in self.networks.values())
        self.drop = nn.Dropout(settings.dropout)
        self.output = nn.Linear(width, 1)

    def _streams(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> what each network sees; in float32 at least, whatever is asked for:
        small coefficients beside large ones are what it is about."""
        with torch.autocast(images.device.type, enabled=False):
            half = images.dtype in (torch.float16, torch.bfloat16)
            exact = images.float() if half else images
            exact = scale(exact, self.settings.side).contiguous().to(self.output.weight.dtype)
            # FAD takes mean and deviation of 0.5 off; LFS counts in 8-bit values.
            return [
                front(exact * 2 - 1 if name == "fad" else exact)
                for name, front in self.fronts.items()
            ]

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D) of one stream, or (B, 2D) of FAD and LFS side by side."""
        check_images(images, self.name)
        networks = list(self.networks.values())
        maps = [
            _stem(network, planes.contiguous(memory_format=torch.channels_last))
            for network, planes in zip(networks, self._streams(images), strict=True)
        ]
        blocks = [backbones.blocks(network) for network in networks]
        for number, pair in enumerate(zip(*blocks, strict=True), start=1):
            maps = [block(x) for block, x in zip(pair, maps, strict=True)]
            if str(number) in self.mixes:
                maps = self.mixes[str(number)](maps)
        pooled = [_pooled(network, x) for network, x in zip(networks, maps, strict=True)]
        return torch.cat(pooled, dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 1), the logit of fake."""
        return self.output(self.drop(self.features(images)))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Binary cross-entropy."""
        logits = self(images)[:, 0].float()
        loss = functional.binary_cross_entropy_with_logits(logits, (labels > 0).float())
        return {"total": loss, "cross_entropy": loss.detach()}

    def cam_layer(self) -> nn.Module:
        """Of FAD's stream, where there is one."""
        return backbones.cam_layer(next(iter(self.networks.values())))


def _network(settings: F3NetSettings, channels: int) -> nn.Module:
    """An Xception; of pretrained weights the first convolution is repeated over the channels and
    divided by how often."""
    network = backbones.create(settings.backbone, channels, settings.pretrained)
    if not isinstance(network, Xception | XceptionAligned):
        raise ValueError(
            f"f3-net: backbone must be an Xception (legacy_xception, {backbones.SLIM}), not "
            f"{settings.backbone!r}: its streams meet between Xception's blocks"
        )
    return network


def _first_convolution(network: nn.Module) -> nn.Conv2d:
    return next(m for m in network.modules() if isinstance(m, nn.Conv2d))


def _channels(block: nn.Module) -> int:
    return [m.num_features for m in block.modules() if isinstance(m, nn.BatchNorm2d)][-1]


def _stem(network: nn.Module, planes: Tensor) -> Tensor:
    """What comes before the blocks."""
    if isinstance(network, Xception):
        planes = network.act1(network.bn1(network.conv1(planes)))
        return network.act2(network.bn2(network.conv2(planes)))
    return network.get_submodule("stem")(planes)


def _pooled(network: nn.Module, maps: Tensor) -> Tensor:
    """What comes after the blocks: (B, D)."""
    if isinstance(network, Xception):
        maps = network.act3(network.bn3(network.conv3(maps)))
        maps = network.act4(network.bn4(network.conv4(maps)))
        return network.forward_head(maps)
    assert isinstance(network, XceptionAligned)
    return network.forward_head(network.act(maps))
