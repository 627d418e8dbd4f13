"""Stored scores of harmed frames -> curves, what each level costs, and what that says in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mcxlib import evaluate
from mcxlib.config import RunConfig
from mcxlib.evaluate.drop import drop_interval
from mcxlib.evaluate.intervals import Interval
from mcxlib.experiments import corruptions, robustness
from mcxlib.experiments.corrupted_crops import FRAME, Sample
from mcxlib.experiments.corruptions import CORRUPTIONS, NONE

UNITS = {"auc": 1, "bosc": 100}
"""Metrics, and what their fractions are multiplied by."""

DRAWS = 500
"""Resamples of an interval."""


def with_others(studied: Sequence[RunConfig]) -> list[RunConfig]:
    """``studied``, and the other rows of their preset that have scores of harmed frames, in the
    order of the tables."""
    preset, seed, videos = studied[0].preset, studied[0].seed, studied[0].data.videos
    every = robustness.runs(preset, full=True, seed=seed, videos=videos)
    known = {config.run_id for config in studied}
    others = [config for config in every if config.run_id not in known]
    return [*studied, *(one for one in others if robustness.stored(one) is not None)]


def curves(
    studied: Sequence[RunConfig], dataset: str = "", sample: Sample | None = None
) -> pd.DataFrame:
    """AUC and BOSC of each run, corruption and level, with intervals, from stored scores.

    As in Table 1 the metrics are means over the manipulations, frame by frame. Intervals of 95 %
    are by bootstrap over videos; a drop is taken over the same frames and videos with and without
    the corruption (:func:`mcxlib.evaluate.drop.drop_interval`).

    Args:
        studied: the runs.
        dataset: as for :func:`mcxlib.experiments.robustness.make`.
        sample: as there.

    Returns:
        One row a run, corruption and level, "none" being a level of each corruption: label,
        run_id, corruption, level, place (on an axis, from 0), videos, frames, lost (faces that
        were not found anew), and for auc and bosc (percent): the metric, its _low and _high, and
        its _drop with _drop_low and _drop_high (no numbers for "none"). Where so many faces were
        not found anew that a manipulation has fewer than two videos left, there are no numbers.

    Raises:
        FileNotFoundError: a run has no scores; says how to make them.
    """
    found = []
    for config in studied:
        table = robustness.stored(config, dataset, sample)
        if table is None:
            raise FileNotFoundError(
                f"no current scores of {config.run_id} under corruptions: make them with "
                f"mcx robustness --preset {config.preset} --detectors "
                f"{config.detector}:{config.colorspace}"
            )
        found.append(_of_run(config, table))
    return pd.concat(found, ignore_index=True)


def _of_run(config: RunConfig, table: pd.DataFrame) -> pd.DataFrame:
    lost = table.attrs["lost"]
    before = table[table["corruption"] == NONE]
    untouched = _metrics(before)
    kinds = sorted(set(before["manipulation"]))
    rows = []
    for name in [kind for kind in CORRUPTIONS if kind in set(table["corruption"])]:
        part = table[table["corruption"] == name]
        for place, level in enumerate(corruptions.order(name, part["level"].unique())):
            after = before if level == NONE else part[part["level"] == level]
            row: dict[str, Any] = {
                "label": config.label,
                "run_id": config.run_id,
                "corruption": name,
            }
            row |= {"level": level, "place": place, "videos": after["video_id"].nunique()}
            row |= {"frames": len(after), "lost": lost.get(corruptions.key(name, level), 0)}
            if level == NONE:
                row |= untouched
            elif after.groupby("manipulation")["video_id"].nunique().reindex(kinds).ge(2).all():
                row |= _metrics(after) | _drops(before, after)
            rows.append(row)
    return pd.DataFrame(rows)


def samples(table: pd.DataFrame) -> list[evaluate.Sample]:
    """Scores of frames -> one set a manipulation, each beside all real frames."""
    sets = []
    for name in sorted(set(table["manipulation"]) - {"real"}):
        part = table[~table["is_fake"] | (table["manipulation"] == name)]
        video = part["video_id"].to_numpy(str)
        sets.append(evaluate.Sample(part["is_fake"].to_numpy(bool), part["fake_score"], video))
    return sets


def _metrics(table: pd.DataFrame) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric, unit in UNITS.items():
        interval = evaluate.video_interval(samples(table), metric, draws=DRAWS)
        found |= _named(metric, interval, unit)
    return found


def _drops(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, float]:
    """Over the frames that both have."""
    keys = pd.MultiIndex.from_frame(after[FRAME])
    before = before[pd.MultiIndex.from_frame(before[FRAME]).isin(keys)]
    found: dict[str, float] = {}
    for metric, unit in UNITS.items():
        interval = drop_interval(samples(before), samples(after), metric, draws=DRAWS)
        found |= _named(f"{metric}_drop", interval, unit)
    return found


def _named(name: str, interval: Interval, unit: float) -> dict[str, float]:
    ends = {"": interval.estimate, "_low": interval.low, "_high": interval.high}
    return {f"{name}{end}": unit * value for end, value in ends.items()}


def stated(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of :func:`curves` at each corruption's stated level, as far as it was made."""
    levels = {kind.name: corruptions.text(kind.stated) for kind in CORRUPTIONS.values()}
    return table[table["level"] == table["corruption"].map(levels)]


def what(corruption: str, level: str) -> str:
    """A level in words: "JPEG of quality 30"."""
    return CORRUPTIONS[corruption].words.format(level)


def summary(table: pd.DataFrame, metric: str = "auc") -> pd.DataFrame:
    """The drop at the stated levels to print: a row a corruption, a column a detector, "drop (low
    to high)"; the first row has what the metric is without any corruption."""
    digits = 3 if metric == "auc" else 1
    rows: dict[str, dict[str, str]] = {}
    for row in table[table["level"] == NONE].drop_duplicates("label").to_dict("records"):
        rows.setdefault("as it is", {})[row["label"]] = _span(row, metric, digits)
    for row in stated(table).to_dict("records"):
        name = what(row["corruption"], row["level"])
        rows.setdefault(f"less by: {name}", {})[row["label"]] = _span(row, f"{metric}_drop", digits)
    shown = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    return shown.rename_axis(metric.upper()).reset_index()


def costs(table: pd.DataFrame) -> pd.DataFrame:
    """A row a detector, for many of them: its AUC, the stated level that costs it most, how much
    that is, and the mean loss over all stated levels."""
    rows = []
    for label, part in table.groupby("label", sort=False):
        at = stated(part)
        if at["auc_drop"].notna().any():
            untouched = part[part["level"] == NONE].iloc[0].to_dict()
            most = at.loc[at["auc_drop"].idxmax()].to_dict()
            row = {"Detector": label, "AUC as it is": _span(untouched, "auc", 3)}
            row |= {"costs most": what(most["corruption"], most["level"])}
            row |= {"AUC lost to it": _span(most, "auc_drop", 3)}
            rows.append(row | {"mean loss": f"{at['auc_drop'].mean():.3f}"})
    return pd.DataFrame(rows)


def _span(row: dict[str, Any], name: str, digits: int) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    value, low, high = (round(number, digits) + 0.0 for number in (row[name], low, high))  # no -0
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def words(table: pd.DataFrame) -> list[str]:
    """A sentence a detector: which corruption costs it most AUC at the stated levels, which level
    of any costs it most, and which stated ones cannot be told from none."""
    said = []
    for label, part in table.groupby("label", sort=False):
        at = stated(part)
        if at["auc_drop"].isna().all():
            continue
        most = at.loc[at["auc_drop"].idxmax()]
        worst = part.loc[part["auc_drop"].idxmax()]
        unsure = at[(at["auc_drop_low"] <= 0) & (at["auc_drop_high"] >= 0)]
        gained = at[at["auc_drop_high"] < 0]
        line = (
            f"{label}: of the stated levels, {what(most['corruption'], most['level'])} costs most, "
            f"{most['auc_drop']:.3f} of AUC ({most['auc_drop_low']:.3f} to "
            f"{most['auc_drop_high']:.3f}); of all levels, "
            f"{what(worst['corruption'], worst['level'])}, {worst['auc_drop']:.3f}. "
            f"{len(unsure)} of {len(at)} stated levels cannot be told from no loss"
        )
        said.append(line + (f", {len(gained)} raise it." if len(gained) else "."))
    return said


def seen(table: pd.DataFrame) -> list[str]:
    """Three lines about all detectors together, at the stated levels."""
    at = stated(table)
    if at["auc_drop"].isna().all():
        return ["No corruption has numbers at its stated level.", *2 * ["Nothing can be compared."]]
    of_kind = at.groupby("corruption", sort=False)["auc_drop"].mean()
    of_label = at.groupby("label", sort=False)["auc_drop"].mean()
    apart = int(((at["auc_drop_low"] > 0) | (at["auc_drop_high"] < 0)).sum())
    of_box = at["corruption"].isin(corruptions.OF_BOX)
    levels = at.drop_duplicates("corruption").set_index("corruption")["level"]
    worst, mildest = (str(name) for name in (of_kind.idxmax(), of_kind.idxmin()))
    return [
        f"Of the stated levels, {what(worst, levels[worst])} costs most, {of_kind.max():.3f} of "
        f"AUC on the mean of {len(of_label)} detectors, and {what(mildest, levels[mildest])} "
        f"least, {of_kind.min():.3f}.",
        "Mean loss over the stated levels: "
        + "; ".join(f"{label} {value:.3f}" for label, value in of_label.items())
        + f". {apart} of {len(at)} losses have an interval without 0.",
        f"Changing the box alone costs {_mean(at[of_box])}, changing the picture "
        f"{_mean(at[~of_box])}.",
    ]


def _mean(at: pd.DataFrame) -> str:
    if at["auc_drop"].isna().all():
        return "nothing that was measured"
    auc, bosc = at["auc_drop"].mean(), at["bosc_drop"].mean()
    return f"{auc:.3f} of AUC and {bosc:.1f} points of BOSC at 0.5"
