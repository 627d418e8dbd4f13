"""Parts of MaDD's network: maps of attention, enhancement of textures, pooling by attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_BORDER = 24, 2
"""Attention is nothing within 2 cells of the border of a 24 x 24 map, that of 380 px."""


class AttentionMaps(nn.Module):
    """A deep map -> M maps that are not negative, and nothing at the border."""

    frame: Tensor

    def __init__(self, width: int, maps: int) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.choose = nn.Sequential(nn.Conv2d(width, maps, 1, bias=False), nn.BatchNorm2d(maps))
        side, border = _BORDER
        inner = torch.ones(1, 1, side - 2 * border, side - 2 * border)
        self.register_buffer("frame", functional.pad(inner, [border] * 4), persistent=False)

    def forward(self, deep: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, M, h, w)."""
        found = functional.elu(self.choose(self.look(deep))) + 1
        return found * functional.interpolate(self.frame, found.shape[2:]).to(found.dtype)


class TextureEnhancement(nn.Module):
    """What is finer than the attention's grid, through densely connected convolutions, one group
    a map."""

    def __init__(self, width: int, maps: int) -> None:
        super().__init__()
        self.maps = maps
        self.look = nn.Conv2d(width, width, 3, padding=1)
        total = width * maps
        self.first = nn.Conv2d(total, total, 5, padding=2, groups=maps)
        self.dense = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(total * depth),
                nn.ReLU(),
                nn.Conv2d(total * depth, total, size, padding=size // 2, groups=maps),
            )
            for depth, size in ((1, 3), (2, 3), (3, 3), (4, 1))
        )
        self.last = nn.Sequential(nn.BatchNorm2d(total), nn.ReLU())

    def forward(self, shallow: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Shallow maps (B, C, H, W) and attention (B, M, h, w) -> textures (B, M, C, H, W), and
        the averages (B, C, h, w) that were taken from them."""
        shallow = self.look(shallow)
        height, width = attention.shape[2:]
        coarse = functional.adaptive_avg_pool2d(shallow, (height, width))
        fine = shallow - functional.interpolate(coarse, shallow.shape[2:])
        weight = torch.tanh(enlarged(attention.detach(), shallow.shape[2:]))
        weighted = weight.unsqueeze(2) * fine.unsqueeze(1)
        found = self.first(weighted.flatten(1, 2)).unflatten(1, (self.maps, -1))
        for index, block in enumerate(self.dense):
            more = block(found.flatten(1, 2)).unflatten(1, (self.maps, -1))
            # Densely connected: each reads all before it. The last one gathers them.
            found = more if index == len(self.dense) - 1 else torch.cat([found, more], dim=2)
        return self.last(found.flatten(1, 2)).unflatten(1, (self.maps, -1)), coarse


def enlarged(maps: Tensor, size: torch.Size) -> Tensor:
    """Maps (B, M, h, w) at another size, corner on corner."""
    if maps.shape[2:] == size:
        return maps
    return functional.interpolate(maps, size, mode="bilinear", align_corners=True)


def exact(values: Tensor) -> Tensor:
    """In float32 at least."""
    return values if values.dtype == torch.float64 else values.float()


def pool(maps: Tensor, attention: Tensor) -> Tensor:
    """Bilinear attention pooling (publication): sums of ``maps``, (B, C, H, W) or a
    set of its own for each attention map (B, M, C, H, W), times attention (B, M, h, w), to unit
    length: (B, M, C)."""
    attention = enlarged(attention, maps.shape[-2:])
    each = "" if maps.ndim == 4 else "m"
    sums = torch.einsum(f"b{each}chw,bmhw->bmc", maps, attention)
    return functional.normalize(exact(sums), dim=2).to(maps.dtype)


def average(maps: Tensor, attention: Tensor) -> Tensor:
    """Average of (B, C, H, W) weighted by one attention map (B, h, w): (B, C). Attention that is
    nothing anywhere gives the plain average."""
    weight = exact(enlarged(attention.unsqueeze(1), maps.shape[2:])) + 1e-8
    return ((maps * weight).sum((2, 3)) / weight.sum((2, 3))).to(maps.dtype)


def standardised(maps: Tensor) -> Tensor:
    """Each channel of each image to mean 0 and deviation 1 over its cells; a flat one to 0."""
    variance, mean = torch.var_mean(exact(maps), dim=(2, 3), keepdim=True)
    # Within the root: a flat channel's deviation has no gradient that is a number.
    return (maps - mean) / torch.sqrt(variance + 1e-8)
