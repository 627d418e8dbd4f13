"""A common floor for detectors: fixed filters, their strength in two regions, a linear classifier.

No training decides what is looked at, so what differs between two colour spaces is what they make
visible to the same simple look. Of each channel: its mean, and the root mean square of the
responses to seven filters, in a central ellipse of the crop and around it (not in the true mask,
which a detector does not know).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from mcxlib.method import colorspace

SPACES = ("rgb", "hsv", "lab", "ycbcr")
"""Whose channels are measured; sets are made of these."""


_SECOND = np.array([[1, -2, 1]], np.float32) / 2
_SMALL = (
    np.array([[-1, 1]], np.float32),
    np.array([[-1], [1]], np.float32),
    _SECOND,
    _SECOND.T,
    np.array([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]], np.float32) / 4,
)
_BLURS = (1.0, 2.0, 4.0)  # px
FILTERS = len(_SMALL) + len(_BLURS) - 1


def responses(image: np.ndarray) -> list[np.ndarray]:
    """The seven filters' answers to (S, S, C): each the same shape.

    Differences of neighbours in x and y, second differences in x and y, both at once (the residual
    that steganalysis looks at), and two bands: between blurs of 1 and 2 px, and of 2 and 4 px.
    """
    edge = cv2.BORDER_REFLECT_101
    found = [cv2.filter2D(image, cv2.CV_32F, kernel, borderType=edge) for kernel in _SMALL]
    blurred = [cv2.GaussianBlur(image, (0, 0), sigma, borderType=edge) for sigma in _BLURS]
    return found + [fine - coarse for fine, coarse in pairwise(blurred)]


class Features(NamedTuple):
    """What is measured of N crops in C channels, with K filters and two regions (inside, around).

    Of pairs of frames, N counts the pairs and every entry is how far the two frames are apart.
    """

    means: np.ndarray
    """(N, C, 2)."""
    strengths: np.ndarray
    """(N, C, K, 2), root mean squares."""

    def of(self, channels: Iterable[int]) -> Features:
        """Those of some channels."""
        chosen = list(channels)
        return Features(self.means[:, chosen], self.strengths[:, chosen])

    def columns(self) -> np.ndarray:
        """(N, C, 2K + 2): one row of numbers a channel."""
        n, c = self.means.shape[:2]
        return np.concatenate([self.means, self.strengths.reshape(n, c, -1)], axis=2)


class Moments(NamedTuple):
    """Of N RGB crops: what the features of any linear combination of channels can be had from.

    A filter is linear, so that the response of m . (r, g, b) is m . (the responses), its mean
    square m^T S m.
    """

    means: np.ndarray
    """(N, 2, 3)."""
    squares: np.ndarray
    """(N, K, 2, 3, 3), mean products of the channels' responses."""


def regions(side: int) -> np.ndarray:
    """Weights of the pixels in the central ellipse and around it: float32 (side * side, 2)."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    inside = ((x - 0.5) / 0.30) ** 2 + ((y - 0.5) / 0.40) ** 2 <= 1
    both = np.stack([inside, ~inside], axis=-1).reshape(-1, 2).astype(np.float32)
    return both / both.sum(0)


def planes(images: np.ndarray, spec: str = "+".join(SPACES)) -> np.ndarray:
    """uint8 RGB (N, S, S, 3) -> channels of the colour spaces, float32 (N, S, S, C) in [0, 1]."""
    import torch

    rgb = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float() / 255
    stacked = colorspace.stack(rgb, spec)
    return np.ascontiguousarray(stacked.numpy().transpose(0, 2, 3, 1))


def channels_of(spec: str) -> list[int]:
    """Places of a set's channels among those of :data:`SPACES`."""
    return [3 * SPACES.index(name) + k for name in colorspace.parse(spec) for k in range(3)]


def measure(images: np.ndarray) -> tuple[Features, Moments]:
    """Features in all channels of all spaces, and RGB's moments: images uint8 (N, S, S, 3)."""
    weights = regions(images.shape[1])
    means, strengths, of_rgb, squares = [], [], [], []
    for image in planes(images):
        flat = image.reshape(-1, image.shape[-1])
        means.append(flat.T @ weights)
        of_rgb.append(weights.T @ flat[:, :3])
        found, products = [], []
        for answer in responses(image):
            answer = answer.reshape(flat.shape)
            found.append((answer * answer).T @ weights)
            first = answer[:, :3]
            products.append([first.T @ (first * w[:, None]) for w in weights.T])
        strengths.append(np.sqrt(np.stack(found, axis=1)))
        squares.append(products)
    features = Features(np.asarray(means), np.asarray(strengths))
    return features, Moments(np.asarray(of_rgb), np.asarray(squares))


def apart(features: Features) -> Features:
    """Of rows (first, second, first, second, ...): how far the two frames of each pair differ."""
    return Features(*(np.abs(values[1::2] - values[::2]) for values in features))


def converted(moments: Moments, matrix: np.ndarray, pairs: bool = False) -> Features:
    """Features of the channels matrix @ (r, g, b): matrix (C, 3)."""
    means = np.einsum("nrj,cj->ncr", moments.means, matrix)
    squares = np.einsum("ci,nkrij,cj->nckr", matrix, moments.squares, matrix)
    found = Features(means, np.sqrt(np.maximum(squares, 0)))
    return apart(found) if pairs else found


@dataclass
class Scale:
    """How features are brought to a common size before the classifier: fitted on training rows."""

    mean: np.ndarray
    size: np.ndarray

    @classmethod
    def fit(cls, columns: np.ndarray, own: bool) -> Scale:
        """``own``: each channel's features by their own deviation; otherwise every feature by one
        deviation for all channels of the set, so that a channel in which little happens stays
        small. columns (N, C, F)."""
        deviation = columns.std(0)
        if not own:
            deviation = np.broadcast_to(
                np.sqrt((deviation**2).mean(0, keepdims=True)), deviation.shape
            )
        return cls(columns.mean(0), np.maximum(deviation, 1e-9))

    def apply(self, columns: np.ndarray) -> np.ndarray:
        """(N, C, F) -> (N, C * F)."""
        return ((columns - self.mean) / self.size).reshape(len(columns), -1)


def fit(
    features: Features, labels: np.ndarray, own: bool = True, penalty: float = 1.0
) -> Callable[[Features], np.ndarray]:
    """Train the linear classifier; what comes back scores other rows: (M,), larger is altered.

    Args:
        labels: (N,), true for altered.
        own: see :meth:`Scale.fit`.
        penalty: inverse of the weight of the squared coefficients, scikit-learn's ``C``.
    """
    from sklearn.linear_model import LogisticRegression

    columns = features.columns()
    scale = Scale.fit(columns, own)
    model = LogisticRegression(C=penalty, max_iter=1000)
    model.fit(scale.apply(columns), labels)
    return lambda others: model.decision_function(scale.apply(others.columns()))


def learnt_matrix(
    moments: Moments, labels: np.ndarray, pairs: bool = False, steps: int = 150, seed: int = 0
) -> np.ndarray:
    """A 3 x 3 conversion of RGB learnt with the classifier behind it: (3, 3), rows of length 1.

    What a network's first 1 x 1 convolution could do. Gradient descent on the same loss as
    :func:`fit`, conversion and coefficients together, from RGB itself a little displaced.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    means, squares = (torch.from_numpy(values).float() for values in moments)
    target = torch.from_numpy(np.asarray(labels)).float()
    matrix = torch.eye(3) + 0.1 * torch.randn(3, 3, generator=generator)
    count = 3 * (2 + 2 * FILTERS)
    weight, bias = torch.zeros(count), torch.zeros(1)
    parameters = [p.requires_grad_() for p in (matrix, weight, bias)]
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    for _ in range(steps):
        unit = matrix / matrix.norm(dim=1, keepdim=True)
        first = torch.einsum("nrj,cj->ncr", means, unit)
        second = torch.einsum("ci,nkrij,cj->nckr", unit, squares, unit).clamp(min=1e-10).sqrt()
        columns = torch.cat([first, second.flatten(2)], dim=2)
        if pairs:
            columns = (columns[1::2] - columns[::2]).abs()
        columns = columns.flatten(1)
        columns = (columns - columns.mean(0)) / (columns.std(0) + 1e-9)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(columns @ weight + bias, target)
        loss = loss + 0.5 * weight.square().sum() / len(target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return (matrix / matrix.norm(dim=1, keepdim=True)).double().numpy()
