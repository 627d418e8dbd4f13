"""Where a study's numbers come from: runs, weights, data, code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mcxlib import pipeline, schemas
from mcxlib.config import RunConfig
from mcxlib.paper import row_key
from mcxlib.tables import results, stored
from mcxlib.tables.stored import Run

Row = dict[str, Any]


def run_of(config: RunConfig) -> Run:
    """The stored run of a configuration.

    Raises:
        FileNotFoundError: it has no scores.
    """
    folder = pipeline.run_folder(config).path
    for run in stored.find_runs(folder.parent):
        if run.run_id == config.run_id:
            return run
    raise FileNotFoundError(f"no run {config.run_id} with scores in {folder.parent}")


class Origins:
    """Of runs of one folder, read once."""

    def __init__(self, runs: Sequence[RunConfig]) -> None:
        folder = pipeline.run_folder(runs[0]).path.parent
        known = {run.run_id: run for run in stored.find_runs(folder)}
        self._runs = {config.label: known[config.run_id] for config in runs}
        self._sources: dict[tuple[str, str], str] = {}

    def of(self, labels: Sequence[str], dataset: str, row: str = "") -> Row:
        """What all numbers of some rows on one data set share, by video; ``row`` is what they are
        called together, by default the first one's label."""
        runs = [self._runs[label] for label in labels]
        about: Row = {"row": row or labels[0], "dataset": dataset, "test_set": dataset}
        one = len(runs) == 1
        about |= {"detector": runs[0].method if one else "", "level": "video"}
        about["variant"] = runs[0].variant if one else ""
        about["source"] = self._source(runs[0], dataset)
        return about | results.origin(runs, dataset)

    def _source(self, run: Run, dataset: str) -> str:
        key = (run.run_id, dataset)
        if key not in self._sources:
            scores = schemas.read_scores(run.folder.scores(dataset))
            self._sources[key] = run.source(dataset, scores)
        return self._sources[key]


def by_label(config: RunConfig) -> Callable[[str, str], Row]:
    """(label, column of a table) -> where a number of that row comes from; of "A less B" from both,
    and {} for what is no row. All seeds of a row, in the settings of the preset."""
    folder = pipeline.run_folder(config).path.parent
    known: dict[str, list[Run]] = {}
    for run in stored.find_runs(folder) if folder.is_dir() else ():
        if not run.variant:
            known.setdefault(run.key, []).append(run)

    def of(label: str, test_set: str) -> Row:
        runs = [run for part in label.split(" less ") for run in known.get(row_key(part), [])]
        dataset = stored.DATASETS.get(test_set, config.data.train_on)
        runs = [run for run in runs if run.folder.scores(dataset).is_file()]
        if not runs:
            return {}
        one = len({run.method for run in runs}) == 1
        about = {"dataset": dataset, "detector": runs[0].method if one else ""}
        return about | results.origin(runs, dataset)

    return of


def of_sample(config: RunConfig, weights: str, rows: str) -> Row:
    """Of a sample of the test part of what a run was trained on."""
    run, dataset = run_of(config), config.data.train_on
    about = {"row": run.label, "detector": run.method, "variant": run.variant}
    about |= {"dataset": dataset, "source": results.run_source(run)}
    return about | results.origin([run], dataset) | {"weights_sha256": weights, "data_sha256": rows}
