"""Numbers about the tables: a second computation, intervals, and headline values for prose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcxlib import paper
from mcxlib.evaluate.intervals import LEAST_VIDEOS, bootstrap_interval
from mcxlib.evaluate.videos import video_scores
from mcxlib.tables.compare import closed_set, cross_dataset
from mcxlib.tables.stored import DATASETS, FACEFORENSICS, Run, find_runs, held_out, read_scores


def verify(table: pd.DataFrame, runs_dir: Path | str, dataset: str = FACEFORENSICS) -> float:
    """Compute a table's measured numbers again, with scikit-learn alone, from the scores.

    Returns the largest absolute difference, as a fraction (BOSC and accuracy over 100). Rounding
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
    again: dict[tuple, list[dict[str, float]]] = {}
    for run in find_runs(runs_dir):
        for test_set, values in _again(run, dataset).items():
            key = (run.key, run.variant, test_set)
            again.setdefault(key, []).append(values)
    worst = 0.0
    for row in rows.to_dict("records"):
        label = row["label"].partition(", other settings")[0]
        key = (paper.row_key(label), row["variant"], row["test_set"])
        if len(again.get(key, ())) != row["seeds"]:
            raise ValueError(
                f"{row['label']} on {row['test_set']}: the table counts {row['seeds']} runs, "
                f"{runs_dir} holds {len(again.get(key, ()))}; compute the table again"
            )
        for name, scale in (("bosc", 100), ("acc", 100), ("auc", 1)):
            if f"{name}_measured" in row:
                value = sum(values[name] for values in again[key]) / len(again[key])
                # NaN in the table must not pass as agreement.
                gap = abs(row[f"{name}_measured"] / scale - value)
                worst = max(worst, float("inf") if np.isnan(gap) else gap)
    return float(worst)


def _again(run: Run, closed: str) -> dict[str, dict[str, float]]:
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
            key: sum(v[key] for v in values.values()) / len(values) for key in ("bosc", "auc")
        }
        every = _scikit(seen["is_fake"], seen["fake_score"])
        values["overall"] = values["Average"] | {"acc": every["acc"]}
    for name, dataset in DATASETS.items():
        part = test[test["dataset"] == dataset].astype({"fake_score": np.float64, "is_fake": bool})
        if len(part):
            videos = part.groupby("video_id")[["is_fake", "fake_score"]].mean()
            values[name] = _scikit(videos["is_fake"], videos["fake_score"])
    return values


def _manipulations(dataset: str, test: pd.DataFrame) -> tuple[str, ...]:
    """Those of the paper, or those that another data set has."""
    if dataset == FACEFORENSICS:
        return tuple(paper.MANIPULATIONS)
    return tuple(sorted(set(test["manipulation"]) - {"real"}))


def _scikit(is_fake: pd.Series, fake_score: pd.Series) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

    fake = is_fake.to_numpy().astype(int)
    score = fake_score.to_numpy().astype(np.float64)
    called = (score > 0.5).astype(int)
    return {
        "bosc": balanced_accuracy_score(fake, called),
        "acc": accuracy_score(fake, called),
        "auc": roc_auc_score(fake, score),
    }


def intervals(
    runs_dir: Path | str,
    table: int = 1,
    level: float = 0.95,
    draws: int = 2000,
    dataset: str = FACEFORENSICS,
) -> pd.DataFrame:
    """Confidence intervals of Table 1's or Table 3's measured numbers: bootstrap over videos.

    They say how far a number would move with other test videos of the same kind, for this run; not
    how far with another training. Columns: run_id, label, seed, test_set, bosc, bosc_low,
    bosc_high (percent), auc, auc_low, auc_high, videos_real, videos_fake, source. Table 1's
    averages have none: the four share their real videos. A test set with fewer than two videos of a
    class has no numbers here. ``dataset``: of Table 1, as in :func:`closed_set`.

    Raises:
        ValueError: another table, or as :func:`closed_set`.
    """
    if table not in (1, 3):
        raise ValueError(f"no intervals for table {table!r}; valid: 1, 3")
    rows = []
    for run in find_runs(runs_dir):
        for test_set, name_of_set, frames in _samples(run, table, dataset):
            fake = frames["is_fake"].to_numpy(bool)
            videos = frames["manipulation"].astype(str) + "/" + frames["video_id"].astype(str)
            row: dict[str, Any] = {
                "run_id": run.run_id,
                "label": run.label,
                "seed": run.seed,
                "test_set": test_set,
            }
            few = min(videos[fake].nunique(), videos[~fake].nunique())
            for name, scale in (("bosc", 100), ("auc", 1)):
                if few < LEAST_VIDEOS:
                    row |= {name: np.nan, f"{name}_low": np.nan, f"{name}_high": np.nan}
                    continue
                found = bootstrap_interval(
                    fake, frames["fake_score"], videos, name, level=level, draws=draws
                )
                row[name] = scale * found.estimate
                row[f"{name}_low"], row[f"{name}_high"] = scale * found.low, scale * found.high
            row["videos_real"] = videos[~fake].nunique()
            row["videos_fake"] = videos[fake].nunique()
            rows.append(row | {"source": run.source(name_of_set, frames)})
    return pd.DataFrame(rows)


def _samples(run: Run, table: int, closed: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(test set, data set, one row a sample) for each column of the table that was scored."""
    scores = read_scores(run)
    if table == 1:
        test = held_out(run, closed, scores)
        for name in _manipulations(closed, test) if len(test) else ():
            yield name, closed, test[test["manipulation"].isin(["real", name])]
        return
    for name, dataset in DATASETS.items():
        test = held_out(run, dataset, scores)
        if len(test):
            yield name, dataset, video_scores(test)


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
    closed = closed_set(runs_dir).query("seeds > 0 and test_set == 'Average'")
    cross = cross_dataset(runs_dir).query("seeds > 0")
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
