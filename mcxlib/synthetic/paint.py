"""Small drawing helpers on float images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

EXTENT = 1.25
"""The canonical square shows head coordinates from -EXTENT to EXTENT in x and y."""


def grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Head coordinates (x, y) of the pixel centres of the canonical square, each (n, n)."""
    axis = ((np.arange(n) + 0.5) / n * 2 - 1) * EXTENT
    x, y = np.meshgrid(axis, axis)
    return x.astype(np.float32), y.astype(np.float32)


def to_pixels(v: np.ndarray, n: int) -> np.ndarray:
    """Head coordinates -> canonical pixel coordinates, float32, for cv2.remap."""
    return ((v / EXTENT + 1) * (n / 2) - 0.5).astype(np.float32)


def smoothstep(low: float, high: float, v: np.ndarray) -> np.ndarray:
    t = np.clip((v - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def blob(x: np.ndarray, y: np.ndarray, cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
    """A Gaussian bump of height 1."""
    return np.exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2)


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Smooth noise of unit variance, (h, w) float32, about cells[0] x cells[1] bumps."""
    coarse = rng.standard_normal(cells).astype(np.float32)
    out = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return out / max(float(out.std()), 1e-6)


def mix(image: np.ndarray, colour: ArrayLike, alpha: np.ndarray) -> None:
    """Blend a colour (or image) into ``image`` (h, w, 3) in place, ``alpha`` (h, w) in [0, 1]."""
    image += alpha[..., None] * (np.asarray(colour, np.float32) - image)


def displacement(source: np.ndarray, target: np.ndarray, n: int, sigma: float = 0.11) -> np.ndarray:
    """Backward displacement that moves landmarks ``source`` (L, 2) to ``target`` (L, 2).

    Returns (n, n, 2) float32 in head units: the warped image at u shows the original at
    u - displacement(u). Gaussian-weighted mean of the landmark shifts, fading to 0 far from all.
    """
    coarse = 40
    x, y = grid(coarse)
    d2 = (x[..., None] - target[:, 0]) ** 2 + (y[..., None] - target[:, 1]) ** 2
    weight = np.exp(-d2 / (2 * sigma * sigma))
    shift = weight @ (target - source) / (weight.sum(-1, keepdims=True) + 0.15)
    return cv2.resize(shift.astype(np.float32), (n, n), interpolation=cv2.INTER_CUBIC)
