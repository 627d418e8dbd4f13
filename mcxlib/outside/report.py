"""What somebody's scores say: the same numbers as for the rows of the tables, set by set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcxlib.data import datasets
from mcxlib.evaluate.calibration import calibrated, fit_temperature
from mcxlib.evaluate.metrics import per_manipulation
from mcxlib.evaluate.points import NUMBERS, operating_table
from mcxlib.evaluate.reliability import calibration_error
from mcxlib.evaluate.thresholds import best_threshold
from mcxlib.files import replacing, write_json, write_text

FORMAT = 1
"""Of report.json."""

SEEN, HELD_OUT = "in distribution", "held out"


@dataclass(frozen=True)
class Report:
    """Everything that is told of one detector."""

    name: str
    source: str
    """Which data the videos are, as they say themselves."""
    table: pd.DataFrame
    """One row a data set: dataset, role, not_judged, the operating points as fractions, ece_before,
    ece_after, note; the set trained on first, and last the mean of the held-out sets."""
    manipulations: pd.DataFrame
    videos: pd.DataFrame
    """The test videos with their scores."""
    leaks: pd.DataFrame
    left_out: pd.DataFrame
    """Columns what, dataset, reason: videos without a score, and scores that were not used."""
    chosen: float | None
    temperature: float | None
    notes: tuple[str, ...]


def make(
    name: str,
    scored: pd.DataFrame,
    manifests: dict[str, pd.DataFrame],
    trained_on: str,
    left_out: pd.DataFrame,
    *,
    seen: pd.DataFrame | None = None,
    draws: int = 2000,
) -> Report:
    """Evaluate scores video by video.

    Args:
        name: what the detector is called.
        scored: manifest rows with ``fake_score``.
        manifests: of every data set that is evaluated, whole.
        trained_on: the data set that the detector was trained on: the first row, and the one whose
            validation videos, where they were scored too, choose threshold and temperature.
        left_out: what is known to be left out so far; columns what, dataset, reason.
        seen: manifest rows of what the detector was trained on; None if that is not known, and then
            the leaks are those between the parts of the data sets' own protocols.
        draws: of the intervals.

    Raises:
        ValueError: no test video has a score.
    """
    test = scored[scored["split"] == "test"]
    if test.empty:
        counts = scored["split"].replace("", "unused").value_counts().to_dict()
        raise ValueError(f"no test video has a score; scores by part: {counts}")
    validation = scored[(scored["split"] == "val") & (scored["dataset"] == trained_on)]
    used = scored.index.isin(test.index) | scored.index.isin(validation.index)
    reasons = scored.loc[~used, "split"].replace("", "in no part").radd("not a test video: ")
    gone = scored.loc[~used, ["video_id", "dataset"]].set_axis(["what", "dataset"], axis=1)
    unjudged = _without_score(test, manifests, left_out)
    every = pd.concat([left_out, gone.assign(reason=reasons), unjudged], ignore_index=True)
    order = sorted(
        test["dataset"].unique(), key=lambda n: (n != trained_on, list(manifests).index(n))
    )
    test = pd.concat([test[test["dataset"] == n] for n in order], ignore_index=True)
    chosen, temperature, notes = _fitted(validation, trained_on)
    if seen is not None:
        notes.insert(0, _seen_words(seen, test))
    table = operating_table(test, chosen, draws=draws)
    table.insert(1, "role", np.where(table["dataset"] == trained_on, SEEN, HELD_OUT))
    counts = _test_videos(manifests)
    judged = test["dataset"].value_counts()
    table["not_judged"] = [int(counts[n] - judged[n]) for n in table["dataset"]]
    table = _calibrated(table, test, temperature)
    return Report(
        name=name,
        source="synthetic demonstration data" if test["synthetic"].astype(bool).any() else "",
        table=_with_mean(table),
        manipulations=_by_manipulation(test),
        videos=test,
        leaks=_leaks({n: manifests[n] for n in order} if seen is None else _parts(seen, test)),
        left_out=every,
        chosen=chosen,
        temperature=temperature,
        notes=tuple(notes),
    )


def _test_videos(manifests: dict[str, pd.DataFrame]) -> dict[str, int]:
    return {name: int((m["split"] == "test").sum()) for name, m in manifests.items()}


def _without_score(
    test: pd.DataFrame, manifests: dict[str, pd.DataFrame], known: pd.DataFrame
) -> pd.DataFrame:
    """Test videos that nothing was said of, of the data sets that something was said of."""
    judged = set(zip(test["dataset"], test["video_id"], strict=True))
    judged |= set(zip(known["dataset"], known["what"], strict=True))
    rows = [
        (video, name, "a test video without a score")
        for name in test["dataset"].unique()
        for video in manifests[name].loc[manifests[name]["split"] == "test", "video_id"]
        if (name, video) not in judged
    ]
    return pd.DataFrame(rows, columns=["what", "dataset", "reason"], dtype=str)


def _fitted(
    validation: pd.DataFrame, trained_on: str
) -> tuple[float | None, float | None, list[str]]:
    """Threshold and temperature of validation videos, or why there are none."""
    if validation.empty:
        return None, None, [
            f"no validation video of {trained_on} has a score: no threshold was chosen and no "
            "temperature fitted"
        ]  # fmt: skip
    try:
        chosen = best_threshold(validation["is_fake"], validation["fake_score"])
    except ValueError as error:
        return None, None, [f"no threshold and no temperature: {error}"]
    try:
        fitted = fit_temperature(validation["is_fake"], validation["fake_score"])
    except ValueError as error:
        return chosen, None, [f"no temperature: {error}"]
    return chosen, fitted.temperature, []


def _calibrated(table: pd.DataFrame, test: pd.DataFrame, temperature: float | None) -> pd.DataFrame:
    found: dict[str, list[float]] = {"ece_before": [], "ece_after": []}
    for name in table["dataset"]:
        part = test[test["dataset"] == name]
        both = part["is_fake"].nunique() == 2
        score = part["fake_score"].to_numpy(np.float64)
        before = calibration_error(part["is_fake"], score) if both else np.nan
        found["ece_before"].append(before)
        after = np.nan
        if both and temperature is not None:
            after = calibration_error(part["is_fake"], calibrated(score, temperature))
        found["ece_after"].append(after)
    return table.assign(**found)


def _with_mean(table: pd.DataFrame) -> pd.DataFrame:
    """A last row: the plain mean of the held-out sets that have both classes."""
    held_out = table[(table["role"] == HELD_OUT) & table["auc"].notna()]
    if len(held_out) < 2:
        return table
    numbers = [n for n in NUMBERS if not n.endswith(("_low", "_high"))]
    mean = held_out[[*numbers, "ece_before", "ece_after"]].mean()
    row = {"dataset": f"mean of {len(held_out)}", "role": HELD_OUT, "note": "", **mean}
    row |= {name: int(held_out[name].sum()) for name in ("n_real", "n_fake", "not_judged")}
    return pd.concat([table, pd.DataFrame([row])], ignore_index=True)


def _parts(seen: pd.DataFrame, test: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What was trained on and what is tested, as two parts of each data set."""
    return {
        name: pd.concat([seen[seen["dataset"] == name].assign(split="train"), part])
        for name, part in test.groupby("dataset", sort=False)
    }


def _seen_words(seen: pd.DataFrame, test: pd.DataFrame) -> str:
    """Whether test videos are among those trained on, by name or as a copy."""
    keys = ["dataset", "video_id"]
    same = test[keys].merge(seen[keys], on=keys)["video_id"].tolist()
    known = set(seen["content"]) - {""}
    copies = test.loc[test["content"].isin(known), "video_id"].tolist()
    found = list(dict.fromkeys([*same, *copies]))
    if not found:
        return f"none of the {len(test)} test videos is among the {len(seen)} it was trained on"
    some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
    return (
        f"LEAK: it was trained on {len(found)} of the {len(test)} test videos, or on copies of "
        f"them ({some}): their scores say nothing about new videos"
    )


def _by_manipulation(test: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for name, part in test.groupby("dataset", sort=False):
        if part["is_fake"].nunique() == 2:
            found = per_manipulation(part["is_fake"], part["fake_score"], part["manipulation"])
            parts.append(found.assign(dataset=name))
    columns = ["dataset", "manipulation", "n_real", "n_fake", "bosc", "auc"]
    columns += ["sensitivity", "specificity"]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def _leaks(manifests: dict[str, pd.DataFrame]) -> pd.DataFrame:
    found = {name: datasets.leaks(manifest) for name, manifest in manifests.items()}
    return pd.concat(found, names=["dataset"]).reset_index("dataset").reset_index(drop=True)


def lines(report: Report) -> list[str]:
    """The report for a terminal."""
    said = [f"{report.name}, video by video" + (f" ({report.source})" if report.source else "")]
    for row in report.table.to_dict("records"):
        said.append(f"{row['dataset']} ({row['role']}): {_row(row)}")
    if report.chosen is not None:
        said.append(f"threshold chosen on validation videos: {report.chosen:.3f}")
    said += report.notes
    for pair in report.leaks.itertuples():
        people = f"{pair.shared} of {pair.identities}" if pair.identities else "unknown"
        copies = f", equal files: {pair.copies}" if pair.copies else ""
        said.append(f"{pair.dataset}: people in both {pair.parts}: {people}{copies}")
    for (name, reason), part in report.left_out.groupby(["dataset", "reason"], sort=False):
        where = f"{name}: " if name else ""
        some = ", ".join(part["what"].head(3)) + (", ..." if len(part) > 3 else "")
        said.append(f"{where}{len(part)} left out, {reason}: {some}")
    return said


def _row(row: dict[str, Any]) -> str:
    said = f"{row['n_real']} real and {row['n_fake']} fake videos"
    if row["not_judged"]:
        said += f", {row['not_judged']} without a score"
    if np.isnan(row["auc"]):
        known = [n for n in ("sensitivity", "specificity") if not np.isnan(row[n])]
        said += "".join(f"; {n} {100 * row[n]:.1f} %" for n in known)
        return f"{said}; {row['note']}"
    said += f"; AUC {row['auc']:.3f}{_ends(row, 'auc', 1, 3)}"
    said += f", BOSC {100 * row['bosc_half']:.1f} %{_ends(row, 'bosc', 100, 1)}"
    if not np.isnan(row["bosc_chosen"]):
        said += f" ({100 * row['bosc_chosen']:.1f} % at the chosen threshold)"
    return f"{said}, EER {100 * row['eer']:.1f} %"


def _ends(row: dict[str, Any], name: str, scale: float, digits: int) -> str:
    low, high = (scale * row[f"{name}_{end}"] for end in ("low", "high"))
    return "" if np.isnan(low) else f" ({low:.{digits}f} to {high:.{digits}f})"


def write(report: Report, folder: Path) -> list[Path]:
    """Write tables, figures and the report; returns the files. Each is written whole or not."""
    from mcxlib.figures import roc_of_sets, save, score_distributions

    folder = Path(folder)
    source = report.source or ", ".join(report.videos["dataset"].unique())
    tables = {
        "table": report.table,
        "manipulations": report.manipulations,
        "videos": report.videos,
        "leaks": report.leaks,
        "left_out": report.left_out,
    }
    written = []
    for name, table in tables.items():
        with replacing(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")
        written.append(folder / f"{name}.csv")
    plates = {
        "roc": roc_of_sets(report.videos, source, report.name),
        "scores": score_distributions(report.videos, source),
    }
    written += [save(plate, folder / f"{name}.png") for name, plate in plates.items()]
    said = lines(report)
    write_text(folder / "report.md", "".join(f"- {line}\n" for line in said))
    rows = report.table.astype(object).where(report.table.notna(), None).to_dict("records")
    write_json(
        folder / "report.json",
        {
            "format": FORMAT,
            "detector": report.name,
            "data": report.source,
            "level": "video",
            "threshold_chosen": report.chosen,
            "temperature": report.temperature,
            "notes": list(report.notes),
            "rows": rows,
            "left_out": len(report.left_out),
            "lines": said,
        },
    )
    return [*written, folder / "report.md", folder / "report.json"]
