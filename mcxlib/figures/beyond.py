"""Figures of what the tables do not say: thresholds, differences, calibration, fusion, chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from mcxlib.evaluate.metrics import auc
from mcxlib.evaluate.points import roc
from mcxlib.figures.style import (
    FAKE_COLOR,
    MEASURED_COLOR,
    PAPER_COLOR,
    Plate,
    mark,
    new_figure,
    of,
    style,
)
from mcxlib.paper import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KINDS = {
    "bosc_half": ("at 0.5", "o", MEASURED_COLOR),
    "bosc_chosen": ("chosen on validation", "s", FAKE_COLOR),
    "bosc_best": ("best possible", "|", "#222222"),
}
_RULE_LOOKS = ("o", "s", "^", "D", "|")


def thresholds(table: pd.DataFrame, source: str = "") -> Plate:
    """BOSC at three thresholds, a panel a data set, a line a detector.

    Args:
        table: of :func:`mcxlib.experiments.detector_comparison.points`.
        source: the data, for the mark under the axes.
    """
    labels, sets = _names(table, "label"), _names(table, "dataset")
    heights = np.arange(len(labels))

    def dots(axis: Axes, name: str) -> None:
        cells = table[table["dataset"] == name].set_index("label").reindex(labels)
        lowest = 100 * cells[["bosc_half", "bosc_chosen"]].min(axis=1)
        axis.hlines(heights, lowest, 100 * cells["bosc_best"], color="#cccccc", lw=1)
        for column, (text, marker, color) in _KINDS.items():
            size = {"|": 11, "s": 7.5}.get(marker, 4.5)
            axis.plot(100 * cells[column], heights, marker, color=color, ms=size, label=text,
                      mfc="none" if marker == "s" else color)  # fmt: skip
        axis.axvline(50, color="#999999", ls=":", lw=1)
        axis.set_xlabel("BOSC (%)")

    size = (2.0 + 1.75 * len(sets), 1.3 + 0.27 * len(labels))
    figure = _panels(labels, sets, size, dots, source, legend="outside upper right")
    means = table.groupby("dataset", sort=False)[list(_KINDS)].mean() * 100
    said = "; ".join(
        f"{row.Index} {row.bosc_half:.1f} at 0.5, {row.bosc_chosen:.1f} at the chosen threshold, "
        f"{row.bosc_best:.1f} at best"
        for row in means.itertuples()
    )
    return Plate(figure, f"BOSC of {len(labels)} rows in percent{of(source)}; means: {said}.")


def differences(
    table: pd.DataFrame, reference: str, metric: str = "auc", source: str = ""
) -> Plate:
    """Differences to one detector with their 95 % intervals; filled where Holm leaves them.

    Args:
        table: of :func:`mcxlib.experiments.detector_comparison.comparisons`.
        reference: the detector compared with.
        metric: "auc" or "bosc".
        source: the data, for the mark under the axes.
    """
    table = table[table["metric"] == metric]
    labels, sets = _names(table, "label"), _names(table, "dataset")
    heights = np.arange(len(labels))

    def dots(axis: Axes, name: str) -> None:
        cells = table[table["dataset"] == name].set_index("label").reindex(labels)
        axis.axvline(0, color="#999999", ls=":", lw=1)
        axis.hlines(heights, cells["low"], cells["high"], color=MEASURED_COLOR, lw=1.4)
        kept = cells["holm"] < 0.05
        axis.plot(cells["estimate"], heights, "o", mfc="white", mec=MEASURED_COLOR, ms=4.5)
        axis.plot(cells["estimate"][kept], heights[kept], "o", color=MEASURED_COLOR, ms=4.5)
        axis.set_xlabel(f"{metric.upper()} less {reference}'s", fontsize=7)

    size = (2.0 + 1.75 * len(sets), 1.2 + 0.27 * len(labels))
    figure = _panels(labels, sets, size, dots, source)
    known = table.dropna(subset=["p"])
    n, kept_n = len(known), int((known["holm"] < 0.05).sum())
    ends = known.sort_values("estimate").iloc[[0, -1]] if n else known
    said = " to ".join(
        f"{r.estimate:+.3f} ({r.label} on {shown(r.dataset)})" for r in ends.itertuples()
    )
    alt = (
        f"{n} differences of {metric.upper()} to {reference} with 95 % intervals{of(source)}: "
        f"{said or 'none known'}; {kept_n} differ from 0 after Holm."
    )
    return Plate(figure, alt)


def reliability(curves: pd.DataFrame, source: str = "") -> Plate:
    """Observed share of fakes by stated score, before and after temperature scaling, a panel a
    data set; a dot's area is the weight of its bin.

    Args:
        curves: of :func:`mcxlib.experiments.detector_comparison.reliability_curves`; may be empty.
        source: the data, for the mark under the axes.
    """
    sets = _names(curves, "dataset") or ["no row has a temperature"]
    said = []
    with style():
        figure = new_figure(1.0 + 2.0 * len(sets), 2.9)
        axes = figure.subplots(1, len(sets), sharex=True, sharey=True, squeeze=False)[0]
        for axis, name in zip(axes, sets, strict=True):
            axis.plot([0, 1], [0, 1], ls=":", color="#999999", lw=1)
            part = curves[curves["dataset"] == name]
            errors = []
            for when, color in (("before", PAPER_COLOR), ("after", MEASURED_COLOR)):
                bins = part[part["when"] == when]
                axis.plot(bins["stated"], bins["observed"], color=color, lw=1.2, label=when)
                axis.scatter(bins["stated"], bins["observed"], s=160 * bins["weight"], color=color)
                gap = (bins["stated"] - bins["observed"]).abs()
                errors.append(f"{(bins['weight'] * gap).sum():.3f} {when}")
            if len(part):
                said.append(f"{name} {' and '.join(errors)}")
            axis.set(title=shown(name), xlabel="score of fake", xlim=(0, 1), ylim=(0, 1))
            axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            axis.set_box_aspect(1)
            axis.grid()
        axes[0].set_ylabel("share of fakes")
        handles, texts = axes[0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside upper right", ncols=2)
        mark(figure, source)
    listed = "; ".join(said) or "no row has a temperature"
    alt = f"Reliability diagrams{of(source)}; mean distance from the diagonal: {listed}."
    return Plate(figure, alt)


def fusion(table: pd.DataFrame, source: str = "") -> Plate:
    """AUC of each rule of fusing, a panel a data set, a line a family.

    Args:
        table: of :func:`mcxlib.experiments.fusion.results`.
        source: the data, for the mark under the axes.
    """
    families, sets, rules = (_names(table, column) for column in ("family", "dataset", "rule"))
    colors = dict(zip(rules, ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#222222"), strict=False))

    def dots(axis: Axes, name: str) -> None:
        for place, (rule, color) in enumerate(colors.items()):
            part = table[(table["dataset"] == name) & (table["rule"] == rule)]
            shift = 0.14 * (place - (len(rules) - 1) / 2)
            height = [families.index(f) + shift for f in part["family"]]
            looks = _RULE_LOOKS[place % 5]
            large = 10 if looks == "|" else 5
            axis.plot(part["auc"], height, looks, color=color, ms=large, label=rule)
        axis.set_xlabel("AUC")

    size = (1.8 + 1.75 * max(1, len(sets)), 1.6 + 0.6 * len(families))
    figure = _panels(families, sets, size, dots, source, legend="outside upper center")
    means = table.groupby(["family", "rule"], sort=False)["auc"].mean()
    said = "; ".join(
        f"{family}: {', '.join(f'{rule} {means[family, rule]:.3f}' for rule in rules)}"
        for family in families
    )
    alt = f"AUC of {len(rules)} rules on {len(families)} families{of(source)}; means: {said}."
    return Plate(figure, alt)


def halves(table: pd.DataFrame, source: str = "") -> Plate:
    """What the best detector on half of the videos has there, on the other half, and what equal
    detectors would show.

    Args:
        table: of :func:`mcxlib.experiments.fusion.halves`.
        source: the data, for the mark under the axes.
    """
    sets = [shown(name) for name in table["dataset"]]
    heights = np.arange(len(sets))
    with style():
        figure = new_figure(6.4, 1.4 + 0.45 * len(sets))
        axis = figure.subplots()
        axis.hlines(heights, 100 * table["other"], 100 * table["seen"], color="#cccccc", lw=1.4)
        looks = (
            ("seen", "where it was picked", "o", FAKE_COLOR),
            ("other", "on the other half", "s", MEASURED_COLOR),
            ("average", "mean of all detectors", "|", "#222222"),
        )
        for column, text, marker, color in looks:
            size = 14 if marker == "|" else 6
            axis.plot(100 * table[column], heights, marker, color=color, ms=size, label=text)
        chance = 100 * (table["average"] + table["simulated"])
        axis.plot(chance, heights, "o", mfc="white", mec=PAPER_COLOR, ms=6,
                  label="best of equal detectors")  # fmt: skip
        axis.set_xlabel("BOSC (%)")
        axis.grid(axis="x")
        _label_heights(axis, sets)
        figure.legend(loc="outside upper center", ncols=2)
        mark(figure, source)
    said = "; ".join(
        f"{shown(r.dataset)} {100 * r.seen:.1f} and {100 * r.other:.1f}, "
        f"mean {100 * r.average:.1f}, "
        f"by chance {100 * (r.average + r.simulated):.1f}"
        for r in table.itertuples()
    )
    return Plate(
        figure,
        f"BOSC in percent of the best detector where it was picked and on the other half of the "
        f"videos{of(source)}: {said}.",
    )


def leads(table: pd.DataFrame) -> Plate:
    """The paper's leads in points against what two equal detectors would show by chance.

    Args:
        table: of :func:`mcxlib.paper.leads`.
    """
    table = table.reset_index(drop=True)
    texts = [f"{shown(row.test_set)}: {row.best} over {row.other}" for row in table.itertuples()]
    heights = np.arange(len(table))
    share = (table[["bosc", "bosc_other"]].mean(axis=1) / 100).to_numpy()
    spread = share * (1 - share) * (1 / table["n_real"] + 1 / table["n_fake"]) / 2
    with style():
        figure = new_figure(7.4, 1.3 + 0.29 * len(table))
        axis = figure.subplots()
        axis.barh(heights, 196 * np.sqrt(spread), color="#dddddd", height=0.7,
                  label="95 % of equal detectors stay within")  # fmt: skip
        for verdict, color in zip(
            dict.fromkeys(table["verdict"]), (PAPER_COLOR, "#E69F00", MEASURED_COLOR, "#222222"),
            strict=False,
        ):  # fmt: skip
            rows = table[table["verdict"] == verdict]
            axis.plot(rows["lead"], rows.index, "o", color=color, ms=5, label=verdict,
                      clip_on=False)  # fmt: skip
        axis.set_yticks(heights, texts)
        axis.set_ylim(len(table) - 0.5, -0.5)
        axis.set_xlabel("lead in BOSC (points), as printed")
        axis.grid(axis="x")
        figure.legend(loc="outside upper right", ncols=2)
        mark(figure, "the paper's tables; nothing measured here")
    verdicts = table["verdict"].value_counts()
    counts = ", ".join(f"{verdict}: {n}" for verdict, n in verdicts.items())
    alt = (
        f"{len(table)} leads of the paper's best cells, from {table['lead'].min():.2f} to "
        f"{table['lead'].max():.2f} points, beside what equal detectors show by chance: {counts}."
    )
    return Plate(figure, alt)


def _panels(
    labels: list[str],
    sets: list[str],
    size: tuple[float, float],
    draw: Callable[[Axes, str], None],
    source: str,
    legend: Literal["outside upper right", "outside upper center"] | None = None,
) -> Figure:
    """The frame of a dot plot: a panel a data set, a line a label, which ``draw`` fills; with
    ``legend``, its place."""
    with style():
        figure = new_figure(*size)
        axes = figure.subplots(1, max(1, len(sets)), sharey=True, sharex=True, squeeze=False)[0]
        for axis, name in zip(axes, sets, strict=False):
            draw(axis, name)
            axis.set_title(shown(name))
            axis.grid(axis="x")
        _label_heights(axes[0], labels)
        if legend:
            handles, texts = axes[0].get_legend_handles_labels()
            figure.legend(handles, texts, loc=legend, ncols=3)
        mark(figure, source)
    return figure


def _names(table: pd.DataFrame, column: str) -> list[str]:
    return list(dict.fromkeys(table[column]))


def _label_heights(axis, labels: list[str]) -> None:  # type: ignore[no-untyped-def]
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.5)


def roc_of_sets(videos: pd.DataFrame, source: str = "", title: str = "") -> Plate:
    """ROC curves, one a data set, with the point of the threshold 0.5.

    Args:
        videos: dataset, is_fake and fake_score, one row a video; data sets of one class have no
            curve and are said to have none.
        source: the data, for the mark under the axes.
        title: of the panel.
    """
    said = []
    with style():
        figure = new_figure(4.8, 4.6)
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], ls=":", color="#999999", lw=1)
        for place, (name, part) in enumerate(videos.groupby("dataset", sort=False)):
            if part["is_fake"].nunique() < 2:
                said.append(f"{name} of one class, no curve")
                continue
            curve = roc(part["is_fake"], part["fake_score"])
            area = auc(part["is_fake"], part["fake_score"])
            color, line = _SET_COLORS[place % 7], ("-", "--", "-.", ":")[place % 4]
            axis.plot(curve.fpr, curve.tpr, line, color=color, lw=1.6, label=f"{name}: {area:.3f}")
            at = int((curve.threshold <= 0.5).sum()) - 1
            axis.plot(curve.fpr[at], curve.tpr[at], "o", color=color, ms=5, mec="white")
            said.append(f"{name} {area:.3f}")
        axis.set(xlabel="false positive rate", ylabel="true positive rate", title=title)
        axis.set_aspect("equal")
        axis.grid()
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="lower right", title="AUC")
        mark(figure, source)
    alt = f"ROC curves{of(source)} with AUC by data set: {'; '.join(said)}; dots mark 0.5."
    return Plate(figure, alt)


_SET_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
