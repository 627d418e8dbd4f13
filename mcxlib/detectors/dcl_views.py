"""DCL's two random views of a face, and the mask that follows the first of them."""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2

from mcxlib.detectors import augment
from mcxlib.detectors.together import applied, drawn, happens, resized, sampled, turned

RESIDUAL_SHARE, SHUFFLE_SHARE = 0.5, 0.75
"""The reference's shares of images with residuals, and of shuffled ones."""

_UNKNOWN = -1.0
"""Of a mask's pixel, while it is moved about: NaN would spread."""

# High-pass residuals of the Steganalysis Rich Model: second order, square 3 x 3, square 5 x 5
# (Fridrich and Kodovsky, 2012), each divided by its largest weight.
_ONE = torch.tensor([0.0, 1.0, -2.0, 1.0, 0.0])
_TWO = torch.tensor([[-1.0, 2.0, -1.0], [2.0, -4.0, 2.0], [-1.0, 2.0, -1.0]])
_THREE = torch.tensor(
    [
        [-1.0, 2.0, -2.0, 2.0, -1.0],
        [2.0, -6.0, 8.0, -6.0, 2.0],
        [-2.0, 8.0, -12.0, 8.0, -2.0],
        [2.0, -6.0, 8.0, -6.0, 2.0],
        [-1.0, 2.0, -2.0, 2.0, -1.0],
    ]
)


def srm_residual(images: Tensor) -> Tensor:
    """(..., 3, H, W) -> the same: one residual a plane, of the sum over the three colours."""
    kernels = torch.zeros(3, 5, 5)
    kernels[0, 2] = _ONE / 2
    kernels[1, 1:4, 1:4] = _TWO / 4
    kernels[2] = _THREE / 12
    grey = images.reshape(-1, *images.shape[-3:]).sum(1, keepdim=True)
    grey = functional.pad(grey, (2, 2, 2, 2), mode="reflect")
    return functional.conv2d(grey, kernels[:, None].to(images)).view(images.shape)


def shuffle_patches(image: Tensor, order: Tensor) -> Tensor:
    """(C, H, W) in 3 x 3 patches, counted row by row: patch i becomes patch ``order[i]``. What a
    side has beyond a multiple of 3 stays where it is."""
    height, width = image.shape[1] // 3, image.shape[2] // 3
    inner = image[:, : 3 * height, : 3 * width].unflatten(2, (3, width)).unflatten(1, (3, height))
    patches = inner.permute(1, 3, 0, 2, 4).flatten(0, 1)[order.to(image.device)]
    moved = patches.unflatten(0, (3, 3)).permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
    found = image.clone()
    found[:, : 3 * height, : 3 * width] = moved
    return found


class _Placed(NamedTuple):
    """What is random about a view's place."""

    angle: float | None
    """Degrees; None for an image that is not turned."""
    hole: tuple[int, int] | None
    """Upper left corner of the square that becomes black, if any."""
    box: tuple[int, int, int, int]
    """Top, left, height and width of what is scaled."""
    flipped: bool


class _Move:
    """The reference's changes of place: rotation up to 30 degrees of a mirrored border, cut-out of
    a square of 25 px of 299 in every tenth image, crop of at least half the area, each of some
    images; scaling to ``size``; flip."""

    def __init__(self, height: int, width: int, size: list[int]) -> None:
        self.given, self.size = (height, width), size
        self.border = int(0.2 * min(height, width))
        self.hole = round(min(height, width) * 25 / 299)
        self.turn = v2.RandomRotation(30)
        self.crop = v2.RandomResizedCrop(size, scale=(0.5, 1.0))

    def draw(self, image: Tensor) -> _Placed:
        """For an image (3, H, W)."""
        height, width = self.given
        angle = self.turn.make_params([image])["angle"] if happens(0.5) else None
        hole = None
        if happens(0.1):
            y, x = (int(torch.randint(0, side - self.hole + 1, ())) for side in self.given)
            hole = (y, x)
        box = (0, 0, height, width)
        if happens(0.5):
            found = self.crop.make_params([image])
            box = (found["top"], found["left"], found["height"], found["width"])
        return _Placed(angle, hole, box, happens(0.5))

    def views(self, images: Tensor, found: list[_Placed]) -> Tensor:
        """(N, 3, H, W), which are overwritten -> (N, 3, *size)."""
        images = self._turned(images, found, "bilinear")
        for image, own in zip(images, found, strict=True):
            if own.hole:
                y, x = own.hole
                image[:, y : y + self.hole, x : x + self.hole] = 0
        views = resized(images, [own.box for own in found], self.size)
        flipped = [index for index, own in enumerate(found) if own.flipped]
        views[flipped] = views[flipped].flip(3)
        return views

    def masks(self, masks: Tensor, found: list[_Placed]) -> Tensor:
        """(N, 1, H, W), which are overwritten -> (N, 1, *size): each pixel one that was there. The
        cut-out changes no mask."""
        masks = self._turned(masks, found, "nearest")
        moved = []
        for mask, own in zip(masks, found, strict=True):
            top, left, height, width = own.box
            inside = mask[None, :, top : top + height, left : left + width]
            one = functional.interpolate(inside, self.size, mode="nearest")[0]
            moved.append(one.flip(2) if own.flipped else one)
        return torch.stack(moved)

    def _turned(self, planes: Tensor, found: list[_Placed], mode: str) -> Tensor:
        angles = [own.angle for own in found if own.angle is not None]
        if angles:
            chosen = [index for index, own in enumerate(found) if own.angle is not None]
            mirrored = functional.pad(planes[chosen], [self.border] * 4, mode="reflect")
            places = planes.new_tensor([turned(-angle) for angle in angles])
            planes[chosen] = sampled(mirrored, places, self.given, mode)
        return planes


def _recolour() -> nn.Module:
    """The reference's changes of colour."""
    return v2.Compose(
        [
            v2.RandomGrayscale(p=0.1),
            v2.RandomApply([augment.noise()], p=0.1),
            v2.RandomApply([augment.one_colour()], p=0.7),
            v2.RandomApply([augment.blur()], p=0.05),
        ]
    )


def check_masks(masks: Tensor, images: Tensor) -> None:
    """Refuse what is no mask of each image; values are looked at on the CPU only.

    Raises:
        ValueError: a wrong shape or dtype, or values outside [0, 1].
    """
    if masks.ndim != 4 or masks.shape[:2] != (len(images), 1) or not masks.is_floating_point():
        raise ValueError(
            f"dcl: masks must be floating point of shape ({len(images)}, 1, h, w), not "
            f"{masks.dtype} of {tuple(masks.shape)}; give NaN where a mask is unknown"
        )
    if masks.device.type == "cpu" and bool(((masks < 0) | (masks > 1)).any()):
        raise ValueError("dcl: masks must lie in [0, 1], 1 for forged, or be NaN for unknown")


@torch.no_grad()
def two_views(
    images: Tensor,
    masks: Tensor,
    size: list[int],
    residual_share: float = RESIDUAL_SHARE,
    shuffle_share: float = SHUFFLE_SHARE,
) -> tuple[Tensor, Tensor, Tensor]:
    """Two views of each image, and the masks of the first ones.

    Some images get their noise residual added, in both views. The first view of some is shuffled
    in 3 x 3 patches, and its mask in the same way. What is random is drawn image by image, and
    computed for all of them at once.

    Args:
        images: (B, 3, H, W) in [0, 1].
        masks: (B, 1, h, w), NaN where unknown.
        size: height and width of a view.
        residual_share, shuffle_share: of the images, each drawn by itself.

    Returns:
        (B, 3, S, S) twice, with residuals no longer within [0, 1], and (B, 1, S, S).
    """
    with torch.autocast(images.device.type, enabled=False):
        return _pairs(
            images.detach().float(), masks.to(images.device), size, residual_share, shuffle_share
        )


def _pairs(
    images: Tensor, masks: Tensor, size: list[int], residual_share: float, shuffle_share: float
) -> tuple[Tensor, Tensor, Tensor]:
    height, width = images.shape[2:]
    move, recolour = _Move(height, width, size), _recolour()
    view = images.new_empty(3, *size)
    places: list[tuple[_Placed, _Placed]] = []
    colours: list[tuple[Any, Any]] = []
    noisy, orders = [], []
    for image in images:
        places.append((move.draw(image), move.draw(image)))
        colours.append((drawn(recolour, view), drawn(recolour, view)))
        noisy.append(happens(residual_share))
        orders.append(torch.randperm(9) if happens(shuffle_share) else None)
    # Both views of all images as one batch, the second ones behind the first.
    placed, coloured = ([*chain(*zip(*both, strict=True))] for both in (places, colours))
    views = applied(recolour, move.views(images.repeat(2, 1, 1, 1), placed), coloured)
    known = masks.float().nan_to_num(_UNKNOWN)
    known = functional.interpolate(known, (height, width), mode="nearest-exact")
    moved = move.masks(known, placed[: len(images)])
    with_noise = [index for index, added in enumerate(noisy * 2) if added]
    views[with_noise] += srm_residual(views[with_noise])
    first, second = views.split(len(images))
    for image, mask, order in zip(first, moved, orders, strict=True):
        if order is not None:
            image.copy_(shuffle_patches(image, order))
            mask.copy_(shuffle_patches(mask, order))
    return first, second, moved.masked_fill(moved < 0, torch.nan)
