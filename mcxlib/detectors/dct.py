"""The discrete cosine transform as a matrix, and bands of its frequencies."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dct_matrix(size: int) -> Tensor:
    """(size, size), orthonormal DCT-II in float64: D @ x @ D.T transforms a square x."""
    row = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(row[:, None] * (row + 0.5) * (math.pi / size)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix


def band(size: int, low: float, high: float, closed: bool = False) -> Tensor:
    """(size, size) of 1 where low <= i + j < high, or <= high if ``closed``; 0 elsewhere."""
    step = torch.arange(size, dtype=torch.float64)
    order = step[:, None] + step
    inside = (order >= low) & ((order <= high) if closed else (order < high))
    return inside.float()
