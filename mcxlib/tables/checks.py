"""Numbers about the tables: a second computation, and headline values for prose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcxlib import paper
from mcxlib.evaluate.videos import confident, of_logits
from mcxlib.tables.compare import RATES, closed_set, cross_dataset
from mcxlib.tables.stored import DATASETS, FACEFORENSICS, Run, find_runs, read_scores


def verify(table: pd.DataFrame, runs_dir: Path | str, dataset: str = FACEFORENSICS) -> float:
    """Compute a table's measured numbers again, with scikit-learn alone, from the scores.

    Returns the largest absolute difference, as a fraction (all but AUC over 100). Rounding
    leaves about 1e-15; anything larger means that table and scores do not belong together.

    Args:
        table: what :func:`closed_set`, :func:`overall` or :func:`cross_dataset` returned.
        runs_dir: the folder it was computed from.
        dataset: the one that :func:`closed_set` or :func:`overall` was computed for.

    Raises:
        ValueError: no measured number in the table, or one without a run in ``runs_dir``.
    """
    rows = table[(table["seeds"] > 0) & (table["note"] == "")]
    if rows.empty:
        raise ValueError("the table holds no measured number; train and score a model first")
    names = (_names(row) for row in rows.to_dict("records"))
    rules = dict(zip(names, rows["video_rule"], strict=True))
    again: dict[tuple, list[dict[str, float]]] = {}
    for run in find_runs(runs_dir):
        for test_set, values in _again(run, dataset, rules).items():
            key = (run.key, run.variant, test_set)
            again.setdefault(key, []).append(values)
    worst = 0.0
    for row in rows.to_dict("records"):
        key = _names(row)
        if len(again.get(key, ())) != row["seeds"]:
            raise ValueError(
                f"{row['label']} on {row['test_set']}: the table counts {row['seeds']} runs, "
                f"{runs_dir} holds {len(again.get(key, ()))}; compute the table again"
            )
        for name in ("bosc", "acc", "auc", *RATES):
            scale = 1 if name == "auc" else 100
            if f"{name}_measured" in row:
                value = sum(values[name] for values in again[key]) / len(again[key])
                # NaN in the table must not pass as agreement.
                gap = abs(row[f"{name}_measured"] / scale - value)
                worst = max(worst, float("inf") if np.isnan(gap) else gap)
    return float(worst)


def _names(row: dict[str, Any]) -> tuple[str, str, str]:
    """What a row of a table and the runs in it have in common."""
    label = row["label"].partition(", other settings")[0]
    return paper.row_key(label), row["variant"], row["test_set"]


_OF_VIDEOS: dict[str, Any] = {
    "mean": "mean",
    "median": "median",
    "top_k": lambda scores: scores.nlargest(5).mean(),
    "confident": lambda scores: confident(scores.to_numpy()),
    "logits": lambda scores: of_logits(scores.to_numpy()),
}


def _again(
    run: Run, closed: str, rules: dict[tuple[str, str, str], str]
) -> dict[str, dict[str, float]]:
    """The numbers of one run by test set; ``rules`` are those of the table, by its rows."""
    scores = read_scores(run)
    test = scores[scores["split"] == "test"]
    values = {}
    seen = test[test["dataset"] == closed]
    manipulations = _manipulations(closed, seen)
    for name in manipulations:
        part = seen[seen["manipulation"].isin(["real", name])]
        if part["is_fake"].nunique() == 2:
            values[name] = _scikit(part["is_fake"], part["fake_score"])
    if values and len(values) == len(manipulations):
        values["Average"] = {
            key: sum(v[key] for v in values.values()) / len(values)
            for key in ("bosc", "auc", *RATES)
        }
        every = _scikit(seen["is_fake"], seen["fake_score"])
        values["overall"] = values["Average"] | {"acc": every["acc"]}
    for name, dataset in DATASETS.items():
        part = test[test["dataset"] == dataset].astype({"fake_score": np.float64, "is_fake": bool})
        if len(part):
            rule = rules.get((run.key, run.variant, name), "")
            # Several in one cell are those of its seeds, each its own.
            rule = rule if rule in _OF_VIDEOS else part["video_rule"].iloc[0]
            videos = part.groupby("video_id")
            values[name] = _scikit(
                videos["is_fake"].first(), videos["fake_score"].agg(_OF_VIDEOS[rule])
            )
    return values


def _manipulations(dataset: str, test: pd.DataFrame) -> tuple[str, ...]:
    """Those of the paper, or those that another data set has."""
    if dataset == FACEFORENSICS:
        return tuple(paper.MANIPULATIONS)
    return tuple(sorted(set(test["manipulation"]) - {"real"}))


def _scikit(is_fake: pd.Series, fake_score: pd.Series) -> dict[str, float]:
    from sklearn.metrics import (
        accuracy_score,
        balanced_accuracy_score,
        recall_score,
        roc_auc_score,
    )

    fake = is_fake.to_numpy().astype(int)
    score = fake_score.to_numpy().astype(np.float64)
    called = (score > 0.5).astype(int)
    return {
        "bosc": balanced_accuracy_score(fake, called),
        "acc": accuracy_score(fake, called),
        "auc": roc_auc_score(fake, score),
        "sensitivity": recall_score(fake, called),
        "specificity": recall_score(1 - fake, 1 - called),
    }


def summary(runs_dir: Path | str) -> dict[str, Any]:
    """Headline numbers for running text, ready for JSON. BOSC in percent; seeds averaged.

    Keys: ``runs`` (how many), ``source`` ("" without runs), ``closed_set`` {label: {bosc, auc,
    bosc_paper, auc_paper}} (averages of Table 1), ``closed_set_best`` (label of the highest
    AUC, None without runs), ``cross_dataset`` {label: {test set: {bosc, auc, bosc_paper,
    auc_paper}}}, ``cross_dataset_best`` {test set: label of the highest AUC},
    ``cross_dataset_mean`` {label: {bosc, auc}} (mean over the test sets, where all three were
    run). A number that the paper does not print is None.
    """
    runs = find_runs(runs_dir)
    closed = closed_set(runs_dir, draws=0).query("seeds > 0 and test_set == 'Average'")
    cross = cross_dataset(runs_dir, draws=0).query("seeds > 0")
    result: dict[str, Any] = {"runs": len(runs)}
    result["source"] = ", ".join(dict.fromkeys([*closed["source"], *cross["source"]]))
    result["closed_set"] = {row["label"]: _values(row) for row in closed.to_dict("records")}
    result["closed_set_best"] = _best(closed)
    result["cross_dataset"] = {}
    for row in cross.to_dict("records"):
        result["cross_dataset"].setdefault(row["label"], {})[row["test_set"]] = _values(row)
    result["cross_dataset_best"] = {
        name: _best(part) for name, part in cross.groupby("test_set", sort=False)
    }
    result["cross_dataset_mean"] = {
        label: {name: float(part[f"{name}_measured"].mean()) for name in ("bosc", "auc")}
        for label, part in cross.groupby("label", sort=False)
        if len(part) == len(DATASETS)
    }
    return result


def _values(row: dict[str, Any]) -> dict[str, float | None]:
    columns = {"bosc": "bosc_measured", "auc": "auc_measured"}
    columns |= {f"{name}_paper": f"{name}_paper" for name in ("bosc", "auc")}
    return {key: None if np.isnan(row[c]) else float(row[c]) for key, c in columns.items()}


def _best(rows: pd.DataFrame) -> str | None:
    return None if rows.empty else str(rows.loc[rows["auc_measured"].idxmax(), "label"])
