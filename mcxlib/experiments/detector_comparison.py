"""Rows of the tables beside each other, video by video: thresholds, differences, calibration.

Everything is computed from stored scores. What is chosen or fitted, a threshold or a temperature,
is chosen on the validation videos of the data set that was trained on, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mcxlib import pipeline
from mcxlib.config import RunConfig
from mcxlib.evaluate.calibration import calibrated, fit_temperature
from mcxlib.evaluate.paired import delong, holm, paired_bootstrap
from mcxlib.evaluate.points import NUMBERS, operating_points
from mcxlib.evaluate.reliability import calibration_error, reliability
from mcxlib.evaluate.thresholds import best_threshold
from mcxlib.evaluate.videos import video_scores
from mcxlib.paper import shown

KEY = ["dataset", "video_id", "manipulation", "is_fake"]

LEVEL = 0.05


@dataclass(frozen=True)
class Scored:
    """Video scores of several detectors on the same videos."""

    validation: pd.DataFrame
    """One row a video: KEY, and a column a detector, by its label."""
    test: pd.DataFrame
    """The same of all test sets."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Data set -> videos that not all of the detectors could judge."""

    @property
    def names(self) -> list[str]:
        """The detectors' labels."""
        return [name for name in self.test if name not in KEY]

    @property
    def datasets(self) -> list[str]:
        return list(dict.fromkeys(self.test["dataset"]))

    def of(self, dataset: str) -> pd.DataFrame:
        """The test videos of one data set."""
        return self.test[self.test["dataset"] == dataset]


def collect(runs: Iterable[RunConfig], datasets: Iterable[str]) -> Scored:
    """The stored scores of runs, as one row a video; what is missing is made.

    A video's score comes of its frames' as each detector has it. Videos that one of the detectors
    could not judge are left out of all, and counted. Errors as
    :func:`mcxlib.pipeline.ensure_scores` and :func:`mcxlib.pipeline.ensure_validation`.
    """
    validation, test = [], []
    for run in runs:
        validation.append(_videos(run, pipeline.ensure_validation(run)))
        each = [_videos(run, pipeline.ensure_scores(run, name)) for name in datasets]
        test.append(pd.concat(each, ignore_index=True))
    return together(validation, test)


def stored(
    runs: Iterable[RunConfig], datasets: Iterable[str]
) -> tuple[Scored | None, list[RunConfig], list[str]]:
    """The same from what lies on disk alone: nothing is made.

    Returns:
        The scores of the runs that have all of them, or None if fewer than two have; those runs;
        and the labels of the others.
    """
    names = list(datasets)
    validation, test, kept, lacking = [], [], [], []
    for run in runs:
        chosen_on = pipeline.stored_validation(run)
        each = [pipeline.stored_scores(run, name) for name in names]
        if chosen_on is None or any(one is None for one in each):
            lacking.append(run.label)
            continue
        parts = [one for one in each if one is not None]
        validation.append(_videos(run, chosen_on))
        tests = [_videos(run, part[part["split"] == "test"]) for part in parts]
        test.append(pd.concat(tests, ignore_index=True))
        kept.append(run)
    scored = together(validation, test) if len(kept) > 1 else None
    return scored, kept, lacking


def _videos(run: RunConfig, frames: pd.DataFrame) -> pd.DataFrame:
    videos = video_scores(frames, frames.attrs["video_rule"])
    return videos[[*KEY, "fake_score"]].rename(columns={"fake_score": run.label})


def together(validation: list[pd.DataFrame], test: list[pd.DataFrame]) -> Scored:
    """Tables of single detectors (KEY and one column of scores) -> one of all."""
    left_out: dict[str, int] = {}
    found = []
    for tables in (validation, test):
        merged = tables[0].astype({"is_fake": bool})
        every = pd.concat([table[KEY] for table in tables]).drop_duplicates()
        for table in tables[1:]:
            merged = merged.merge(table.astype({"is_fake": bool}), on=KEY, validate="one_to_one")
        lost = every["dataset"].value_counts() - merged["dataset"].value_counts()
        left_out |= {str(name): int(n) for name, n in lost.items() if n > 0}
        found.append(merged)
    return Scored(found[0], found[1], left_out)


def thresholds(scored: Scored) -> dict[str, float | None]:
    """Label -> the threshold with the best BOSC on the validation videos; None for one class."""
    fake = scored.validation["is_fake"].to_numpy(bool)
    if fake.all() or not fake.any():
        return dict.fromkeys(scored.names)
    return {name: best_threshold(fake, scored.validation[name]) for name in scored.names}


def points(scored: Scored, draws: int = 2000) -> pd.DataFrame:
    """:func:`mcxlib.evaluate.points.operating_points` of each detector and data set.

    Columns: label, dataset, threshold (chosen on validation videos), n_real, n_fake, the numbers
    as fractions, and note.
    """
    chosen = thresholds(scored)
    rows = []
    for name in scored.names:
        for dataset in scored.datasets:
            part = scored.of(dataset)
            found = operating_points(part["is_fake"], part[name], chosen[name], draws=draws)
            rows.append({"label": name, "dataset": dataset, "threshold": chosen[name]} | found)
    return pd.DataFrame(rows)[
        ["label", "dataset", "threshold", "n_real", "n_fake", *NUMBERS, "note"]
    ]


def points_shown(table: pd.DataFrame) -> pd.DataFrame:
    """:func:`points` to print: a row a detector and data set, rates in percent."""

    def percent(row: pd.Series, *names: str) -> str:
        return " / ".join("–" if np.isnan(row[n]) else f"{100 * row[n]:.1f}" for n in names)

    rows = []
    for _, row in table.iterrows():
        auc = "–" if np.isnan(row["auc"]) else f"{row['auc']:.3f}"
        if not np.isnan(row["auc_low"]):
            auc += f" ({row['auc_low']:.3f} to {row['auc_high']:.3f})"
        rows.append(
            {
                "Row": row["label"],
                "Data set": row["dataset"],
                "AUC": auc,
                "EER": percent(row, "eer"),
                "found at 1 / 10 % false alarms": percent(row, "tpr_at_1", "tpr_at_10"),
                "BOSC at 0.5 / chosen / best": percent(
                    row, "bosc_half", "bosc_chosen", "bosc_best"
                ),
            }
        )
        if row["note"]:
            rows[-1]["AUC"] += f"; {row['note']}"
    return pd.DataFrame(rows)


def points_words(table: pd.DataFrame) -> list[str]:
    """What fixed and chosen thresholds cost, a sentence a data set."""
    said = []
    for dataset, part in table.groupby("dataset", sort=False):
        part = part.dropna(subset=["bosc_half", "bosc_chosen"])
        if part.empty:
            said.append(f"{shown(str(dataset))}: no row with a threshold to compare.")
            continue
        half, chosen, best = (
            100 * part[f"bosc_{kind}"].mean() for kind in ("half", "chosen", "best")
        )
        better = int((part["bosc_chosen"] > part["bosc_half"] + 1e-12).sum())
        worse = int((part["bosc_chosen"] < part["bosc_half"] - 1e-12).sum())
        said.append(
            f"{shown(str(dataset))}: mean BOSC of {len(part)} rows {half:.1f} % at 0.5, "
            f"{chosen:.1f} % at the threshold chosen on validation videos "
            f"({better} rows higher, {worse} lower), {best:.1f} % at each row's best possible one."
        )
    return said


def comparisons(scored: Scored, reference: str, draws: int = 10_000) -> pd.DataFrame:
    """Every other detector against one, on the same videos of each data set.

    Columns: label, dataset, metric ("auc" by DeLong, "bosc" at 0.5 by paired bootstrap), estimate
    (the other less the reference, a fraction), low, high (95 %), p, holm (p adjusted over the whole
    table of that metric), kind, note (why a comparison is empty). From so many resamples the
    bootstrap has p-values small enough to survive a table of some two hundred comparisons.

    Raises:
        ValueError: no such detector.
    """
    if reference not in scored.names:
        raise ValueError(f"no scores of {reference!r}; there are {', '.join(scored.names)}")
    rows = []
    for name in scored.names:
        for dataset in scored.datasets:
            if name != reference:
                part = scored.of(dataset)
                rows += _compared(part, reference, name, draws)
    table = pd.DataFrame(rows, columns=_COMPARED)
    for _, part in table.groupby("metric"):
        table.loc[part.index, "holm"] = holm(part["p"].to_numpy(np.float64))
    return table


_COMPARED = ["label", "dataset", "metric", "estimate", "low", "high", "p", "holm", "kind", "note"]


def _compared(part: pd.DataFrame, reference: str, name: str, draws: int) -> list[dict]:
    rows = []
    fake, first, second = part["is_fake"], part[reference], part[name]
    for metric in ("auc", "bosc"):
        row = {"label": name, "dataset": part["dataset"].iloc[0], "metric": metric, "note": ""}
        try:
            if metric == "auc":
                found = delong(fake, first, second)
            else:
                found = paired_bootstrap(fake, first, second, draws=draws)
            rows.append(row | found._asdict())
        except ValueError as error:
            rows.append(row | {"note": str(error)})
    return rows


def comparisons_words(table: pd.DataFrame, reference: str) -> list[str]:
    """What :func:`comparisons` says, a sentence a metric."""
    said = []
    for metric, part in table.groupby("metric", sort=False):
        made = part.dropna(subset=["p"])
        alone, kept = made[made["p"] < LEVEL], made[made["holm"] < LEVEL]
        points = metric == "bosc"  # of which the estimates are fractions
        named = "; ".join(
            f"{row.label} on {shown(row.dataset)} "
            + (f"({100 * row.estimate:+.1f} points)" if points else f"({row.estimate:+.3f})")
            for row in kept.itertuples()
        )
        expected = LEVEL * len(made)
        said.append(
            f"{str(metric).upper()}: {len(made)} comparisons with {reference}; {len(alone)} have "
            f"p < {LEVEL:g} each by itself, where {expected:.1f} would if nothing differed; "
            f"{len(kept)} after Holm" + (f": {named}." if named else ".")
        )
        if len(made) < len(part):
            said.append(
                f"{len(part) - len(made)} comparisons of {str(metric).upper()} could not be made: "
                f"{part.loc[part['p'].isna(), 'note'].iloc[0]}."
            )
    return said


def calibration(scored: Scored) -> pd.DataFrame:
    """The expected calibration error before and after temperature scaling, of each detector and
    data set; the temperature is fitted on validation videos.

    Columns: label, dataset, temperature (NaN if there is none), ece_before, ece_after (fractions),
    note (why a number is missing).
    """
    rows = []
    for name in scored.names:
        try:
            fitted = fit_temperature(scored.validation["is_fake"], scored.validation[name])
            temperature, why = fitted.temperature, ""
        except ValueError as error:
            temperature, why = float("nan"), str(error)
        for dataset in scored.datasets:
            part = scored.of(dataset)
            row = {"label": name, "dataset": dataset, "temperature": temperature, "note": why}
            row |= {"ece_before": np.nan, "ece_after": np.nan}
            try:
                row["ece_before"] = calibration_error(part["is_fake"], part[name])
                if not why:
                    after = calibrated(part[name], temperature)
                    row["ece_after"] = calibration_error(part["is_fake"], after)
            except ValueError as error:
                row["note"] = str(error)
            rows.append(row)
    columns = ["label", "dataset", "temperature", "ece_before", "ece_after", "note"]
    return pd.DataFrame(rows)[columns]


def reliability_curves(scored: Scored, table: pd.DataFrame, bins: int = 5) -> pd.DataFrame:
    """Bins of all detectors' scores together, before and after their temperatures.

    ``table`` is of :func:`calibration`; detectors without a temperature are left out. Columns:
    dataset, when ("before" or "after"), and those of
    :func:`mcxlib.evaluate.reliability.reliability`.
    """
    known = table.dropna(subset=["temperature"]).drop_duplicates("label").set_index("label")
    rows = []
    for dataset in scored.datasets:
        part = scored.of(dataset)
        fake = np.tile(part["is_fake"].to_numpy(bool), len(known))
        if not 0 < fake.sum() < len(fake):
            continue
        before = [part[name].to_numpy(np.float64) for name in known.index]
        after = [calibrated(part[name], known.loc[name, "temperature"]) for name in known.index]
        for when, score in (("before", before), ("after", after)):
            found = reliability(fake, np.concatenate(score), bins)
            rows.append(found.assign(dataset=dataset, when=when))
    columns = ["dataset", "when", "low", "high", "videos", "weight", "stated", "observed"]
    return pd.concat(rows)[columns] if rows else pd.DataFrame(columns=columns)


def calibration_words(table: pd.DataFrame) -> list[str]:
    """What temperatures changed, a sentence a data set, and how many rows have none."""
    said = []
    for dataset, part in table.groupby("dataset", sort=False):
        both = part.dropna(subset=["ece_after"])
        if len(both):
            better = int((both["ece_after"] < both["ece_before"]).sum())
            said.append(
                f"{shown(str(dataset))}: mean calibration error "
                f"{100 * both['ece_before'].mean():.1f} points before and "
                f"{100 * both['ece_after'].mean():.1f} after; smaller in {better} of "
                f"{len(both)} rows."
            )
    without = table[table["temperature"].isna()].drop_duplicates("label")
    if len(without):
        said.append(
            f"Without a temperature: {', '.join(without['label'])} ({without['note'].iloc[0]})."
        )
    return said
