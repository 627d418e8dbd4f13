"""The numbers of all studies as rows of :mod:`mcxlib.tables.results`.

Only what lies on disk is read: a study that was not made is left out, and named. A function takes
what a study's own functions return, so that a row is the number that a notebook shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcxlib import config as configs
from mcxlib import pipeline
from mcxlib.experiments import ablation, detector_comparison, fusion
from mcxlib.experiments.origins import Origins, by_label
from mcxlib.files import read_json
from mcxlib.pipeline.data import home_of
from mcxlib.runs import RunFolder
from mcxlib.settings import matrix, paths
from mcxlib.tables.results import BOOTSTRAP

Row = dict[str, Any]

REFERENCE = "MCX-API(RGB)"
"""What other rows are compared with, as in notebook 08."""

_PERCENT = ("bosc", "eer", "tpr", "seen", "other", "average", "simulated")
"""Beginnings of metrics that tables print in percent."""


def studies(
    preset: str, videos: str = "", claims: Path | None = None
) -> tuple[list[Row], list[str]]:
    """The rows of every study that was made, and a line for each that was not.

    Args:
        preset: whose runs.
        videos: rendered or distributed; "" as the preset says.
        claims: ``claims.json`` as :mod:`mcxlib.claims` writes it.
    """
    more = {"videos": videos} if videos else {}
    home = home_of(configs.load_data(preset, **more))
    runs = paths.runs(home)
    makers: dict[str, Callable[[], tuple[list[Row], str]]] = {
        "the study of pairing": partial(_pairing, preset, more),
        "rows beside each other": partial(_beside, preset, more),
        "robustness": partial(_of_images, "robustness", runs, "*/robustness/*", preset, more),
        "traces": partial(_of_images, "traces", paths.results(preset), "traces/*", preset, more),
        "maps": partial(_of_images, "maps", paths.results(home), "maps/*", preset, more),
        "claims": partial(_claims, preset, more, claims),
    }
    rows: list[Row] = []
    lines = []
    for name, make in makers.items():
        found, said = make()
        rows += found
        lines.append(f"{name}: {len(found)} numbers" + (f"; {said}" if said else ""))
    return rows, lines


def _of_images(
    name: str, folder: Path, files: str, preset: str, more: Row
) -> tuple[list[Row], str]:
    """A study of images: loaded, with what reads them, only if anything of it was made."""
    if not any(folder.glob(files)):
        return [], f"not made (mcx {name})"
    from mcxlib.experiments import as_data_images

    return as_data_images.MAKERS[name](preset, more)


def _pairing(preset: str, more: Row) -> tuple[list[Row], str]:
    folder = paths.runs(home_of(configs.load_data(preset, **more)))
    if not (folder / ablation.STUDY).is_dir():  # what reads a run loads torch too
        return [], "not made (mcx ablation)"
    asked = matrix.ABLATION_SEEDS[preset]
    seeds = ablation.finished(preset, asked, **more)
    said = f"{len(asked) - len(seeds)} of {len(asked)} seeds were not made (mcx ablation)"
    return ablation.numbers(preset, seeds, **more), "" if len(seeds) == len(asked) else said


def _number(metric: str, value: float, **more: Any) -> Row:
    """A fraction as tables print it: BOSC and rates in percent, AUC as a share."""
    percent = metric.startswith(_PERCENT)
    scale = 100 if percent else 1
    ends = {name: scale * more.pop(name) for name in ("low", "high") if name in more}
    unit = {"unit": "percent" if percent else "share"}
    return {"metric": metric, "value": scale * value} | unit | ends | more


# -- rows beside each other: notebook 08 -------------------------------------------------------


def _beside(preset: str, more: Row) -> tuple[list[Row], str]:
    folder = paths.runs(home_of(configs.load_data(preset, **more)))
    whole = [path for path in folder.glob("*") if _scored_on_all(RunFolder(path))]
    if len(whole) < 2:  # to compare; what reads them loads torch
        return [], "fewer than two rows have scores of all data sets"
    runs = [configs.load(preset, **row.settings, **more) for row in matrix.rows(preset)]
    found, kept, lacking = detector_comparison.stored(runs, pipeline.ALL_DATASETS)
    said = f"without stored scores of all sets: {', '.join(lacking)}" if lacking else ""
    if found is None:
        return [], said
    origins = Origins(kept)
    points = detector_comparison.points(found)
    rows = of_points(points, origins) + of_calibration(
        detector_comparison.calibration(found), origins
    )
    if REFERENCE in found.names:
        compared = detector_comparison.comparisons(found, REFERENCE)
        rows += of_comparisons(compared, REFERENCE, origins)
    if found.validation["is_fake"].nunique() > 1:
        rows += of_fusion(fusion.results(found, fusion.families(kept)), origins)
    return rows + of_halves(fusion.halves(found, found.names), found.names, origins), said


def _scored_on_all(run: RunFolder) -> bool:
    names = pipeline.ALL_DATASETS
    return run.validation.is_file() and all(run.scores(name).is_file() for name in names)


def of_points(table: pd.DataFrame, origins: Origins) -> list[Row]:
    """The rows of :func:`mcxlib.experiments.detector_comparison.points`."""
    plain = ("eer", "tpr_at_1", "tpr_at_10", "bosc_chosen", "bosc_best")
    rows = []
    for cell in table.to_dict("records"):
        about = {"table": "thresholds"} | origins.of([cell["label"]], cell["dataset"])
        about |= {name: cell[name] for name in ("n_real", "n_fake", "note")}
        numbers = [_number(name, cell[name]) for name in plain]
        for name, ends in (("auc", "auc"), ("bosc_half", "bosc")):
            low, high = cell[f"{ends}_low"], cell[f"{ends}_high"]
            kind = "" if np.isnan(low) else BOOTSTRAP
            numbers.append(_number(name, cell[name], low=low, high=high, interval=kind))
        if cell["threshold"] is not None and not np.isnan(cell["threshold"]):
            numbers.append(_number("threshold", cell["threshold"]) | {"unit": "score"})
        rows += [about | one for one in numbers if not np.isnan(one["value"])]
    return rows


def of_comparisons(table: pd.DataFrame, reference: str, origins: Origins) -> list[Row]:
    """The rows of :func:`mcxlib.experiments.detector_comparison.comparisons` that were made."""
    rows = []
    for cell in table.dropna(subset=["p"]).to_dict("records"):
        about = origins.of([cell["label"], reference], cell["dataset"], cell["label"])
        about |= {"table": "differences", "reference": reference, "p": cell["p"]}
        about |= {"p_adjusted": cell["holm"], "interval": f"95 %, {cell['kind']}"}
        ends = {name: cell[name] for name in ("low", "high")}
        number = _number(f"{cell['metric']} difference", cell["estimate"], **ends)
        rows.append(about | number)
    return rows


def of_calibration(table: pd.DataFrame, origins: Origins) -> list[Row]:
    """The rows of :func:`mcxlib.experiments.detector_comparison.calibration`."""
    rows = []
    for cell in table.to_dict("records"):
        about = {"table": "calibration"} | origins.of([cell["label"]], cell["dataset"])
        about["note"] = cell["note"]
        for name in ("temperature", "ece_before", "ece_after"):
            if not np.isnan(cell[name]):
                unit = {"unit": "1"} if name == "temperature" else {}
                rows.append(about | _number(name, cell[name]) | unit)
    return rows


def of_fusion(table: pd.DataFrame, origins: Origins) -> list[Row]:
    """The rows of :func:`mcxlib.experiments.fusion.results`: a rule a row, a family a condition."""
    rows = []
    for cell in table.to_dict("records"):
        members = cell["names"].split(", ")
        about = origins.of(members, cell["dataset"], cell["rule"])
        about |= {"table": "fusion", "condition": cell["family"], "strength": str(cell["members"])}
        about["note"] = f"fused: {cell['names']}"
        rows += [about | _number(name, cell[name]) for name in ("auc", "bosc", "bosc_chosen")]
        if cell["rule"] != fusion.PICKED:
            gap = {"reference": fusion.PICKED, "p": cell["p"], "p_adjusted": cell["holm"]}
            rows.append(about | gap | _number("auc difference", cell["gap"]))
    return rows


def of_halves(table: pd.DataFrame, labels: Sequence[str], origins: Origins) -> list[Row]:
    """The rows of :func:`mcxlib.experiments.fusion.halves`."""
    rows = []
    for cell in table.to_dict("records"):
        about = origins.of(labels, cell["dataset"], f"best of {cell['detectors']}")
        about |= {"table": "halves", "n_real": cell["n_real"], "n_fake": cell["n_fake"]}
        about["note"] = "mean over halves of the test videos at random"
        rows += [
            about | _number(name, cell[name]) for name in ("seen", "other", "average", "simulated")
        ]
    return rows


# -- claims -----------------------------------------------------------------------------------


def _claims(preset: str, more: Row, file: Path | None) -> tuple[list[Row], str]:
    if file is None or not file.is_file():
        return [], "not judged (mcx claims)"
    stored = read_json(file)
    if stored.get("format") != 2:
        return [], f"{file} is of another format; judge them again (mcx claims)"
    config = configs.load(preset, **more)
    return of_claims(stored["claims"], by_label(config)), ""


def of_claims(claims: Iterable[Row], runs: Callable[[str, str], Row] = lambda *_: {}) -> list[Row]:
    """The measured numbers behind the claims' verdicts, a claim's name as the condition.

    Args:
        claims: of ``claims.json``.
        runs: (row, test set) -> where a number comes from, if it is of runs.
    """
    rows = []
    for claim in claims:
        for one in claim["numbers"]:
            about = {"table": "claims", "condition": claim["id"], "row": one["of"]}
            about |= {"test_set": one["on"], "metric": one["what"], "unit": one["unit"]}
            about |= {"source": claim["data"], "note": claim["measured_verdict"]}
            ends = {name: one[name] for name in ("value", "low", "high")}
            kind = "" if one["low"] is None else "95 %, or the places that intervals allow"
            rows.append(about | runs(one["of"], one["on"]) | ends | {"interval": kind})
    return rows
