"""Charts of numbers: paper beside measured, ROC curves, training, scores."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pandas as pd

from mcxlib.evaluate import per_manipulation
from mcxlib.figures.style import (
    FAKE_COLOR,
    MEASURED_COLOR,
    PAPER_COLOR,
    Plate,
    looks,
    mark,
    new_figure,
    of,
    style,
)
from mcxlib.paper import shown

_NAMES = {"bosc": "BOSC (%)", "auc": "AUC"}
_DIGITS = {"bosc": 2, "auc": 4}  # as many as the paper's longest

_NO_LOSS = (
    *("step", "epoch", "lr", "lr_backbone", "images_per_second", "selected", "total"),
    "self_minus_other",
)
_WIDE = 7.0
"""Inches (72 pt) that a page has for a figure: what is wider is shown smaller, letters and all."""
_SMOOTHED = 20
"""A loss is drawn as its mean over this part of all steps, and pale as it was."""
_LOSS_COLORS = ("#0072B2", "#009E73", "#D55E00", "#E69F00", "#56B4E9", "#CC79A7", "#F0E442")


def compare(table: pd.DataFrame, metric: str = "auc") -> Plate:
    """The paper's number and the measured one, a panel a test set, a line a method.

    Args:
        table: from :func:`mcxlib.tables.closed_set` or :func:`mcxlib.tables.cross_dataset`; the
            methods that were not run and that are not the paper's own are left out.
        metric: "auc" or "bosc".

    Raises:
        ValueError: another metric, or a table without anything to show.
    """
    if metric not in _NAMES:
        raise ValueError(f"unknown metric {metric!r}; valid: {', '.join(_NAMES)}")
    table = table[(table["seeds"] > 0) | (table["origin"] == "proposed")]
    if table.empty:
        raise ValueError("the table has neither measured nor proposed rows to show")
    labels = list(dict.fromkeys(table["label"]))
    sets = list(dict.fromkeys(table["test_set"]))
    sources = [text for text in dict.fromkeys(table["source"]) if text]
    with style():
        figure = new_figure(1.7 + 1.45 * len(sets), 1.1 + 0.27 * len(labels))
        axes = figure.subplots(1, len(sets), sharey=True, sharex=True, squeeze=False)[0]
        for axis, name in zip(axes, sets, strict=True):
            cells = table[table["test_set"] == name].set_index("label").reindex(labels)
            heights = np.arange(len(labels))
            paper, measured = cells[f"{metric}_paper"], cells[f"{metric}_measured"]
            axis.hlines(heights, paper, measured, color="#cccccc", lw=1)
            axis.plot(
                paper,
                heights,
                "o",
                mfc="white",
                mec=PAPER_COLOR,
                ms=5,
                label="printed in the paper",
            )
            axis.errorbar(
                measured,
                heights,
                xerr=cells[f"{metric}_sd"].fillna(0),
                fmt="s",
                color=MEASURED_COLOR,
                ms=4.5,
                label="measured here",
            )
            axis.set_title(shown(name))
            axis.set_xlabel(_NAMES[metric])
            axis.grid(axis="x")
        axes[0].set_yticks(range(len(labels)), labels)
        axes[0].invert_yaxis()
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper right", ncols=2)
        mark(figure, ", ".join(f"measured on {s}" for s in sources) or "nothing measured yet")
    return Plate(figure, _compare_alt(table, metric, sets, ", ".join(sources)))


def _compare_alt(table: pd.DataFrame, metric: str, sets: list[str], source: str) -> str:
    digits = _DIGITS[metric]
    parts = []
    # One sentence, not the whole table: where there is an average, the average.
    for name in ["Average"] if "Average" in sets else sets:
        cells = table[table["test_set"] == name]
        measured = cells.dropna(subset=[f"{metric}_measured"])
        paper = cells[f"{metric}_paper"].dropna()
        text = "on average " if name == "Average" else f"on {name} "
        if len(measured):
            values = measured.set_index("label")[f"{metric}_measured"]
            text += (
                f"measured {values.min():.{digits}f} ({values.idxmin()}) to "
                f"{values.max():.{digits}f} ({values.idxmax()})"
            )
        else:
            text += "nothing measured"
        if len(paper):
            text += f", printed {paper.min():.{digits}f} to {paper.max():.{digits}f}"
        parts.append(text)
    n = table["label"].nunique()
    name = _NAMES[metric].removesuffix(" (%)")
    unit = " in percent" if metric == "bosc" else ""
    return f"Dot plot of the {name}{unit} of {n} methods{of(source)}: {'; '.join(parts)}."


def forest(table: pd.DataFrame) -> Plate:
    """Measured AUC and BOSC with their 95 % intervals, a panel a test set, a line a method.

    Both on one axis from 0 to 1, BOSC as a share; they differ in colour, marker and height.

    Args:
        table: from :func:`mcxlib.tables.closed_set`, :func:`mcxlib.tables.overall` or
            :func:`mcxlib.tables.cross_dataset`; what was not measured is left out, and a number
            without interval is a point.

    Raises:
        ValueError: a table without a measured number.
    """
    table = table[table["auc_measured"].notna()]
    if table.empty:
        raise ValueError("the table holds no measured number to show")
    labels = list(dict.fromkeys(table["label"]))
    sets = list(dict.fromkeys(table["test_set"]))
    source = ", ".join(text for text in dict.fromkeys(table["source"]) if text)
    drawn = {
        "auc": (1, "AUC", MEASURED_COLOR, "o", -0.17),
        "bosc": (100, "BOSC, as a share", FAKE_COLOR, "s", 0.17),
    }
    with style():
        figure = new_figure(min(2.1 + 1.75 * len(sets), _WIDE), 1.3 + 0.3 * len(labels))
        axes = figure.subplots(1, len(sets), sharey=True, sharex=True, squeeze=False)[0]
        heights = np.arange(len(labels))
        for axis, name in zip(axes, sets, strict=True):
            cells = table[table["test_set"] == name].set_index("label").reindex(labels)
            axis.axvline(0.5, color="#999999", ls=":", lw=1)
            for metric, (scale, text, color, marker, shift) in drawn.items():
                value, low, high = (
                    cells[f"{metric}_{what}"] / scale for what in ("measured", "low", "high")
                )
                axis.hlines(heights + shift, low, high, color=color, lw=1.4)
                axis.plot(value, heights + shift, marker, color=color, ms=4, label=text)
            axis.set_title(shown(name))
            axis.set_xlim(-0.02, 1.02)
            axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            axis.grid(axis="y")
        axes[0].set_yticks(heights, labels)
        axes[0].set_ylim(len(labels) - 0.5, -0.5)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper right", ncols=2)
        mark(figure, source)
    return Plate(figure, _forest_alt(table, sets, len(labels), source))


def _forest_alt(table: pd.DataFrame, sets: list[str], rows: int, source: str) -> str:
    parts = []
    for name in ["Average"] if "Average" in sets else sets:
        cells = table[table["test_set"] == name].sort_values("auc_measured", kind="stable")
        ends = [cells.iloc[0]] if len(cells) == 1 else [cells.iloc[0], cells.iloc[-1]]
        each = [
            f"{cell['auc_measured']:.3f} ({cell['auc_low']:.3f} to {cell['auc_high']:.3f}, "
            f"{cell['label']})"
            for cell in ends
        ]
        where = "on average" if name == "Average" else f"on {name}"
        parts.append(f"{where} AUC {' to '.join(each)}")
    return (
        f"Forest plot of the AUC and BOSC of {rows} methods with 95 % intervals{of(source)}: "
        f"{'; '.join(parts)}."
    )


def roc_curves(frames: pd.DataFrame, source: str = "", title: str = "") -> Plate:
    """ROC curves, real against each manipulation, with the point of the threshold 0.5.

    Args:
        frames: is_fake, manipulation and fake_score, one row a frame or a video.
        source: the data, for the mark under the axes.

    Raises:
        ValueError: missing columns, or as :func:`mcxlib.evaluate.per_manipulation`.
    """
    # Here and not above: no other figure needs it, and it takes a while to import.
    from sklearn.metrics import roc_curve

    _need(frames, "is_fake", "manipulation", "fake_score")
    numbers = per_manipulation(
        frames["is_fake"], frames["fake_score"], frames["manipulation"]
    ).set_index("manipulation")
    with style():
        figure = new_figure(4.6, 4.4)
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], ls=":", color="#999999", lw=1)
        for name, look in looks(numbers.index.drop("Average")).items():
            part = frames[frames["manipulation"].isin(["real", name])]
            fpr, tpr, thresholds = roc_curve(
                part["is_fake"].astype(int), part["fake_score"], drop_intermediate=False
            )
            text = f"{name}: AUC {numbers.loc[name, 'auc']:.3f}"
            axis.plot(fpr, tpr, look.line, color=look.color, lw=1.6, label=text)
            # Thresholds fall; the last one above 0.5 is the decision "score > 0.5".
            at = int((thresholds > 0.5).sum()) - 1
            axis.plot(fpr[at], tpr[at], "o", color=look.color, ms=5, mec="white")
        axis.set(xlabel="false positive rate", ylabel="true positive rate", title=title)
        axis.set_aspect("equal")
        axis.grid()
        axis.legend(loc="lower right")
        mark(figure, source)
    single = numbers.drop(index="Average")
    each = ", ".join(f"{n} {row.auc:.3f} (BOSC {row.bosc:.3f})" for n, row in single.iterrows())
    alt = f"ROC curves{of(source)} with AUC by manipulation: {each}; dots mark the threshold 0.5."
    return Plate(figure, alt)


def training_curves(history: pd.DataFrame, source: str = "", title: str = "") -> Plate:
    """Losses and learning rate by step, validation AUC and BOSC by epoch, images a second.

    Args:
        history: columns step, epoch, total, lr, and val_auc and val_bosc (NaN but at an epoch's
            last step); with images_per_second, a third panel. Every other column is one of the
            detector's own losses (lr_backbone, selected and further val_... are not).

    Raises:
        ValueError: missing columns or no row.
    """
    needed = ("step", "epoch", "total", "lr", "val_auc", "val_bosc")
    if missing := [name for name in needed if name not in history]:
        raise ValueError(f"the training history lacks the columns {', '.join(missing)}")
    if history.empty:
        raise ValueError("the training history is empty: no step was taken")
    steps, epochs = history["step"], history.dropna(subset=["val_auc"])
    parts = [c for c in history if c not in _NO_LOSS and not c.startswith("val_")]
    with style():
        timed = "images_per_second" in history
        figure = new_figure(7.0, 3.2)
        ratios = [4, 3, 2] if timed else [1, 1]
        losses, validation, *speed = figure.subplots(1, len(ratios), width_ratios=ratios)
        window = max(1, len(history) // _SMOOTHED)
        for name, color in [*zip(parts, cycle(_LOSS_COLORS)), ("total", "#222222")]:
            if window > 1:
                losses.plot(steps, history[name], color=color, lw=0.6, alpha=0.25)
            smooth = history[name].rolling(window, min_periods=1, center=True).mean()
            text = name.replace("_", " ")
            losses.plot(steps, smooth, color=color, lw=1.6 if window > 1 else 1, label=text)
        losses.set(xlabel="step", ylabel="loss", title=title)
        # Most losses end at 0; a detector may have one that does not.
        lowest = 1.05 * min(0.0, history[["total", *parts]].min(axis=None))
        losses.set_ylim(lowest, 1.05 * losses.get_ylim()[1])
        rate = losses.twinx()
        rate.spines["right"].set_visible(True)
        rate.plot(
            steps, history["lr"], color="#aaaaaa", lw=1, ls="--", label="learning rate (right)"
        )
        rate.set_ylim(0, 1.05 * rate.get_ylim()[1])
        rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
        lines = [line for axis in (losses, rate) for line in axis.get_lines()]
        lines = [line for line in lines if not str(line.get_label()).startswith("_")]
        labels = [str(line.get_label()) for line in lines]
        figure.legend(lines, labels, loc="outside upper left", ncols=4)
        validation.plot(epochs["step"], epochs["val_auc"], "o-", color="#0072B2", ms=3, label="AUC")
        validation.plot(
            epochs["step"], epochs["val_bosc"], "s-", color="#D55E00", ms=3, label="BOSC"
        )
        validation.axhline(0.5, color="#999999", ls=":", lw=1)
        validation.set(xlabel="step", ylabel="validation", ylim=(min(0.45, _low(epochs)), 1.005))
        validation.grid(axis="y")
        validation.legend(loc="lower right")
        for axis in speed:
            axis.plot(steps, history["images_per_second"], color="#CC79A7", lw=1)
            axis.set(xlabel="step", ylabel="images a second", ylim=(0, None))
            axis.grid(axis="y")
        mark(figure, source)
    alt = (
        f"Training curves over {len(steps)} steps{of(source)}: the total loss goes from "
        f"{history['total'].iloc[0]:.2f} to {history['total'].iloc[-1]:.2f}"
    )
    if len(epochs):
        alt += (
            f", validation AUC from {epochs['val_auc'].iloc[0]:.3f} to "
            f"{epochs['val_auc'].iloc[-1]:.3f} (best {epochs['val_auc'].max():.3f}), BOSC from "
            f"{epochs['val_bosc'].iloc[0]:.3f} to {epochs['val_bosc'].iloc[-1]:.3f}"
        )
    if window > 1:
        alt += f"; losses are means over {window} steps, pale behind them each step's own"
    if timed:
        alt += "; beside them, the images trained on in a second"
    return Plate(figure, alt + ".")


def _low(epochs: pd.DataFrame) -> float:
    low = epochs[["val_auc", "val_bosc"]].min(axis=None) if len(epochs) else np.nan
    return 0.45 if np.isnan(low) else low - 0.02


def score_distributions(frames: pd.DataFrame, source: str = "", bins: int = 25) -> Plate:
    """Scores of real and fake, a panel a data set, with the decision threshold 0.5.

    Two data sets may be ranked equally well (AUC) and yet differ in BOSC, because the scores of
    one lie on one side of the fixed threshold: here that is seen.

    Args:
        frames: dataset, is_fake and fake_score, one row a frame or a video.

    Raises:
        ValueError: missing columns.
    """
    _need(frames, "dataset", "is_fake", "fake_score")
    names = list(dict.fromkeys(frames["dataset"]))
    edges = np.linspace(0, 1, bins + 1)
    parts = []
    with style():
        columns = min(2, len(names))
        lines = -(-len(names) // columns)
        figure = new_figure(min(1.2 + 2.9 * columns, _WIDE), 0.4 + 2.2 * lines)
        axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axis in axes[len(names) :]:
            axis.remove()
        for axis, name in zip(axes, names, strict=False):
            part = frames[frames["dataset"] == name]
            fake = part["is_fake"].astype(bool)
            text = []
            for kind, rows, color in (
                ("real", part[~fake], MEASURED_COLOR),
                ("fake", part[fake], FAKE_COLOR),
            ):
                if rows.empty:
                    continue
                # Shares, because there are several fakes to a real video.
                weights = np.full(len(rows), 1 / len(rows))
                axis.hist(
                    rows["fake_score"],
                    edges,
                    weights=weights,
                    color=color,
                    alpha=0.55,
                    label=f"{kind} ({len(rows)})",
                )
                above = (rows["fake_score"] > 0.5).mean()
                text.append(f"{100 * above:.1f} % of {len(rows)} {kind}")
            axis.axvline(0.5, color="#222222", lw=1, ls="--")
            axis.set(xlabel="score of fake", title=shown(name), xlim=(0, 1), ylabel="share")
            axis.legend(loc="upper center", ncols=2, columnspacing=1, handlelength=1)
            axis.tick_params(labelleft=True, labelbottom=True)
            parts.append(f"{name} {' and '.join(text)}")
        axes[0].set_ylim(top=1.3 * axes[0].get_ylim()[1])  # room for the legends
        mark(figure, source)
    alt = f"Histograms of the score of fake{of(source)}; above the threshold 0.5: "
    return Plate(figure, alt + "; ".join(parts) + ".")


def _need(frames: pd.DataFrame, *columns: str) -> None:
    if missing := [name for name in columns if name not in frames]:
        raise ValueError(f"the scores lack the columns {', '.join(missing)}")
