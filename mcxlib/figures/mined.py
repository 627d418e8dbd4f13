"""Who is compared with whom in a batch: pairs as faces (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mcxlib.figures.style import Plate, mark, new_figure, of, style
from mcxlib.figures.vector import tile

if TYPE_CHECKING:
    from torch import Tensor

    from mcxlib.detectors.base import Detector

KINDS = ("own class", "another class")


def mine(
    network: Detector, images: Tensor, rows: pd.DataFrame, distance: str = "euclidean"
) -> pd.DataFrame:
    """The pairs of a batch by the network's features: one row a pair.

    Args:
        network: any detector with features; looked at in evaluation mode.
        images: (B, 3, H, W) in [0, 1].
        rows: of the images, with class_index and target_id.
        distance: as :func:`mcxlib.method.pairs.mine_pairs`; what is returned is Euclidean.

    Returns:
        kind ("own class" or "another class"), first and second (places in the batch), distance
        (Euclidean, in units of the batch's mean distance) and same_person.

    Raises:
        ValueError: a detector without features.
    """
    import torch

    from mcxlib.explain import embed_frames
    from mcxlib.method.pairs import mine_pairs

    features = torch.from_numpy(embed_frames(network, images))
    labels = torch.tensor(rows["class_index"].to_numpy(np.int64))
    first, second = (part.numpy() for part in mine_pairs(features, labels, distance))
    scale = float(torch.pdist(features).mean())
    apart = (features[first] - features[second]).norm(dim=1).numpy() / max(scale, 1e-12)
    classes, people = labels.numpy(), rows["target_id"].to_numpy()
    return pd.DataFrame(
        {
            "kind": np.where(classes[first] == classes[second], *KINDS),
            "first": first,
            "second": second,
            "distance": apart,
            # Data that do not say who is shown have empty names.
            "same_person": (people[first] == people[second]) & (people[first] != ""),
        }
    )


def shares(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Of both kinds of pairs, before and after training: how near, and how many show one person."""
    found = {"before training": before, "after training": after}
    rows = []
    for when, pairs in found.items():
        for kind, part in pairs.groupby("kind", sort=False):
            rows.append(
                {
                    "partner of": kind,
                    "": when,
                    "pairs": len(part),
                    "mean distance": round(float(part["distance"].mean()), 2),
                    "of the same person": f"{int(part['same_person'].sum())} of {len(part)}",
                }
            )
    return pd.DataFrame(rows).sort_values("partner of", kind="stable", ascending=False)


def chosen(names: Sequence[str], count: int = 4) -> list[int]:
    """Places of ``count`` images: the batch's first of each class, then the second, and so on."""
    order = pd.Series(list(names)).groupby(list(names)).cumcount().sort_values(kind="stable")
    return order.index[:count].tolist()


def mined_pairs(
    images: np.ndarray,
    names: Sequence[str],
    before: pd.DataFrame,
    after: pd.DataFrame,
    source: str = "",
) -> Plate:
    """Four images of a batch, each above its partner, before and after training, of both kinds.

    Args:
        images: (B, 3, H, W) in [0, 1].
        names: class of each.
        before, after: of :func:`mine`, for the same images.
    """
    anchors = chosen(names)
    said = []
    with style():
        figure = new_figure(7.0, 4.8)
        parts: Any = figure.subfigures(len(KINDS), 2)
        for line, kind in zip(parts, KINDS, strict=True):
            for part, pairs, when in zip(line, (before, after), ("before", "after"), strict=True):
                found = pairs[pairs["kind"] == kind].set_index("first")
                part.suptitle(f"nearest of {kind}, {when} training", fontsize=9)
                axes = part.subplots(2, len(anchors))
                _pairs(axes, images, names, found, anchors)
                near = found["same_person"].sum()
                said.append(f"{kind}, {when}: {near} of {len(found)} show the same person")
        mark(figure, source)
    alt = f"Mined pairs of a batch of {len(images)} faces{of(source)}. {'; '.join(said)}."
    return Plate(figure, alt)


def _pairs(
    axes: Any,
    images: np.ndarray,
    names: Sequence[str],
    found: pd.DataFrame,
    anchors: list[int],
) -> None:
    for column, anchor in enumerate(anchors):
        top, bottom = axes[:, column]
        top.imshow(tile(images[anchor]), interpolation="none")
        top.set_title(names[anchor], fontsize=8)
        if anchor in found.index:
            pair = found.loc[anchor]
            bottom.imshow(tile(images[int(pair["second"])]), interpolation="none")
            bottom.set_xlabel(f"{names[int(pair['second'])]}, {pair['distance']:.2f}", fontsize=8)
        for axis in (top, bottom):
            axis.set(xticks=[], yticks=[])
            for spine in axis.spines.values():
                spine.set_visible(False)
