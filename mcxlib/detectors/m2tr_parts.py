"""Parts of M2TR: attention between patches, a filter of frequencies, fusion, a decoder of masks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALES = (1, 2, 4, 8)
"""Patches to a side, one head of the attention each."""


def _activated(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.LeakyReLU(0.2)]


class _FeedForward(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__(
            *_activated(nn.Conv2d(width, width, 3, padding=2, dilation=2)),
            *_activated(nn.Conv2d(width, width, 3, padding=1)),
        )


def patch_attention(query: Tensor, key: Tensor, value: Tensor, patches: int) -> Tensor:
    """Attention between whole patches (publication: multi-scale transformer), all (B, C, H, W).

    A token is a patch of all C channels, so there are ``patches`` squared of them. Of one patch
    the softmax is 1, and the values come back.
    """
    if patches == 1:
        return value
    shape = query.shape
    query, key, value = (_to_tokens(planes, patches) for planes in (query, key, value))
    # Divided before the sums: those over a large patch leave the range of half precision.
    similarity = query / math.sqrt(query.shape[2]) @ key.transpose(1, 2)
    return _to_planes(similarity.softmax(2).to(value.dtype) @ value, shape, patches)


def _to_tokens(planes: Tensor, patches: int) -> Tensor:
    """(B, C, H, W) -> (B, patches squared, numbers of a patch)."""
    cut = planes.unflatten(3, (patches, -1)).unflatten(2, (patches, -1))
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def _to_planes(tokens: Tensor, shape: torch.Size, patches: int) -> Tensor:
    """The way back."""
    batch, channels, height, width = shape
    tall, wide = height // patches, width // patches
    cut = tokens.view(batch, patches, patches, channels, tall, wide)
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(shape)


class PatchAttention(nn.Module):
    """A quarter of the channels for each of the four sizes of patch, then a feed-forward part."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(width, width, 1) for _ in range(3))
        self.join = nn.Sequential(*_activated(nn.Conv2d(width, width, 3, padding=1)))
        self.feed_forward = _FeedForward(width)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W), H and W divisible by 8 -> the same shape."""
        parts = [
            part(maps).chunk(len(SCALES), dim=1) for part in (self.query, self.key, self.value)
        ]
        heads = [
            patch_attention(query, key, value, patches)
            for query, key, value, patches in zip(*parts, SCALES, strict=True)
        ]
        maps = maps + self.join(torch.cat(heads, dim=1))
        return maps + self.feed_forward(maps)


class FrequencyFilter(nn.Module):
    """Each coefficient of each channel's spectrum times a learnt complex number (publication:
    frequency filter)."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        # Real and imaginary parts apart: optimisers and files of weights know no complex numbers.
        self.weight = nn.Parameter(torch.randn(2, width, side, side // 2 + 1) * 0.02)
        self.feed_forward = _FeedForward(width)

    def filtered(self, maps: Tensor) -> Tensor:
        """(B, C, S, S) -> the same shape; in float32 at least, whatever the precision."""
        exact = maps if maps.dtype == torch.float64 else maps.float()
        real, imaginary = self.weight.to(exact.dtype)
        spectrum = torch.fft.rfft2(exact, norm="ortho") * torch.complex(real, imaginary)
        return torch.fft.irfft2(spectrum, s=maps.shape[2:], norm="ortho").to(maps.dtype)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, S, S) -> the same shape."""
        return maps + self.feed_forward(self.filtered(maps))


class Fusion(nn.Module):
    """Every position of the image's map asks all positions of the filtered one (publication:
    cross-modality fusion)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(width, width, 1) for _ in range(3))
        self.join = nn.Sequential(*_activated(nn.Conv2d(width, width, 1)))

    def forward(self, image: Tensor, frequency: Tensor) -> Tensor:
        """Two (B, C, H, W) -> the same shape.

        At 320 px there are 6400 positions, and a matrix of all pairs would take 164 MB an image
        in float32, kept for the gradient in each round. PyTorch's attention goes through it in
        blocks and keeps one number a row, so that memory grows with the positions only. It does
        so for channels in last place that lie together, and else falls back to the matrix.
        """
        query, key, value = (
            planes.flatten(2).transpose(1, 2).contiguous().unsqueeze(1)  # one head: (B, 1, HW, C)
            for planes in (self.query(image), self.key(frequency), self.value(frequency))
        )
        found = functional.scaled_dot_product_attention(query, key, value)
        return image + self.join(found.squeeze(1).transpose(1, 2).reshape_as(image))


class MaskDecoder(nn.Module):
    """The map after the rounds -> where the face was changed, at twice the map's size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(width // 2, 1)
        self.look = nn.Sequential(nn.Conv2d(width, hidden, 3, padding=1), nn.LeakyReLU(0.2))
        self.output = nn.Conv2d(hidden, 1, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) -> logits (B, 1, 2h, 2w)."""
        hidden = functional.interpolate(
            self.look(maps), scale_factor=2, mode="bilinear", align_corners=False
        )
        return self.output(hidden)


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy of masks, averaged over the pixels of the images whose mask is known;
    0 if none is.

    Args:
        logits: (B, 1, h, w).
        masks: (B, 1, H, W), the share of each pixel that was changed; averaged over areas to
            h x w. An image in whose mask any number is not finite has none.
    """
    known = masks.flatten(1).isfinite().all(1)
    height, width = logits.shape[2:]
    targets = functional.adaptive_avg_pool2d(masks.nan_to_num(0, 0, 0).float(), (height, width))
    entropy = functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    # Not picked out by index: the host would wait for the device to learn how many there are.
    return (entropy.mean((1, 2, 3)) * known).sum() / known.sum().clamp(min=1)
