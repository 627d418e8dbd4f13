"""The six faces by hand, as pictures: distances with the pairs, and the vectors of one pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcxlib.figures.style import Plate, mark, new_figure, of, style


def distances(
    features: np.ndarray, labels: np.ndarray, names: Sequence[str], source: str = ""
) -> Plate:
    """Distances between all faces, and in each row who is mined: (N, D), (N,), N names."""
    import torch

    from mcxlib.method.pairs import mine_pairs

    given = torch.from_numpy(np.asarray(features))
    classes = torch.from_numpy(np.asarray(labels))
    square = torch.cdist(given, given).numpy()
    first, second = (part.numpy() for part in mine_pairs(given, classes))
    own = labels[first] == labels[second]
    with style():
        figure = new_figure(4.8, 3.9)
        axis = figure.subplots()
        drawn = axis.imshow(square, cmap="cividis", interpolation="none")
        looks_of: Any = {"ls": "none", "mfc": "none", "mew": 2, "ms": 15}
        axis.plot(second[own], first[own], "s", mec="white", label="own class", **looks_of)
        axis.plot(second[~own], first[~own], "o", mec="#E69F00", label="another class", **looks_of)
        axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axis.set_yticks(range(len(names)), names)
        figure.colorbar(drawn, ax=axis, label="distance")
        figure.legend(
            loc="outside upper center", ncols=2, markerscale=0.6, title="nearest of",
            frameon=True, facecolor="#555555", labelcolor="white",
        ).get_title().set_color("white")  # fmt: skip
        mark(figure, source)
    said = ", ".join(f"{names[a]} with {names[b]}" for a, b in zip(first, second, strict=True))
    return Plate(figure, f"Distances between {len(names)} faces{of(source)}; pairs: {said}.")


def vectors(
    values: np.ndarray, rows: Sequence[str], columns: Sequence[str], source: str = ""
) -> Plate:
    """Vectors as rows of colours with their numbers, one scale around 0 for all: (R, D)."""
    values = np.asarray(values)
    most = float(np.abs(values).max())
    with style():
        figure = new_figure(5.6, 0.7 + 0.32 * len(rows))
        axis = figure.subplots()
        axis.imshow(
            values, cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto", interpolation="none"
        )
        for (row, column), value in np.ndenumerate(values):
            color = "white" if abs(value) > 0.75 * most else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=color)
        axis.set_xticks(range(len(columns)), columns)
        axis.set_yticks(range(len(rows)), rows)
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        mark(figure, source)
    alt = (
        f"{len(rows)} vectors of {len(columns)} numbers{of(source)}: {', '.join(rows)}; from "
        f"{values.min():.2f} to {values.max():.2f}."
    )
    return Plate(figure, alt)
