"""Figures of the laboratory of traces: what they look like, and who sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mcxlib.figures.style import Plate, mark, new_figure, of, style

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
    """A row a trace: the untouched crop, five strengths, and what the strongest changed.

    Args:
        rows: name -> six crops, uint8 (S, S, 3), the untouched one first.
        strengths: name -> how each of the five is written.
        source: the data, for the mark under the axes.
    """
    with style():
        figure = new_figure(7.4, 0.6 + 1.12 * len(rows))
        axes = figure.subplots(len(rows), 7, squeeze=False)
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
        f"Sheet of {len(rows)} traces{of(source)}, a row each: the untouched crop, five rising "
        f"strengths, and where the strongest changed it: {', '.join(rows)}."
    )
    return Plate(figure, alt)


def heat(table: pd.DataFrame, names: Mapping[str, str], source: str = "") -> Plate:
    """Mean AUC by trace (rows) and set of colour spaces (columns), with the numbers.

    Args:
        table: of :func:`mcxlib.experiments.findings.heat`.
        names: column -> how it is written.
        source: the data, for the mark under the axes.
    """
    values = table.to_numpy()
    with style():
        figure = new_figure(2.4 + 0.56 * table.shape[1], 1.5 + 0.3 * table.shape[0])
        axis = figure.subplots()
        image = axis.imshow(values, cmap="cividis", vmin=0.5, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            best = value >= values[row].max() - 5e-4
            axis.text(
                *(column, row, f"{value:.2f}"), ha="center", va="center", fontsize=7,
                color="white" if value < 0.75 else "black", fontweight="bold" if best else "normal",
            )  # fmt: skip
        axis.set_yticks(range(len(table)), table.index)
        texts = [names.get(name, name) for name in table.columns]
        axis.set_xticks(range(len(texts)), texts, rotation=35, ha="right", rotation_mode="anchor")
        figure.colorbar(image, label="AUC, mean over strengths", shrink=0.8)
        mark(figure, source)
    best = table.idxmax(axis=1)
    said = "; ".join(
        f"{name} best in {names.get(spec, spec)} ({table.loc[name, spec]:.2f}), RGB "
        f"{table.loc[name, 'rgb']:.2f}"
        for name, spec in best.items()
    )
    return Plate(figure, f"Heat map of AUC by trace and colour spaces{of(source)}: {said}.")


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
            axis.set(title=name, ylim=(0.4, 1.03))
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
