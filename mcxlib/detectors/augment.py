"""Random changes of a single face that several publications train with.

Each takes a (3, H, W) image in [0, 1] and draws from torch's global generator, so that a step that
is seeded is the same twice; :mod:`mcxlib.detectors.together` applies them to many images at once.
They stand for changes of the albumentations package that the references use; ranges are that
package's defaults where a reference names none.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from mcxlib.detectors.together import Change

_BYTE = 255.0


class Jpeg(Change):
    """Compression by JPEG at a quality drawn between two, both included; on the CPU."""

    def __init__(self, lowest: int, highest: int) -> None:
        super().__init__()
        self.lowest, self.highest = lowest, highest

    def draw(self, image: Tensor) -> int:
        return int(torch.randint(self.lowest, self.highest + 1, ()))

    def together(self, images: Tensor, found: list[int]) -> Tensor:
        bytes_ = (images.clamp(0, 1) * _BYTE).round().to(device="cpu", dtype=torch.uint8)
        backwards = np.ascontiguousarray(bytes_.permute(0, 2, 3, 1).numpy()[..., ::-1])
        decoded = [_compressed(one, quality) for one, quality in zip(backwards, found, strict=True)]
        again = torch.from_numpy(np.stack(decoded)[..., ::-1].copy()).permute(0, 3, 1, 2)
        return again.to(images.device, images.dtype) / _BYTE


def _compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    _, code = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))


class Lighting(Change):
    """A shift along the principal components of the image's own colours: of each, its variance
    times a number drawn with the given standard deviation (Krizhevsky et al., 2012)."""

    def __init__(self, deviation: float = 0.1) -> None:
        super().__init__()
        self.deviation = deviation

    def draw(self, image: Tensor) -> Tensor:
        return torch.randn(3)

    def together(self, images: Tensor, found: list[Tensor]) -> Tensor:
        colours = images.flatten(2)
        colours = colours - colours.mean(2, keepdim=True)
        covariance = colours @ colours.transpose(1, 2) / (colours.shape[2] - 1)
        # On the host: three by three numbers are not worth a device's solver.
        variance, components = torch.linalg.eigh(covariance.cpu())
        amount = variance * torch.stack(found).to(variance) * self.deviation
        shift = (components @ amount[..., None]).to(images)
        return (images + shift[..., None]).clamp_(0, 1)


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
