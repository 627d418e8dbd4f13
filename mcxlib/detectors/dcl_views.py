"""DCL's two random views of a face, and the mask that follows the first of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.transforms import v2

from mcxlib.detectors import augment

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


def srm_residual(image: Tensor) -> Tensor:
    """(3, H, W) -> (3, H, W): one residual a plane, of the sum over the three colours."""
    kernels = torch.zeros(3, 5, 5)
    kernels[0, 2] = _ONE / 2
    kernels[1, 1:4, 1:4] = _TWO / 4
    kernels[2] = _THREE / 12
    grey = functional.pad(image.sum(0, keepdim=True)[None], (2, 2, 2, 2), mode="reflect")
    return functional.conv2d(grey, kernels[:, None].to(image))[0]


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


class _CutOut(nn.Module):
    """Blackens a square of 25 px of 299 in every tenth image; a mask stays as it is."""

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if torch.rand(()) < 0.1:
            height, width = image.shape[1:]
            side = round(min(height, width) * 25 / 299)
            y = int(torch.randint(0, height - side + 1, ()))
            x = int(torch.randint(0, width - side + 1, ()))
            image = tv_tensors.wrap(image.clone(), like=image)
            image[:, y : y + side, x : x + side] = 0
        return image, mask


def _move(height: int, width: int, size: list[int]) -> nn.Module:
    """The reference's changes of place: rotation up to 30 degrees of a mirrored border, cut-out,
    crop of at least half the area, each of some images; flip; scaling to ``size``."""
    border = int(0.2 * min(height, width))
    turn = v2.Compose(
        [
            v2.Pad(border, padding_mode="reflect"),
            v2.RandomRotation(30, interpolation=v2.InterpolationMode.BILINEAR),
            v2.CenterCrop([height, width]),
        ]
    )
    return v2.Compose(
        [
            v2.RandomApply([turn], p=0.5),
            _CutOut(),
            v2.RandomApply([v2.RandomResizedCrop(size, scale=(0.5, 1.0))], p=0.5),
            v2.Resize(size),
            v2.RandomHorizontalFlip(0.5),
        ]
    )


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
    in 3 x 3 patches, and its mask in the same way.

    Args:
        images: (B, 3, H, W) in [0, 1].
        masks: (B, 1, h, w), NaN where unknown.
        size: height and width of a view.
        residual_share, shuffle_share: of the images, each drawn by itself.

    Returns:
        (B, 3, S, S) twice, with residuals no longer within [0, 1], and (B, 1, S, S).
    """
    with torch.autocast(images.device.type, enabled=False):
        found = [
            _pair(image, mask, size, residual_share, shuffle_share)
            for image, mask in zip(images.detach().float(), masks.to(images.device), strict=True)
        ]
    first, second, moved = (torch.stack(parts) for parts in zip(*found, strict=True))
    return first, second, moved


def _pair(
    image: Tensor, mask: Tensor, size: list[int], residual_share: float, shuffle_share: float
) -> tuple[Tensor, Tensor, Tensor]:
    height, width = image.shape[1:]
    known = mask.float().nan_to_num(_UNKNOWN)[None]
    known = functional.interpolate(known, (height, width), mode="nearest-exact")[0]
    move, recolour = _move(height, width, size), _recolour()
    views = [move(tv_tensors.Image(image), tv_tensors.Mask(known)) for _ in range(2)]
    (first, moved), (second, _) = [(recolour(v).as_subclass(Tensor), m) for v, m in views]
    if torch.rand(()) < residual_share:
        first, second = first + srm_residual(first), second + srm_residual(second)
    order = torch.randperm(9) if torch.rand(()) < shuffle_share else torch.arange(9)
    both = shuffle_patches(torch.cat([first, moved.as_subclass(Tensor)]), order)
    return both[:3], second, both[3:].masked_fill(both[3:] < 0, torch.nan)
