"""Bringing faces to the size that a network was published for."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def scale(images: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, C, side, side), bilinear and antialiased; 0 leaves images as they are."""
    if not side or tuple(images.shape[2:]) == (side, side):
        return images
    return functional.interpolate(
        images, (side, side), mode="bilinear", align_corners=False, antialias=True
    )


def centre(images: Tensor, size: int, name: str) -> Tensor:
    """The middle ``size`` x ``size`` pixels of (B, C, H, W); 0 leaves images as they are. Of an
    odd rest, the left and upper side give the smaller half.

    Raises:
        ValueError: images smaller than that, in the name of the detector ``name``.
    """
    if not size:
        return images
    height, width = images.shape[2:]
    if min(height, width) < size:
        raise ValueError(
            f"{name}: no central {size} x {size} pixels in faces of {height} x {width}; set a "
            "larger side, or a smaller crop (0 for none)"
        )
    top, left = (height - size) // 2, (width - size) // 2
    return images[:, :, top : top + size, left : left + size]
