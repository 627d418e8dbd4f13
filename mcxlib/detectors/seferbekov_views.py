"""How Seferbekov's detector brings faces to one size, and what it changes in training."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2

from mcxlib.detectors import augment
from mcxlib.detectors.together import Change, applied, drawn

Resizing = tuple[Literal["area", "bilinear"], Literal["bicubic", "bilinear"]]
"""Downwards and upwards."""
SCORING: Resizing = ("area", "bicubic")
TRAINING: tuple[Resizing, ...] = (SCORING, ("area", "bilinear"), ("bilinear", "bilinear"))


def _area(given: int, wanted: int) -> Tensor:
    """(wanted, given): the share of each given pixel in each wanted one."""
    edges = torch.arange(wanted + 1, dtype=torch.float64) * given / wanted
    at = torch.arange(given, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], at + 1) - torch.maximum(edges[:-1, None], at)
    return overlap.clamp(min=0) * wanted / given


def to_square(images: Tensor, side: int, resizing: Resizing = SCORING) -> Tensor:
    """Scale until the longer side has ``side`` pixels, and put black around to a square.

    As OpenCV does it (INTER_AREA, INTER_CUBIC, INTER_LINEAR). Of an odd number of missing pixels
    the smaller half goes left or above.

    Args:
        images: (..., C, H, W) in [0, 1].
        side: 0 leaves images as they are.
        resizing: for larger and for smaller images.

    Returns:
        (..., C, side, side).
    """
    if not side:
        return images
    longest = max(images.shape[-2:])
    height, width = (max(1, n * side // longest) for n in images.shape[-2:])
    down, up = resizing
    if longest > side and down == "area":
        with torch.autocast(images.device.type, enabled=False):
            rows, columns = (
                _area(n, m).to(images)
                for n, m in zip(images.shape[-2:], (height, width), strict=True)
            )
            images = rows @ images @ columns.T
    elif longest != side:
        mode = down if longest > side else up
        batch = images if images.ndim == 4 else images[None]
        batch = functional.interpolate(batch, (height, width), mode=mode, align_corners=False)
        # Cubic curves swing beyond black and white.
        images = batch.view(*images.shape[:-2], height, width).clamp(0, 1)
    top, left = (side - height) // 2, (side - width) // 2
    around = (left, side - width - left, top, side - height - top)
    return functional.pad(images, around) if any(around) else images


class _BlackOut(Change):
    """:func:`black_out` of one of the four parts."""

    def draw(self, image: Tensor) -> int:
        return int(torch.randint(4, ()))

    def together(self, images: Tensor, found: list[int]) -> Tensor:
        return torch.stack([black_out(*one) for one in zip(images, found, strict=True)])


def black_out(image: Tensor, part: int | None = None) -> Tensor:
    """(C, H, W) with its left or right half black, or two of its quarters that touch in a corner:
    ``part`` 0 to 3, drawn if it is not given.

    The reference's upper and lower halves are not among them: what is left of a fake whose mouth
    alone was altered may be real, and without masks nothing tells.
    """
    height, width = image.shape[1] // 2, image.shape[2] // 2
    left, right = slice(None, width), slice(width, None)
    part = int(torch.randint(4, ())) if part is None else part
    above, below = [(left, left), (right, right), (left, right), (right, left)][part]
    kept = torch.ones_like(image[:1])
    kept[:, :height, above] = 0
    kept[:, height:, below] = 0
    return image * kept


@torch.no_grad()
def changed(images: Tensor, side: int, blackout: float) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> (B, 3, S, S) in [0, 1], each changed at random.

    Args:
        images: of any size.
        side: of the result; 0 for the images' own.
        blackout: how often a part of an image becomes black.
    """
    before = v2.Compose(
        [
            v2.RandomApply([_BlackOut()], p=blackout),
            v2.RandomApply([augment.Jpeg(60, 100)], p=0.5),
            v2.RandomApply([augment.noise()], p=0.1),
            v2.RandomApply([augment.blur()], p=0.05),
            v2.RandomHorizontalFlip(0.5),
        ]
    )
    after = v2.Compose(
        [
            v2.RandomApply([augment.one_colour()], p=0.7),
            v2.RandomGrayscale(p=0.2),
            v2.RandomApply([_affine()], p=0.5),
        ]
    )

    def draw(image: Tensor) -> tuple[int, Any, Any]:
        resizing = int(torch.randint(len(TRAINING), ()))
        square = image.new_empty(len(image), side, side) if side else image
        return resizing, drawn(before, image), drawn(after, square)

    with torch.autocast(images.device.type, enabled=False):
        images = images.detach().float()
        resizings, *parts = zip(*[draw(image) for image in images], strict=True)
        images = images.clone(memory_format=torch.contiguous_format)
        images = applied(before, images, list(parts[0]))
        return applied(after, _to_squares(images, side, resizings), list(parts[1]))


def _to_squares(images: Tensor, side: int, resizings: tuple[int, ...]) -> Tensor:
    """Each image by its own of the ways of ``TRAINING``."""
    if not side:
        return images
    squares = images.new_empty(*images.shape[:2], side, side)
    for number, resizing in enumerate(TRAINING):
        chosen = [index for index, own in enumerate(resizings) if own == number]
        if chosen:
            squares[chosen] = to_square(images[chosen], side, resizing)
    return squares


def _affine() -> nn.Module:
    """Moved by up to a tenth, scaled by up to a fifth, turned by up to 10 degrees; black around."""
    return v2.RandomAffine(
        10,
        translate=(0.1, 0.1),
        scale=(0.8, 1.2),
        interpolation=v2.InterpolationMode.BILINEAR,
    )
