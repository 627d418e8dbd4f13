"""Figures of the laboratory of traces: what they look like, and who sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mcxlib.figures.style import Plate, mark, new_figure, of, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_LINES = {
    "rgb": ("#000000", "-", "o"),
    "hsv": ("#E69F00", "--", "s"),
    "lab": ("#009E73", "-.", "^"),
    "ycbcr": ("#0072B2", ":", "D"),
}
_FURTHER = (("#CC79A7", "-", "v"), ("#D55E00", "--", "P"), ("#56B4E9", "-.", "X"))


def traces(
    rows: Mapping[str, Sequence[np.ndarray]],
    strengths: Mapping[str, Sequence[str]],
    source: str = "",
) -> Plate:
    """A row a trace: the untouched crop, rising strengths, and what the strongest changed.

    Args:
        rows: name -> crops, uint8 (S, S, 3), the untouched one first; as many of each.
        strengths: name -> how each of the others is written.
        source: the data, for the mark under the axes.
    """
    with style():
        width = 1 + len(next(iter(rows.values())))
        figure = new_figure(0.4 + width, 0.6 + 1.12 * len(rows))
        axes = figure.subplots(len(rows), width, squeeze=False)
        for line, (name, crops) in zip(axes, rows.items(), strict=True):
            for axis, crop, text in zip(line, crops, ("", *strengths[name]), strict=False):
                axis.imshow(crop)
                axis.set_title(text, fontsize=7, pad=2)
            change = np.abs(crops[-1].astype(float) - crops[0]).max(-1)
            line[-1].imshow(change, cmap="inferno", vmin=0)
            line[-1].set_title(f"to {change.max():.0f}", fontsize=7, pad=2)
            line[0].set_ylabel(name, fontsize=8)
            for axis in line:
                axis.set(xticks=[], yticks=[])
        mark(figure, source)
    alt = (
        f"Sheet of {len(rows)} traces{of(source)}, a row each: the untouched crop, rising "
        f"strengths, and where the strongest changed it: {', '.join(rows)}."
    )
    return Plate(figure, alt)


def heat(
    table: pd.DataFrame,
    names: Mapping[str, str],
    source: str = "",
    network: pd.DataFrame | None = None,
) -> Plate:
    """Mean AUC by trace (rows) and set of colour spaces (columns), with the numbers.

    Args:
        table: of :func:`mcxlib.experiments.findings.heat`.
        names: column -> how it is written.
        source: the data, for the mark under the axes.
        network: of :func:`mcxlib.experiments.trace_nets.heat`: a second panel below.
    """
    panels = {"the common floor": table}
    if network is not None and len(network):
        panels["the small network"] = network
    height = sum(0.9 + 0.3 * len(panel) for panel in panels.values())
    with style():
        figure = new_figure(2.4 + 0.56 * table.shape[1], 0.8 + height)
        ratios = [len(panel) for panel in panels.values()]
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=ratios)[:, 0]
        for axis, (title, panel) in zip(axes, panels.items(), strict=True):
            image = _numbers(axis, panel, names)
            if len(panels) > 1:
                axis.set_title(title)
        figure.colorbar(image, ax=list(axes), label="AUC, mean over strengths", shrink=0.8)
        mark(figure, source)
    said = [f"{title}: {_best_sets(panel, names)}" for title, panel in panels.items()]
    return Plate(
        figure, f"Heat map of AUC by trace and colour spaces{of(source)}. {'. '.join(said)}."
    )


def _numbers(axis: Axes, panel: pd.DataFrame, names: Mapping[str, str]) -> AxesImage:
    values = panel.to_numpy()
    image = axis.imshow(values, cmap="cividis", vmin=0.5, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        best = value >= values[row].max() - 5e-4
        axis.text(
            *(column, row, f"{value:.2f}"), ha="center", va="center", fontsize=7,
            color="white" if value < 0.75 else "black", fontweight="bold" if best else "normal",
        )  # fmt: skip
    axis.set_yticks(range(len(panel)), panel.index)
    texts = [names.get(name, name) for name in panel.columns]
    axis.set_xticks(range(len(texts)), texts, rotation=35, ha="right", rotation_mode="anchor")
    return image


def _best_sets(panel: pd.DataFrame, names: Mapping[str, str]) -> str:
    return "; ".join(
        f"{name} best in {names.get(spec, spec)} ({panel.loc[name, spec]:.2f}), RGB "
        f"{panel.loc[name, 'rgb']:.2f}"
        for name, spec in panel.idxmax(axis=1).items()
    )


def strength_curves(
    table: pd.DataFrame,
    specs: Sequence[str],
    names: Mapping[str, str],
    units: Mapping[str, str],
    source: str = "",
) -> Plate:
    """AUC by strength, a panel a trace, a line a set; bars from the lowest to the highest seed.

    Args:
        table: of :func:`mcxlib.experiments.traces.results`, of one variant, without the control.
        specs: which sets are drawn.
        names: set -> how it is written.
        units: trace -> unit of its strength.
        source: the data, for the mark under the axes.
    """
    traces = list(dict.fromkeys(table["trace"]))
    columns = 3
    lines = -(-len(traces) // columns)
    further = iter(_FURTHER)
    looks = {spec: _LINES.get(spec) or next(further) for spec in specs}
    with style():
        figure = new_figure(8.2, 0.8 + 1.75 * lines)
        axes = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axis, name in zip(axes.flat, traces, strict=False):
            part = table[table["trace"] == name]
            for place, spec in enumerate(specs):
                by = part[part["colorspace"] == spec].groupby("level")["auc"]
                middle = by.mean()
                color, line, marker = looks[spec]
                apart = [middle - by.min(), by.max() - middle]
                axis.errorbar(
                    *(middle.index + 0.06 * (place - len(specs) / 2), middle), yerr=apart, lw=1.2,
                    color=color, ls=line, marker=marker, ms=3, elinewidth=0.7,
                    label=names.get(spec, spec),
                )  # fmt: skip
            levels = part.drop_duplicates("level").sort_values("level")
            axis.axhline(0.5, color="#cccccc", lw=0.8)
            axis.set_xticks(levels["level"], [f"{value:g}" for value in levels["strength"]])
            ends = levels["level"].min() - 0.5, levels["level"].max() + 0.5
            axis.set(title=name, xlim=ends, ylim=(0.4, 1.03))
            axis.set_xlabel(units[name], fontsize=7, labelpad=1)
        for axis in axes.flat[len(traces) :]:
            axis.set_axis_off()
        for line in axes:
            line[0].set_ylabel("AUC")
        handles, texts = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside upper center", ncols=len(specs))
        mark(figure, source)
    seeds = table["seed"].nunique()
    top = table[table["level"] == table["level"].max()].groupby(["trace", "colorspace"])["auc"]
    strongest = top.mean()
    said = "; ".join(f"{name} {strongest[name, 'rgb']:.2f}" for name in traces)
    alt = (
        f"AUC by strength of {len(traces)} traces{of(source)}, {seeds} seeds, for "
        f"{', '.join(names.get(spec, spec) for spec in specs)}; in RGB at the strongest: {said}."
    )
    return Plate(figure, alt)


def maps_and_truth(
    images: np.ndarray,
    altered: np.ndarray,
    names: Sequence[str],
    maps: Mapping[str, tuple[np.ndarray, np.ndarray]],
    source: str = "",
) -> Plate:
    """Crops with the contour of what was altered, and maps on their own and on one scale.

    Args:
        images: (N, 3, H, W) in [0, 1].
        altered: (N, H, W) bool.
        names: N row labels.
        maps: network -> (stretched, on a common scale), each (N, H, W) in [0, 1].
        source: the data, for the mark under the axes.
    """
    # Here and not above: it brings torch and the libraries of the maps, which no chart needs.
    from mcxlib.explain import overlay

    n, width = len(images), 1 + 2 * len(maps)
    with style():
        figure = new_figure(0.4 + 1.3 * width, 0.6 + 1.3 * n)
        axes = figure.subplots(n, width, squeeze=False)
        for row, line in enumerate(axes):
            line[0].imshow(images[row].transpose(1, 2, 0).clip(0, 1))
            line[0].set_ylabel(names[row])
            shown = [m[row] for both in maps.values() for m in both]
            for axis, one in zip(line[1:], shown, strict=True):
                axis.imshow(overlay(images[row], one))
            for axis in line:
                axis.contour(altered[row], levels=[0.5], colors="#56B4E9", linewidths=0.9)
                axis.set(xticks=[], yticks=[])
        titles = [f"{name}\n{kind}" for name in maps for kind in ("own range", "common scale")]
        for axis, text in zip(axes[0], ("altered inside", *titles), strict=True):
            axis.set_title(text, fontsize=7)
        mark(figure, source)
    parts = []
    for name, (stretched, common) in maps.items():
        dark = int((common.max((1, 2)) < 0.1).sum())
        inside = [
            f"{label} {m[a].sum() / m.sum():.2f}" if m.sum() else f"{label} none"
            for label, m, a in zip(names, stretched, altered, strict=True)
        ]
        parts.append(
            f"{name}, share of the map inside the altered region: {', '.join(inside)}; {dark} of "
            f"{n} below a tenth of the strongest"
        )
    return Plate(
        figure, f"Maps of output fake and altered regions{of(source)}. {'. '.join(parts)}."
    )
