"""Every number of the tables and of the studies in one tidy table, a row a number.

It says of each number what it is of, how sure it is, and from which runs, weights and data it
came; and beside it what the paper prints. What the paper prints is of the real data sets, whatever
``synthetic`` says of the measured value.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcxlib import paper
from mcxlib.tables.compare import RATES
from mcxlib.tables.stored import DATASETS, FACEFORENSICS, SYNTHETIC, Run, find_runs

FORMAT = 2
"""2: condition, strength, reference, p and p_adjusted, for the studies."""

COLUMNS = {
    "table": "Table 1 to 3, further (other data sets), seeds, cost, or the name of a study",
    "row": "label of the row: a detector, as the paper names it, or a variation of a study",
    "detector": "name of the detector",
    "variant": "digest of settings that are not the preset's; empty for none",
    "dataset": "the data set judged; several are joined by ' + ', and the value is their mean",
    "test_set": "the column of the table: a manipulation, an average, or a data set in short",
    "protocol": "what was trained and tested on, and by which split",
    "condition": "what was done to what is judged, or how it is judged: a corruption, a trace, a "
    "method of maps, a family of fused rows; empty for nothing",
    "strength": "how much of it, as the study writes it",
    "level": "frame or video: what one sample is",
    "video_rule": "how a video's score comes from its frames'",
    "metric": "bosc, accuracy, auc, sensitivity, specificity; of cost steps, seconds, ...; of a "
    "study what it measures",
    "unit": "percent, share, or that of the cost",
    "value": "the measured number, mean over the seeds; empty if not measured",
    "low": "lower end of the interval",
    "high": "upper end",
    "interval": "what the interval is",
    "reference": "of a difference, what it is against",
    "p": "how often chance alone would give so large a difference",
    "p_adjusted": "the same, adjusted over all comparisons of the study (Holm)",
    "sd": "standard deviation over the seeds; empty for one seed",
    "n_real": "real samples, of one seed",
    "n_fake": "fake samples",
    "seeds": "the seeds behind it, by spaces",
    "run_ids": "the runs behind it, by spaces; of single traces the grid, which is no run",
    "weights_sha256": "digests of their weights",
    "data_sha256": "digest of the list of what was scored",
    "code": "commits of the code that trained them",
    "paper": "what the paper prints, on the real data set",
    "source": "the data measured on",
    "synthetic": "whether these are rendered; empty if nothing was measured",
    "note": "what else is to be known",
    "format": "number of this format",
}
"""Columns and what they hold."""

BOOTSTRAP = "95 %: bootstrap over videos; with few errors at least a score interval; or exact bound"
_LEVELS = {"Table 1": "frame", "Table 2": "frame", "Table 3": "video"}


def tidy(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rows with any of :data:`COLUMNS` -> a table with all of them, typed; errors of a row with
    another column are a KeyError that names it."""
    rows = list(rows)
    if unknown := {name for row in rows for name in row} - set(COLUMNS):
        raise KeyError(f"no columns of the results: {', '.join(sorted(unknown))}")
    table = pd.DataFrame(rows, columns=list(COLUMNS)).assign(format=FORMAT)
    numbers = ["value", "low", "high", "p", "p_adjusted", "sd", "paper"]
    table[numbers] = table[numbers].astype(float)
    table[["n_real", "n_fake"]] = table[["n_real", "n_fake"]].astype("Int64")
    measured = table["value"].notna()
    synthetic = table["source"].fillna("").str.contains(SYNTHETIC)
    table["synthetic"] = synthetic.where(measured).astype("boolean")
    texts = [c for c in COLUMNS if c not in (*numbers, "n_real", "n_fake", "synthetic", "format")]
    table[texts] = table[texts].astype(object).where(table[texts].notna(), "").astype(str)
    return table


def of_table(table: pd.DataFrame, found: list[Run]) -> list[dict[str, Any]]:
    """The rows of a table of :mod:`mcxlib.tables.compare`: a row a cell and metric, what was not
    run too, where the paper has a number."""
    rows = []
    for cell in table.to_dict("records"):
        about = _about(cell, found)
        for metric in ("bosc", "acc", "auc", *RATES):
            value, printed = cell.get(f"{metric}_measured", np.nan), _printed(cell, metric)
            if pd.isna(value) and pd.isna(printed):
                continue
            number = {"metric": "accuracy" if metric == "acc" else metric, "value": value}
            number |= {"unit": "share" if metric == "auc" else "percent", "paper": printed}
            number |= {"sd": cell.get(f"{metric}_sd"), "low": cell.get(f"{metric}_low")}
            number |= {"high": cell.get(f"{metric}_high")}
            number["interval"] = "" if pd.isna(number["low"] or np.nan) else BOOTSTRAP
            rows.append(about | number)
    return rows


def _printed(cell: dict[str, Any], metric: str) -> float:
    """The paper's number; Table 2's first column is a BOSC in the paper's own rows."""
    if cell["table"] == "Table 2" and metric in ("bosc", "acc"):
        is_bosc = cell["paper_measure"] == "BOSC"
        return cell["acc_paper"] if is_bosc == (metric == "bosc") else np.nan
    return cell.get(f"{metric}_paper", np.nan)


def _about(cell: dict[str, Any], found: list[Run]) -> dict[str, Any]:
    """What all numbers of a cell share."""
    closed = cell["table"] != "Table 3"
    dataset = FACEFORENSICS if closed else DATASETS[cell["test_set"]]
    about = {
        "table": cell["table"],
        "row": cell["label"],
        "detector": cell["method"],
        "variant": cell["variant"],
        "dataset": dataset,
        "test_set": cell["test_set"],
        "level": _LEVELS[cell["table"]],
        "video_rule": cell["video_rule"],
        "n_real": cell["n_real"],
        "n_fake": cell["n_fake"],
        "source": cell["source"],
        "note": "; ".join(filter(None, (cell["standing"], cell["note"]))),
    }
    if not cell["seeds"]:
        return about | {"note": cell["status"]}
    key = paper.row_key(cell["label"].partition(", other settings")[0])
    runs = [run for run in found if (run.key, run.variant) == (key, cell["variant"])]
    runs = [run for run in runs if run.folder.scores(dataset).is_file()]
    return about | origin(runs, dataset)


def origin(runs: list[Run], *datasets: str) -> dict[str, str]:
    """Where numbers of runs on one data set come from, or means over several."""
    notes = [run.folder.read_score_note(name) for run in runs for name in datasets]
    records = [run.folder.read_provenance() or {} for run in runs]
    data = [run.settings.get("data", {}) for run in runs]
    trained = [
        f"{d.get('train_on', FACEFORENSICS)}, split {d.get('protocol', 'not known')}" for d in data
    ]
    return {
        "protocol": f"trained on {_joined(trained, ' or ')}; tested on {' + '.join(datasets)}",
        "seeds": _joined(run.seed for run in runs),
        "run_ids": _joined(run.run_id for run in runs),
        "weights_sha256": _joined(note.get("weights_sha256", "") for note in notes),
        "data_sha256": _joined(note.get("rows_sha256", "") for note in notes),
        "code": _joined(record.get("commit", "") for record in records),
    }


def _joined(parts: Iterable[Any], between: str = " ") -> str:
    """Each part once, in order; nothing of empty ones."""
    return between.join(dict.fromkeys(filter(None, map(str, parts))))


def of_further(table: pd.DataFrame, found: list[Run]) -> list[dict[str, Any]]:
    """The rows of :func:`mcxlib.tables.further`."""
    runs = {run.run_id: run for run in found}
    rows = []
    for cell in table.to_dict("records"):
        run = runs[cell["run_id"]]
        about = {"table": "further", "row": cell["label"], "detector": run.method}
        about |= {"variant": run.variant, "dataset": cell["dataset"], "level": "video"}
        about |= {"test_set": cell["dataset"]}
        about |= {n: cell[n] for n in ("video_rule", "n_real", "n_fake", "source", "note")}
        about |= origin([run], cell["dataset"])
        rows += [
            about | {"metric": m, "value": cell[m], "unit": "share" if m == "auc" else "percent"}
            for m in ("bosc", "auc", *RATES)
            if not pd.isna(cell[m])
        ]
    return rows


def of_cost(table: pd.DataFrame, runs_dir: Path | str) -> list[dict[str, Any]]:
    """The rows of :func:`mcxlib.tables.cost`, which was computed from ``runs_dir``."""
    units = {"steps": "steps", "seconds": "seconds", "training": "TFLOP", "scoring": "TFLOP"}
    folders = {name: Path(runs_dir) / name for name in dict.fromkeys(table["study"])}
    runs = {(name, run.run_id): run for name, at in folders.items() for run in find_runs(at)}
    rows = []
    for cell in table.to_dict("records"):
        run = runs[cell["study"], cell["run"]]
        about = {"table": "cost", "row": run.label, "detector": run.method, "variant": run.variant}
        about |= {"seeds": str(run.seed), "run_ids": run.run_id}
        record = run.folder.read_provenance() or {}
        about |= {"code": record.get("commit", ""), "source": run_source(run)}
        about |= {"note": f"of the study {cell['study']}" if cell["study"] else ""}
        rows += [
            about | {"metric": name, "value": cell[name], "unit": unit}
            for name, unit in units.items()
            if not pd.isna(cell[name])
        ]
    return rows


def run_source(run: Run) -> str:
    """The data a run was trained on, as its record says; "" if it does not."""
    about = (run.folder.read_provenance() or {}).get("trained_on", {})
    if "synthetic" not in about:
        return ""
    return SYNTHETIC if about["synthetic"] else str(about.get("dataset", ""))


def of_kept(table: pd.DataFrame, file: Path) -> list[dict[str, Any]]:
    """The numbers kept of rows that only `make full` trains, where they are not run now."""
    if not file.is_file():
        return []
    name = table["table"].iloc[0]
    ran = set(table.loc[table["seeds"] > 0, "label"])
    rows = []
    for kept in pd.read_csv(file, dtype=str).to_dict("records"):
        if kept["Method"] in ran:
            continue
        about = {"table": name, "row": kept["Method"], "level": _LEVELS[name]}
        about |= {"note": f"kept: {kept['Status']}"}
        about["source"] = SYNTHETIC if SYNTHETIC in kept["Status"] else "not known"
        for column, text in kept.items():
            if column.endswith(" measured"):
                rows += [about | one for one in _kept_cell(name, column[:-9], str(text))]
    return rows


def _kept_cell(table: str, column: str, text: str) -> list[dict[str, Any]]:
    """The numbers of a printed cell: "97.10±0.42 / 0.9941", or one number in Table 2."""
    metrics = (column.lower(),) if table == "Table 2" else ("bosc", "auc")
    where = {"test_set": "overall" if table == "Table 2" else column}
    closed = table != "Table 3"
    where |= {"dataset": FACEFORENSICS if closed else DATASETS.get(column, column)}
    found = []
    for metric, part in zip(metrics, text.split(" / "), strict=False):
        value, _, spread = part.partition("±")
        if value.strip()[:1].isdigit():
            number = {"metric": metric, "value": float(value), "sd": float(spread or "nan")}
            found.append(where | number | {"unit": "share" if metric == "auc" else "percent"})
    return found
