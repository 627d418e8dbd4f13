"""Figures of what detectors bear: curves, a panel a corruption, and what each does to one face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mcxlib.figures.style import COLORS, Plate, mark, new_figure, of, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = (*COLORS.values(), "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", "--", "-.", ":")
_NAMES = {"auc": "AUC", "bosc": "BOSC (%)"}
_CHANCE = {"auc": 0.5, "bosc": 50.0}
COLUMNS = 3
BANDS = 4
"""Detectors up to which intervals are drawn as bands; of more, nothing could be told apart."""


def robustness(curves: pd.DataFrame, metric: str = "auc", source: str = "") -> Plate:
    """A metric by level, a panel a corruption, a line a detector with its interval as a band.

    Args:
        curves: of :func:`mcxlib.experiments.robustness_curves.curves`.
        metric: "auc" or "bosc".
        source: the data, for the mark under the axes.

    Raises:
        ValueError: another metric, or no curve.
    """
    from mcxlib.experiments.corruptions import CORRUPTIONS

    if metric not in _NAMES:
        raise ValueError(f"unknown metric {metric!r}; valid: {', '.join(_NAMES)}")
    if curves.empty:
        raise ValueError("no curves to show; make some with mcx robustness")
    labels = list(dict.fromkeys(curves["label"]))
    kinds = list(dict.fromkeys(curves["corruption"]))
    lines = -(-len(kinds) // COLUMNS)
    with style():
        figure = new_figure(8.4, 0.7 + 0.2 * -(-len(labels) // COLUMNS) + 2.35 * lines)
        figure.set_layout_engine("constrained", h_pad=0.09, w_pad=0.06)
        axes = figure.subplots(lines, COLUMNS, sharey=True, squeeze=False).ravel()
        for axis, name in zip(axes, kinds, strict=False):
            part = curves[curves["corruption"] == name]
            _panel(axis, part, labels, metric)
            axis.set(title=CORRUPTIONS[name].title, xlabel=CORRUPTIONS[name].unit)
        for axis in axes[len(kinds) :]:
            axis.remove()
        for axis in axes[::COLUMNS]:
            axis.set_ylabel(_NAMES[metric])
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(
            handles, names, loc="outside upper center", ncols=min(4, len(names)), fontsize=9
        )
        mark(figure, source)
    return Plate(figure, _said(curves, labels, kinds, metric, source))


def _panel(axis: Axes, part: pd.DataFrame, labels: Sequence[str], metric: str) -> None:
    from mcxlib.experiments.corruptions import NONE

    axis.axhline(_CHANCE[metric], color="#767676", lw=1, ls=(0, (1, 2)), label="chance")
    levels = part.drop_duplicates("place").sort_values("place")
    for number, label in enumerate(labels):
        line = part[part["label"] == label].sort_values("place")
        color = _COLORS[number % len(_COLORS)]
        if len(labels) <= BANDS:
            ends = line[f"{metric}_low"], line[f"{metric}_high"]
            axis.fill_between(line["place"], *ends, color=color, alpha=0.13, lw=0)
        look = _MARKERS[number % len(_MARKERS)] + _LINES[number // len(_COLORS) % len(_LINES)]
        axis.plot(line["place"], line[metric], look, color=color, ms=4, lw=1.5, label=label)
    texts = ["as it is" if level == NONE else level for level in levels["level"]]
    axis.set_xticks(levels["place"], texts)
    axis.set_xlim(-0.3, max(levels["place"].max(), 1) + 0.3)
    axis.grid(axis="y")


def _said(
    curves: pd.DataFrame, labels: Sequence[str], kinds: Sequence[str], metric: str, source: str
) -> str:
    digits = 3 if metric == "auc" else 1
    texts = []
    for label in labels:
        part = curves[curves["label"] == label]
        start = part.loc[part["level"] == "none", metric].iloc[0]
        low = part.loc[part[metric].idxmin()]
        texts.append(
            f"{label} {start:.{digits}f} without, at the lowest {low[metric]:.{digits}f} "
            f"({low['corruption']} {low['level']})"
        )
    return (
        f"{_NAMES[metric]} by level in {len(kinds)} panels, a line a detector{of(source)}, chance "
        f"{_CHANCE[metric]:g}: {'; '.join(texts)}."
    )


def harmed_faces(
    pictures: Mapping[str, Sequence[tuple[str, np.ndarray]]], source: str = ""
) -> Plate:
    """One face under every corruption: a row a corruption, a column a level.

    Args:
        pictures: corruption -> (level, crop), uint8 (S, S, 3), in the order of the axis; of
            :func:`mcxlib.experiments.corrupted_crops.faces`.
        source: the data, for the mark under the pictures.

    Raises:
        ValueError: no picture.
    """
    from mcxlib.experiments.corruptions import CORRUPTIONS

    if not pictures:
        raise ValueError("no pictures to show")
    columns = max(map(len, pictures.values()))
    with style():
        figure = new_figure(1.9 + 1.05 * columns, 0.3 + 1.27 * len(pictures))
        axes = figure.subplots(len(pictures), columns, squeeze=False)
        for row, (name, shown) in zip(axes, pictures.items(), strict=True):
            kind = CORRUPTIONS[name]
            title: dict[str, Any] = {"rotation": 0, "ha": "right", "va": "center"}
            row[0].set_ylabel(f"{kind.title}\n({kind.unit})", **title)
            for axis in row[len(shown) :]:
                axis.remove()
            for axis, (level, crop) in zip(row, shown, strict=False):
                axis.imshow(crop, interpolation="nearest")
                axis.set_title("as it is" if level == "none" else level)
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
        mark(figure, source)
    kinds = ", ".join(CORRUPTIONS[name].title for name in pictures)
    total = sum(map(len, pictures.values()))
    return Plate(figure, f"{total} pictures of one face{of(source)}, a row a corruption: {kinds}.")
