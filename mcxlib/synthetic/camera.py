"""What a camera does to a picture: colour cast, tone curve, blur, noise, vignette."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class CameraStyle:
    """Ranges from which each video of a data set draws its camera."""

    cast: float = 0.04  # standard deviation of the colour channels' gains
    warmth: float = 0.0  # added to red, taken from blue
    gamma: tuple[float, float] = (0.95, 1.1)
    blur: tuple[float, float] = (0.35, 0.6)  # pixels of a frame 240 high
    noise: tuple[float, float] = (0.006, 0.014)
    saturation: tuple[float, float] = (0.9, 1.1)
    vignette: tuple[float, float] = (0.0, 0.2)
    background: str = "rooms"  # "rooms", "bokeh", "plain" or "outdoor"


@dataclass(frozen=True)
class Camera:
    """One video's camera; ``apply`` makes 8-bit frames."""

    gains: np.ndarray
    gamma: float
    blur: float
    noise: float
    saturation: float
    vignette: np.ndarray
    grain: np.ndarray

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Float RGB (h, w, 3) about [0, 1] -> uint8 RGB; ``rng`` moves the grain."""
        image = image * (self.gains * self.vignette[..., None])
        if self.blur > 0.2:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        grey = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY)
        image = grey[..., None] + self.saturation * (image - grey[..., None])
        # Highlights roll off instead of clipping.
        image = np.clip(image, 0, 1.6)
        image = np.where(image > 0.8, 0.8 + 0.2 * np.tanh((image - 0.8) / 0.2), image)
        image = cv2.pow(image.astype(np.float32), self.gamma)
        h, w = grey.shape
        dy, dx = int(rng.integers(0, h)), int(rng.integers(0, w))
        image += self.noise * self.grain[dy : dy + h, dx : dx + w]
        return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


def draw_camera(style: CameraStyle, rng: np.random.Generator, width: int, height: int) -> Camera:
    gains = 1 + rng.normal(0, style.cast, 3) + np.array([style.warmth, 0, -style.warmth])
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    vignette = 1 - rng.uniform(*style.vignette) * (x * x + y * y) / 2
    grain = rng.standard_normal((2 * height, 2 * width, 1)).astype(np.float32)
    grain = 0.8 * grain + 0.4 * rng.standard_normal((2 * height, 2 * width, 3)).astype(np.float32)
    return Camera(
        gains=gains.astype(np.float32),
        gamma=float(rng.uniform(*style.gamma)),
        blur=float(rng.uniform(*style.blur)) * height / 240,
        noise=float(rng.uniform(*style.noise)),
        saturation=float(rng.uniform(*style.saturation)),
        vignette=vignette.astype(np.float32),
        grain=grain,
    )
