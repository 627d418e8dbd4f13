"""Figures of the study of what pairing is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mcxlib.figures.style import FAKE_COLOR, MEASURED_COLOR, Plate, mark, new_figure, of, style

_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
_LINES = ("-", "--", "-.", ":")
_PANELS = {
    "auc": "closed set\nAUC",
    "bosc": "closed set\nBOSC (%)",
    "unseen_auc": "unseen sets\nAUC",
    "unseen_bosc": "unseen sets\nBOSC (%)",
}
WINDOW = 10
"""Steps that the gates' curves are averaged over."""


def ablation(results: pd.DataFrame, source: str = "") -> Plate:
    """A dot a seed and a bar at their mean, a line a variation; the first is the reference.

    Args:
        results: of :func:`mcxlib.experiments.ablation.results`.
        source: the data, for the mark under the axes.
    """
    names = list(dict.fromkeys(results["what"]))
    panels = {name: text for name, text in _PANELS.items() if name in results}
    means = results.groupby("what", sort=False)[list(panels)].mean()
    with style():
        width = min(2.4 + 1.75 * len(panels), 7.0)  # what a page has
        figure = new_figure(width, 1.0 + 0.3 * len(names))
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (column, text) in zip(axes, panels.items(), strict=True):
            reference = means[column].iloc[0]
            axis.axvline(reference, color=FAKE_COLOR, lw=1, ls=":")
            for height, name in enumerate(names):
                values = results.loc[results["what"] == name, column]
                axis.plot(values, np.full(len(values), height), "o", ms=4, alpha=0.6,
                          color=MEASURED_COLOR, mec="none")  # fmt: skip
                axis.plot(means.loc[name, column], height, "|", color="#222222", ms=13, mew=2)
            axis.set_xlabel(text)
            axis.locator_params(axis="x", nbins=2)
            axis.grid(axis="x")
        axes[0].set_yticks(range(len(names)), names)
        axes[0].invert_yaxis()
        mark(figure, source)
    said = "; ".join(f"{name} {means.loc[name, 'unseen_auc']:.3f}" for name in names)
    seeds = results["seed"].nunique()
    alt = f"Dot plot of {len(names)} variations with {seeds} seeds{of(source)}; mean AUC: {said}."
    return Plate(figure, alt)


def gates(
    histories: pd.DataFrame, margin: float, source: str = "", order: Sequence[str] = ()
) -> Plate:
    """p_self - p_other over training, a line a variation: mean over seeds and ten steps.

    Args:
        histories: of :func:`mcxlib.experiments.ablation.histories`.
        margin: what the ranking loss asks for (eq. 4).
        source: the data, for the mark under the axes.
        order: variations in the order of the legend.
    """
    names = list(order) or list(dict.fromkeys(histories["variation"]))
    last = {}
    with style():
        figure = new_figure(6.6, 3.4)
        axis = figure.subplots()
        axis.axhline(margin, color="#999999", lw=1, ls=":", label=f"margin {margin:g}")
        axis.axhline(0, color="#cccccc", lw=0.8)
        for place, name in enumerate(names):
            steps = histories[histories["variation"] == name]
            mean = steps.groupby("step")["self_minus_other"].mean()
            smooth = mean.rolling(WINDOW, min_periods=1).mean()
            color, line = _COLORS[place % len(_COLORS)], _LINES[place % len(_LINES)]
            axis.plot(smooth.index, smooth, line, color=color, lw=1.6, label=name)
            last[name] = smooth.iloc[-1]
        axis.set(xlabel="step", ylabel="p_self - p_other of the true class")
        axis.grid(axis="y")
        figure.legend(loc="outside right upper")
        mark(figure, source)
    said = "; ".join(f"{name} {value:.4f}" for name, value in last.items())
    alt = f"p_self - p_other over the steps{of(source)}, margin {margin:g}; at the end: {said}."
    return Plate(figure, alt)
