"""Random changes of a single face that several publications train with.

Each takes a (3, H, W) image in [0, 1] and draws from torch's global generator, so that a step that
is seeded is the same twice. They stand for changes of the albumentations package that the
references use; ranges are that package's defaults where a reference names none.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

_BYTE = 255.0


class Jpeg(nn.Module):
    """Compression by JPEG at a quality drawn between two, both included; on the CPU."""

    def __init__(self, lowest: int, highest: int) -> None:
        super().__init__()
        self.lowest, self.highest = lowest, highest

    def forward(self, image: Tensor) -> Tensor:
        quality = int(torch.randint(self.lowest, self.highest + 1, ()))
        pixels = (image.clamp(0, 1) * _BYTE).round().to(device="cpu", dtype=torch.uint8)
        backwards = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()[..., ::-1])
        _, code = cv2.imencode(".jpg", backwards, [cv2.IMWRITE_JPEG_QUALITY, quality])
        found = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))[..., ::-1].copy()
        return torch.from_numpy(found).permute(2, 0, 1).to(image.device, image.dtype) / _BYTE


class Lighting(nn.Module):
    """A shift along the principal components of the image's own colours: of each, its variance
    times a number drawn with the given standard deviation (Krizhevsky et al., 2012)."""

    def __init__(self, deviation: float = 0.1) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, image: Tensor) -> Tensor:
        # On the host: three by three numbers are not worth a device's solver.
        variance, components = torch.linalg.eigh(torch.cov(image.flatten(1)).cpu())
        shift = components @ (variance * torch.randn(3) * self.deviation)
        return (image + shift.to(image)[:, None, None]).clamp(0, 1)


def noise() -> nn.Module:
    """Gaussian noise of about five grey values."""
    return v2.GaussianNoise(sigma=5 / _BYTE)


def blur() -> nn.Module:
    """Gaussian blur over three pixels."""
    return v2.GaussianBlur(3, sigma=(0.1, 0.8))


def one_colour() -> nn.Module:
    """One of: brightness and contrast, lighting, hue with saturation and brightness."""
    return v2.RandomChoice(
        [
            v2.ColorJitter(brightness=0.2, contrast=0.2),
            Lighting(),
            v2.ColorJitter(hue=20 / 180, saturation=30 / _BYTE, brightness=20 / _BYTE),
        ]
    )
