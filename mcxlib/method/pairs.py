"""Features and labels -> the image pairs a training step compares (paper, section 4.1).

"We locate its most similar image from both its own class and the rest classes for each image by
calculating the distance between features": image i is paired with its nearest other image of its
own class, and with its nearest image of any other class. The result is plain index tensors, so
whatever consumes the pairs need not know how they were found.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

DISTANCES = ("euclidean", "cosine", "random")
"""The two distances the paper names, of which its experiments' code uses the first by default, and
one drawn anew for every two images: partners at random, to see what the nearest ones are worth."""

LARGE = 128
"""From this many images on, distances are first bounded by a matrix product (on the CPU)."""


class Pairs(NamedTuple):
    """Index tensors (P,), int64: pair p compares images ``first[p]`` and ``second[p]``."""

    first: Tensor
    second: Tensor


def mine_pairs(
    features: Tensor, labels: Tensor, distance: str = "euclidean", *, complete: bool = False
) -> Pairs:
    """Pair every image with its nearest same-class and its nearest other-class image.

    First come all same-class pairs, then all other-class pairs, each in image order. An image
    whose class has no second member gets no same-class pair; when all labels are equal there are
    no other-class pairs. Equal distances: the lowest index wins. No gradient is recorded.

    The number of pairs depends on the labels alone. With ``complete=True`` the caller promises
    that every class in the batch has at least two members and that there are at least two
    classes (what ``BalancedBatchSampler`` yields); the result is then always 2B pairs and the
    host never waits for the device. Without the promise, labels on an accelerator cost one wait,
    while labels on the CPU cost none wherever the features are.

    A distance that is NaN or infinite loses to every finite one, and if all of an image's
    distances are such, the lowest index of the right kind is taken: broken features never pair an
    image with itself or with the wrong kind of class.

    Args:
        features: (B, D), floating point. Compared in float32, or float64 if given so.
        labels: (B,), integer, on the features' device or on the CPU.
        distance: ``"euclidean"``, ``"cosine"`` (1 - cosine similarity; a zero vector is at
            distance 1 from everything) or ``"random"`` (drawn from torch's generator).
        complete: see above. A broken promise raises when labels are on the CPU; elsewhere it is
            not looked at and gives wrong pairs.

    Returns:
        :class:`Pairs` on the features' device.

    Raises:
        ValueError: for an unknown distance, wrong shapes or dtypes, or a broken promise.
    """
    if distance not in DISTANCES:
        raise ValueError(f"unknown distance {distance!r}; valid names: {', '.join(DISTANCES)}")
    _check(features, labels)
    images = len(labels)
    if images < 2 and not complete:
        empty = torch.empty(0, dtype=torch.int64, device=features.device)
        return Pairs(empty, empty.clone())

    same = labels[:, None] == labels[None, :]  # (B, B)
    # Two kinds of partner: (2, B, B).
    candidates = torch.stack([same.fill_diagonal_(False), labels[:, None] != labels[None, :]])
    has_partner = candidates.any(dim=2).flatten()  # (2B,)
    looking = labels.device.type == "cpu" and not torch.compiler.is_compiling()
    if complete and looking and not has_partner.all():
        raise ValueError(
            "complete=True promises two members of every class and two classes, but "
            f"{int((~has_partner).sum())} of {2 * images} partners do not exist; "
            "pass complete=False"
        )

    candidates = candidates.to(features.device)
    if distance == "random":
        nearest = _nearest(torch.rand(images, images, device=features.device), candidates)
    else:
        exact = images < LARGE or not looking
        nearest = _nearest_features(*_points(features.detach(), distance), candidates, exact)
    anchors = torch.arange(images, device=features.device).repeat(2)
    if complete:
        return Pairs(anchors, nearest)
    # The one place that has to know a number on the host: how many pairs there are.
    found = has_partner.nonzero().flatten().to(features.device, non_blocking=True)
    return Pairs(anchors[found], nearest[found])


def _nearest_features(points: Tensor, apart: Tensor, candidates: Tensor, exact: bool) -> Tensor:
    if not exact and points.device.type == "cpu" and not apart.any():
        nearest = _nearest_by_products(points, candidates)
        if nearest is not None:
            return nearest
    return _nearest(_distances(points, apart), candidates)


def _check(features: Tensor, labels: Tensor) -> None:
    if features.ndim != 2:
        raise ValueError(f"features must have shape (B, D), not {tuple(features.shape)}")
    if not features.is_floating_point():
        raise ValueError(f"features must be floating point, not {features.dtype}")
    if labels.ndim != 1 or len(labels) != len(features):
        raise ValueError(
            f"labels must have shape ({len(features)},) to match features "
            f"{tuple(features.shape)}, not {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be integers, not {labels.dtype}")


def _points(features: Tensor, distance: str) -> tuple[Tensor, Tensor]:
    """(B, D) points whose Euclidean distances grow with ``distance``, and (B,) bool: which of
    them are at the same distance from all others (zero vectors, under cosine)."""
    if features.dtype != torch.float64:
        features = features.float()
    if distance == "euclidean":
        return features, torch.zeros(len(features), dtype=torch.bool, device=features.device)
    # Chord between unit vectors: grows with 1 - cosine, and unlike 1 - u.v it still tells small
    # angles apart. Dividing by the largest entry first keeps the norm from overflowing.
    tiny = torch.finfo(features.dtype).tiny
    scaled = features / features.abs().amax(dim=1, keepdim=True).clamp(min=tiny)
    norm = torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
    return scaled / norm.clamp(min=tiny), norm[:, 0] == 0


def _distances(points: Tensor, apart: Tensor) -> Tensor:
    """(B, B) distances between points; those of a point that is ``apart`` are the chord of
    cosine distance 1."""
    # Differences, not |a|^2 + |b|^2 - 2ab: that expansion loses all digits when features share a
    # large offset, and gives exact duplicates a distance other than zero. pdist takes each pair
    # once and lists the upper triangle row by row; it is many times faster than cdist without
    # matrix products, and needs no boolean indexing to be spread to a square.
    images = len(points)
    upper = torch.ones(images, images, dtype=torch.bool, device=points.device).triu_(1)
    square = points.new_zeros(images, images).masked_scatter_(upper, torch.pdist(points))
    return (square + square.T).masked_fill(apart | apart[:, None], 2**0.5)


def _nearest_by_products(points: Tensor, candidates: Tensor) -> Tensor | None:
    """As :func:`_nearest` of the points' distances, and faster where there are many points.

    |a|^2 + |b|^2 - 2ab is a matrix product, but inexact. It is only asked which candidates its
    rounding errors allow to be the nearest one; where that leaves several, as it does with near
    and exact duplicates, their distances are computed from differences. None where that would be
    most of the work, or where something overflows or is no number.
    """
    # Around their mean, so that an offset common to all costs no digits.
    centred = points - points.mean(dim=0)
    norms = torch.linalg.vector_norm(centred, dim=1)
    squares = norms.square()
    # Twice the bound on the error of one squared distance: sums of D products err by D roundings
    # (each half an eps) at the most, relative to (|a| + |b|)^2; 16 is for the subtraction of the
    # mean and the rest.
    rounding = torch.finfo(points.dtype).eps / 2 * (points.shape[1] + 16)
    slack = 2 * rounding * (norms + norms.max()).square()
    if not torch.isfinite(slack).all():
        return None
    approximate = torch.addmm(squares[:, None] + squares, centred, centred.T, alpha=-2)
    kinds = torch.where(candidates, approximate, torch.inf)
    smallest, nearest = kinds.min(dim=2)
    limits = (smallest + slack)[..., None]
    kinds.scatter_(2, nearest[..., None], torch.inf)
    several = (kinds.amin(dim=2, keepdim=True) <= limits)[..., 0] & smallest.isfinite()
    if several.any():
        kinds.scatter_(2, nearest[..., None], smallest[..., None])
        kind, anchor = several.nonzero().unbind(1)
        which, other = (kinds[kind, anchor] <= limits[kind, anchor]).nonzero().unbind(1)
        if len(which) > 4 * len(points):
            return None
        differences = points[anchor[which]] - points[other]
        exact = points.new_full((len(kind), len(points)), torch.inf)
        exact[which, other] = torch.linalg.vector_norm(differences, dim=1)
        nearest[kind, anchor] = exact.argmin(dim=1)
    return nearest.flatten()


def _nearest(distances: Tensor, candidates: Tensor) -> Tensor:
    """Lowest index of the smallest distance among the candidates of each row.

    ``distances`` (B, B), ``candidates`` (2, B, B) bool -> (2B,) int64; rows without a candidate
    hold an index of no meaning.
    """
    largest = torch.finfo(distances.dtype).max
    finite = torch.nan_to_num(distances, nan=largest, posinf=largest)
    # Of several equal minima argmin returns the first, as its documentation promises.
    return finite.masked_fill(~candidates, torch.inf).argmin(dim=2).flatten()  # (2B,)
