"""Random changes of faces: drawn for each face by itself, computed for all that drew them at once.

A pipeline of torchvision, called with one image after the other, computes mostly on tensors so
small that calling costs more than computing. :func:`drawn` draws what such a pipeline would draw
for one image, from the same generator in the same order; :func:`applied` computes the steps. For
images in torch's own layout the result is the pipeline's, up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as one_by_one

_GREY = (0.2989, 0.587, 0.114)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)


class Change(nn.Module):
    """A random change in two parts. As a module it changes one image (3, H, W)."""

    def draw(self, image: Tensor) -> Any:
        """What is random about the change of an image of this size."""
        raise NotImplementedError

    def together(self, images: Tensor, found: list[Any]) -> Tensor:
        """(N, 3, H, W) in [0, 1], and what was drawn for each."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        return self.together(image[None], [self.draw(image)])[0]


def happens(share: float) -> bool:
    """Drawn as torchvision draws it, and compared as a number, not as a tensor."""
    return torch.rand(1).item() < share


def drawn(change: nn.Module, image: Tensor) -> Any:
    """What ``change`` would draw for an image (3, H, W), of which only the size counts.

    Raises:
        TypeError: a change that is not known here.
    """
    match change:
        case Change():
            return change.draw(image)
        case nn.Identity():
            return None
        case v2.Compose():
            return [drawn(step, image) for step in change.transforms]
        case v2.RandomApply():
            steps = change.transforms
            return [drawn(step, image) for step in steps] if happens(change.p) else None
        case v2.RandomChoice():
            # A race of exponential numbers, as in torch.multinomial, without its many checks.
            race = torch.empty(len(change.p)).exponential_()
            which = int(torch.tensor(change.p).div_(race).argmax())
            return which, drawn(change.transforms[which], image)
        case v2.RandomHorizontalFlip() | v2.RandomGrayscale():
            return happens(change.p) or None
        case v2.GaussianNoise():
            return torch.randn_like(image)
        case v2.RandomResizedCrop() | v2.RandomAffine() | v2.ColorJitter() | v2.GaussianBlur():
            return change.make_params([image])
    raise TypeError(f"no way is known to apply {type(change).__name__} to several images at once")


def applied(change: nn.Module, images: Tensor, found: list[Any]) -> Tensor:
    """``images`` (N, 3, H, W) in [0, 1], each changed as drawn; they may be overwritten.

    A change of size has to come first: all images of a batch have one.
    """
    match change:
        case Change():
            return change.together(images, found)
        case v2.Compose():
            for step, own in zip(change.transforms, zip(*found, strict=True), strict=True):
                images = applied(step, images, list(own))
            return images
        case v2.RandomApply():
            return _where_drawn(images, found, v2.Compose(change.transforms))
        case v2.RandomChoice():
            for which, option in enumerate(change.transforms):
                of_this = [(own,) if index == which else None for index, own in found]
                images = _where_drawn(images, of_this, v2.Compose([option]))
            return images
        case v2.RandomHorizontalFlip() | v2.RandomGrayscale():
            return _where_drawn(images, found, _Fixed(change))
        case v2.RandomResizedCrop():
            boxes = [[own[name] for name in ("top", "left", "height", "width")] for own in found]
            return resized(images, boxes, change.size)
    return _applied_in_place(change, images, found)


def _applied_in_place(change: nn.Module, images: Tensor, found: list[Any]) -> Tensor:
    match change:
        case v2.GaussianNoise():
            return images.add_(torch.stack(found), alpha=change.sigma).clamp_(0, 1)
        case v2.GaussianBlur():  # of few images
            blurred = [
                one_by_one.gaussian_blur(image, change.kernel_size, **own)
                for image, own in zip(images, found, strict=True)
            ]
            return torch.stack(blurred)
        case v2.RandomAffine():
            return _moved(images, found)
        case v2.ColorJitter():
            return _recoloured(images, found)
    return images


class _Fixed(Change):
    """What is left of a change when it is known which images it is for."""

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    def together(self, images: Tensor, found: list[Any]) -> Tensor:
        if isinstance(self.change, v2.RandomGrayscale):
            return grey(images).expand_as(images)
        return images.flip(3)


def _where_drawn(images: Tensor, found: list[Any], change: nn.Module) -> Tensor:
    """Apply ``change`` to those images for which something was drawn."""
    chosen = [index for index, own in enumerate(found) if own is not None]
    if chosen:
        at = torch.tensor(chosen, device=images.device)
        own = applied(change, images.index_select(0, at), [found[index] for index in chosen])
        images.index_copy_(0, at, own.contiguous())
    return images


def grey(images: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 1, H, W), torchvision's weights of red, green and blue."""
    red, green, blue = images.split(1, dim=1)
    return (red * _GREY[0]).add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2])


# -- places -----------------------------------------------------------------------------------


def resized(images: Tensor, boxes: Sequence[Sequence[int]], size: Sequence[int]) -> Tensor:
    """A box (top, left, height, width) of each image at one size (height, width), bilinear and
    antialiased: a matrix for the rows and one for the columns."""
    top, left, height, width = torch.tensor(boxes, device=images.device).T.to(images.dtype)
    rows = _shares(top, height, images.shape[2], size[0])
    columns = _shares(left, width, images.shape[3], size[1])
    batch, channels, tall, wide = images.shape
    narrow = images.reshape(batch, channels * tall, wide) @ columns.transpose(1, 2)
    return rows[:, None] @ narrow.view(batch, channels, tall, size[1])


def _shares(start: Tensor, length: Tensor, given: int, wanted: int) -> Tensor:
    """(N, wanted, given): the share of each given pixel in each wanted one, where ``length``
    pixels from ``start`` on are scaled."""
    scale = (length / wanted)[:, None]
    centre = start[:, None] + scale * (torch.arange(wanted, device=start.device) + 0.5)
    at = torch.arange(given, device=start.device) + 0.5
    shares = (at - centre[..., None]).abs_().div_(scale.clamp(min=1)[..., None])
    shares = (1 - shares).clamp_(min=0)
    shares *= ((at > start[:, None]) & (at < (start + length)[:, None]))[:, None]
    return shares.div_(shares.sum(2, keepdim=True))


def sampled(planes: Tensor, places: Tensor, size: Sequence[int], mode: str = "bilinear") -> Tensor:
    """(N, C, H, W) at other places, black outside: (N, C, *size).

    Args:
        planes: floating point.
        places: (N, 2, 3), maps (x, y, 1) of a wanted pixel to x and y of a given one, both counted
            from the middle of the image.
        size: height and width that are wanted.
        mode: of ``grid_sample``.
    """
    y, x = (torch.arange(n, device=planes.device) - (n - 1) / 2 for n in size)
    wanted = torch.stack([*torch.meshgrid(x, y, indexing="xy"), x.new_ones(*size)], dim=2)
    half = planes.new_tensor([planes.shape[3] / 2, planes.shape[2] / 2])
    grid = wanted.to(planes.dtype).flatten(0, 1) @ (places / half[:, None]).transpose(1, 2)
    return functional.grid_sample(
        planes, grid.unflatten(1, tuple(size)), mode=mode, align_corners=False
    )


def turned(
    angle: float, scale: float = 1.0, shift: Sequence[float] = (0.0, 0.0)
) -> list[list[float]]:
    """Where a pixel comes from when an image is turned by ``angle`` degrees, clockwise as it is
    seen, scaled, and then shifted by (x, y) pixels: a row for x and one for y."""
    cosine = math.cos(math.radians(angle)) / scale
    sine = math.sin(math.radians(angle)) / scale
    return [[x, y, -x * shift[0] - y * shift[1]] for x, y in ((cosine, sine), (-sine, cosine))]


def _moved(images: Tensor, found: list[Any]) -> Tensor:
    places = [turned(own["angle"], own["scale"], own["translate"]) for own in found]
    # As torchvision fills: a border pixel's share counts twice.
    planes = torch.cat([images, torch.ones_like(images[:, :1])], dim=1)
    planes = sampled(planes, images.new_tensor(places), images.shape[2:])
    return planes[:, :3] * planes[:, 3:]


# -- colours ----------------------------------------------------------------------------------


def _recoloured(images: Tensor, found: list[Any]) -> Tensor:
    """Brightness, contrast, saturation and hue, in each image's own order."""
    names = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")
    steps = [
        [
            (kind, own[names[kind]])
            for kind in own["fn_idx"].tolist()
            if own[names[kind]] is not None
        ]
        for own in found
    ]
    for number in range(max(map(len, steps))):
        now = [own[number] if number < len(own) else None for own in steps]
        for is_hue in (False, True):
            own = [s if s is not None and (s[0] == _HUE) == is_hue else None for s in now]
            images = _where_drawn(images, own, _Hue() if is_hue else _Blend())
    return images


class _Blend(Change):
    """Between an image and black, its mean grey or its grey planes; beyond it at factors above
    1."""

    def together(self, images: Tensor, found: list[Any]) -> Tensor:
        planes = grey(images)
        kinds, factors = zip(*found, strict=True)
        other = planes * planes.new_tensor([k == _SATURATION for k in kinds]).view(-1, 1, 1, 1)
        other += planes.mean((1, 2, 3), keepdim=True) * planes.new_tensor(
            [k == _CONTRAST for k in kinds]
        ).view(-1, 1, 1, 1)
        factor = planes.new_tensor(factors).view(-1, 1, 1, 1)
        return images.mul_(factor).add_(other.mul_(1 - factor)).clamp_(0, 1)


class _Hue(Change):
    """Hue, in turns; of three colours one stays the largest by as much."""

    def together(self, images: Tensor, found: list[Any]) -> Tensor:
        shift = images.new_tensor([6 * factor for _, factor in found]).view(-1, 1, 1)
        red, green, blue = images.unbind(1)
        high = torch.maximum(red, green).clamp_(min=blue)
        spread = high - torch.minimum(red, green).clamp_(max=blue)
        # Sixths of a turn from red; without any spread it does not matter.
        hue = torch.where(
            high == red,
            green - blue,
            torch.where(high == green, blue - red, red - green),
        ).div_(torch.where(spread == 0, 1, spread))
        hue += torch.where(high == red, 0.0, torch.where(high == green, 2.0, 4.0)) + shift
        # Each colour is largest at its own hue, and smallest from two sixths of a turn away on.
        away = (hue[:, None] + hue.new_tensor([5.0, 3.0, 1.0]).view(3, 1, 1)).remainder_(6)
        share = torch.minimum(away, 4 - away).clamp_(0, 1)
        return torch.addcmul(high[:, None], share, spread[:, None], value=-1)
