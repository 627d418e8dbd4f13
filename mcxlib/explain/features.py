"""Features of frames, their t-SNE map, and how well the classes hold together (section 5.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from mcxlib.detectors.base import Detector


@contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """Evaluation mode for the block; every submodule gets its own mode back afterwards.

    Yields the device of the model's weights. (``model.train(True)`` at the end would not do: it
    would also wake a frozen backbone.)
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield next(model.parameters()).device
    finally:
        for module, mode in modes:
            module.training = mode


def embed_frames(model: Detector, images: Tensor, batch_size: int = 64) -> np.ndarray:
    """Feature vectors x_i of images, no partner involved: (N, 3, H, W), or clips (N, T, 3, H, W),
    in [0, 1] -> (N, D) float32.

    The detector's ``features``. It is in evaluation mode during the call and afterwards in the
    mode it was in. No gradient is kept.

    Raises:
        ValueError: no image, images of another shape, or a detector without such vectors.
    """
    if images.ndim not in (4, 5) or images.shape[-3] != 3 or not len(images):
        raise ValueError(
            f"images must have shape (N, 3, H, W) with N >= 1, not {tuple(images.shape)}"
        )
    with evaluating(model) as device, torch.no_grad():
        parts = [model.features(part.to(device)).float().cpu() for part in images.split(batch_size)]
    return torch.cat(parts).numpy()


def tsne(
    features: ArrayLike, seed: int = 0, perplexity: float = 30.0, init: str = "pca"
) -> np.ndarray:
    """Features (N, D) -> points (N, 2) by t-SNE, as in Fig. 3.

    Starts from the two principal components, so that the large-scale arrangement is the data's
    and not the seed's, and runs on one thread: the order in which threads add up would otherwise
    change the last digits and, through them, the map. With ``init="random"`` the seed decides where
    the points start, to see what a map owes to its start. Distances between far clusters and the
    clusters' sizes mean nothing in such a map; :func:`neighbour_agreement` of the *features* does.

    Raises:
        ValueError: NaN or infinite features, or a perplexity that is not below N.
    """
    features = _finite_rows(features)
    if not 0 < perplexity < len(features):
        raise ValueError(
            f"perplexity {perplexity:g} must be above 0 and below the number of points, "
            f"{len(features)}; choose about a third of it or less"
        )
    # Here and not above: scikit-learn takes a while to import, and only these numbers need it.
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    model = TSNE(2, init=init, random_state=seed, perplexity=perplexity)
    with threadpool_limits(limits=1):
        return model.fit_transform(features)


class Agreement(NamedTuple):
    """How well classes hold together among neighbours."""

    neighbours: float
    """Mean share of a point's k nearest neighbours that are of its class, in [0, 1]."""
    chance: float
    """What ``neighbours`` would be on average if labels were shuffled."""
    silhouette: float
    """Mean silhouette in [-1, 1]; above 0: nearer to the own class than to the next."""


def neighbour_agreement(features: ArrayLike, labels: ArrayLike, k: int = 10) -> Agreement:
    """The number beside the t-SNE map; works on features (N, D) as on points (N, 2).

    Euclidean distance; a point is not its own neighbour, though its exact duplicates are.

    Raises:
        ValueError: unequal lengths, fewer than two classes, or k not in 1..N-1.
    """
    features = _finite_rows(features)
    labels = np.asarray(labels)
    if labels.shape != (len(features),):
        raise ValueError(
            f"labels must have shape ({len(features)},), one a row of features, not {labels.shape}"
        )
    if not 1 <= k < len(features):
        raise ValueError(f"k = {k} must be from 1 to {len(features) - 1}, the other points")
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"labels hold only {classes.tolist()}; agreement needs two classes")
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    # Asking without arguments leaves each point itself out, also among exact duplicates.
    neighbours = NearestNeighbors(n_neighbors=k).fit(features).kneighbors(return_distance=False)
    n = len(features)
    return Agreement(
        neighbours=float((labels[neighbours] == labels[:, None]).mean()),
        chance=float((counts * (counts - 1)).sum() / (n * (n - 1))),
        # Undefined if every point is a class of its own.
        silhouette=float(silhouette_score(features, labels)) if len(classes) < n else float("nan"),
    )


def _finite_rows(features: ArrayLike) -> np.ndarray:
    features = np.asarray(features)
    if features.ndim != 2:
        raise ValueError(f"features must have shape (N, D), not {features.shape}")
    if not np.isfinite(features).all():
        raise ValueError("features hold NaN or infinite values; did the training diverge?")
    return features
