"""What MaDD is trained by: centres of regions, and blurring where a map looks."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.functional import gaussian_blur

from mcxlib.detectors.madd_parts import enlarged, exact


def moved_centres(centres: Tensor, regions: Tensor, real: Tensor, rate: float) -> Tensor:
    """Centres (M, C) moved towards the regions (B, M, C) of the real faces (B,), by the share
    ``rate`` of the sum of their differences over the batch's size."""
    return centres + rate * ((regions - centres) * real.view(-1, 1, 1)).mean(0)


def independence(
    centres: Tensor, regions: Tensor, real: Tensor, margins: tuple[float, float, float]
) -> tuple[Tensor, Tensor]:
    """Regional independence loss (publication).

    Args:
        centres: (M, C), as :func:`moved_centres` gives them.
        regions: (B, M, C).
        real: (B,), boolean.
        margins: that real faces keep within, fakes keep out of, and centres keep between them.

    Returns:
        The part within images, averaged over them, and the part between centres, a sum over pairs
        divided by M.
    """
    within, beyond, between = margins
    distance = torch.linalg.vector_norm(regions - centres, dim=(1, 2))
    inner = torch.where(real, distance - within, beyond - distance).relu().mean()
    outer = centres.new_zeros(())
    for one, other in combinations(centres, 2):
        outer = outer + (between - torch.linalg.vector_norm(one - other)).relu()
    return inner, outer / len(centres)


@torch.no_grad()
def blurred_away(
    images: Tensor,
    attention: Tensor,
    *,
    scale: float,
    kernel: int,
    sigma: float,
    noise: float,
    threshold: tuple[float, float],
    steepness: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """Attention-guided augmentation (publication).

    One map of each image is drawn, oftener if it weighs more, and where it is high the image is
    replaced by a blurred, noisy one.

    Args:
        images: (B, 3, H, W) in [0, 1].
        attention: (B, M, h, w), not negative.
        scale: that the image is shrunk by before it is blurred.
        kernel, sigma: side, odd, and deviation of the Gaussian, in pixels of the shrunk image.
        noise: deviation of what is added to the blurred image.
        threshold, steepness: of :func:`blend`, drawn from these bounds once for all images.

    Returns:
        Images of the same shape and range, and the numbers (B,) of the maps drawn.
    """
    planes, attention = exact(images), exact(attention)
    with torch.autocast(images.device.type, enabled=False):
        drawn = torch.multinomial((attention.sum((2, 3)) + 1).sqrt(), 1)[:, 0]
        chosen = attention[torch.arange(len(drawn), device=drawn.device), drawn].unsqueeze(1)
        chosen = enlarged(chosen, images.shape[2:])
        chosen = chosen / (chosen.amax((2, 3), keepdim=True) + 1e-8)
        size = [max(int(side * scale), 1) for side in images.shape[2:]]
        small = functional.interpolate(planes, size, mode="bilinear", align_corners=True)
        kernel = min(kernel, 2 * min(size) - 1)  # no wider than an image and its mirror image
        small = gaussian_blur(small, [kernel, kernel], [sigma, sigma])
        small = small + noise * torch.randn_like(small)
        share = blend(chosen, _uniform(threshold, planes), _uniform(steepness, planes))
        mixed = torch.lerp(planes, enlarged(small, images.shape[2:]), share).clamp(0, 1)
    return mixed.to(images.dtype), drawn


def blend(attention: Tensor, threshold: Tensor, steepness: Tensor) -> Tensor:
    """Attention in [0, 1] -> how far its place is replaced: a logistic curve that starts at 0."""
    start = torch.sigmoid(-threshold * steepness)
    return (torch.sigmoid((attention - threshold) * steepness) - start) / (1 - start)


def _uniform(bounds: tuple[float, float], like: Tensor) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand((), device=like.device, dtype=like.dtype)
