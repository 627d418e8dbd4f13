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
from mcxlib.config import RunConfig
from mcxlib.experiments import (
    ablation,
    cam_truth,
    detector_comparison,
    fusion,
    robustness,
    robustness_curves,
    trace_nets,
    traces,
)
from mcxlib.experiments.origins import Origins, by_label, of_maps, of_robustness
from mcxlib.files import read_json
from mcxlib.settings import matrix
from mcxlib.tables.results import BOOTSTRAP
from mcxlib.tables.stored import SYNTHETIC

Row = dict[str, Any]

REFERENCE = "MCX-API(RGB)"
"""What other rows are compared with, as in notebook 08."""

_PERCENT = ("bosc", "eer", "tpr", "seen", "other", "average", "simulated")
"""Beginnings of metrics that tables print in percent."""

_SEEDS = "standard deviation over seeds"


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
    makers: dict[str, Callable[[], tuple[list[Row], str]]] = {
        "the study of pairing": partial(_pairing, preset, more),
        "rows beside each other": partial(_beside, preset, more),
        "robustness": partial(_robustness, preset, more),
        "traces": partial(_traces, preset),
        "maps against the truth": partial(_maps, preset, more),
        "claims": partial(_claims, preset, more, claims),
    }
    rows: list[Row] = []
    lines = []
    for name, make in makers.items():
        found, said = make()
        rows += found
        lines.append(f"{name}: {len(found)} numbers" + (f"; {said}" if said else ""))
    return rows, lines


def _pairing(preset: str, more: Row) -> tuple[list[Row], str]:
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


# -- robustness, traces, maps, claims ----------------------------------------------------------


def _robustness(preset: str, more: Row) -> tuple[list[Row], str]:
    if preset not in robustness.SAMPLES:
        return [], "no sample of this preset"
    runs = robustness.runs(preset, full=True, **more)
    made = [run for run in runs if robustness.stored(run) is not None]
    usual = robustness.runs(preset, **more)
    lacking = [run.label for run in usual if run.run_id not in {one.run_id for one in made}]
    said = f"not made of {', '.join(lacking)} (mcx robustness)" if lacking else ""
    if not made:
        return [], said
    return robustness_rows(made), said


def robustness_rows(runs: Sequence[RunConfig]) -> list[Row]:
    """The rows of :func:`mcxlib.experiments.robustness_curves.curves`: each metric, and what a
    level costs against the same frames untouched."""
    table = robustness_curves.curves(runs)
    about_runs = {run.run_id: of_robustness(run) for run in runs}
    rows = []
    for cell in table.to_dict("records"):
        about = about_runs[cell["run_id"]] | {"table": "robustness", "test_set": "Average"}
        about |= {"condition": cell["corruption"], "strength": cell["level"], "level": "frame"}
        about["note"] = f"{cell['frames']} frames of {cell['videos']} videos, {cell['lost']} lost"
        for metric, scale in robustness_curves.UNITS.items():
            unit = "percent" if scale == 100 else "share"
            for name in (metric, f"{metric}_drop"):
                if np.isnan(cell.get(name, np.nan)):
                    continue
                number = {"metric": name, "value": cell[name], "unit": unit}
                number |= {"low": cell[f"{name}_low"], "high": cell[f"{name}_high"]}
                number |= {"interval": BOOTSTRAP}
                number |= {"reference": "the same frames untouched"} if name != metric else {}
                rows.append(about | number)
    return rows


def _traces(preset: str) -> tuple[list[Row], str]:
    grid = traces.largest(preset)
    try:
        table = traces.results(preset, grid)
    except FileNotFoundError as error:
        return [], str(error)
    return of_traces(table) + of_trace_nets(trace_nets.results(preset)), ""


_DRAWN = {"dataset": "drawn faces", "level": "frame", "source": SYNTHETIC}


def of_traces(table: pd.DataFrame) -> list[Row]:
    """The rows of :func:`mcxlib.experiments.traces.results`, mean over the seeds: a set of colour
    spaces a row, a trace a condition."""
    kept = ["colorspace", "variant", "trace", "level", "strength"]
    rows = []
    for (space, variant, trace, _, strength), part in table.groupby(kept, sort=False):
        about = {"table": "traces", "row": space, "detector": "filter bank and linear classifier"}
        about |= _DRAWN | {"condition": trace, "strength": f"{strength:g}"}
        about["seeds"] = " ".join(map(str, part["seed"]))
        about["note"] = f"normalisation: {variant}" if trace != "control" else f"control: {variant}"
        for name in ("auc", "compressed_auc"):
            if part[name].notna().all():
                rows.append(about | {"metric": name, "unit": "share"} | _over_seeds(part[name]))
    return rows


def of_trace_nets(table: pd.DataFrame) -> list[Row]:
    """The rows of :func:`mcxlib.experiments.trace_nets.results`, mean over the seeds."""
    rows = []
    for (space, trace), part in table.groupby(["colorspace", "trace"], sort=False):
        about = {"table": "traces", "row": space, "detector": "xception"} | _DRAWN
        about |= {"condition": trace, "seeds": " ".join(map(str, part["seed"]))}
        about |= {"strength": f"{traces.TRACES[str(trace)].strengths[trace_nets.LEVEL - 1]:g}"}
        rows.append(about | {"metric": "auc", "unit": "share"} | _over_seeds(part["auc"]))
    return rows


def _over_seeds(values: pd.Series) -> Row:
    """Mean and spread."""
    found: Row = {"value": float(values.mean())}
    if len(values) < 2:
        return found
    ends = {"low": float(values.min()), "high": float(values.max())}
    return found | ends | {"sd": float(values.std(ddof=1)), "interval": "lowest and highest seed"}


def _maps(preset: str, more: Row) -> tuple[list[Row], str]:
    runs = {
        run.label: run
        for run in (configs.load(preset, detector=n, **more) for n in ("mcx-api", "api-net"))
    }
    named = dict(zip(("MCX-API(RGB)", "API-Net"), runs.values(), strict=True))
    found = cam_truth.stored(named)
    if found is None:
        return [], "not measured of these networks (mcx maps)"
    said = "" if len(found.truth) else "what was altered is not known of these videos"
    return of_cam_truth(found, named), said


_OF_MAP = (
    *("share", "share_of_others", "pointing", "pointing_of_others"),
    *("deletion", "deletion_of_others", "insertion", "insertion_of_others"),
)


def of_cam_truth(found: cam_truth.Stored, runs: dict[str, RunConfig]) -> list[Row]:
    """The rows of :mod:`mcxlib.experiments.cam_truth`: means over the crops of which a map says
    something, of all fakes and of each manipulation; and how compression moves a network."""
    about_runs = {name: of_maps(run, found.note) for name, run in runs.items()}
    rows = []
    for by in ((), ("manipulation",)) if len(found.truth) else ():
        for key, part in found.truth.groupby(["network", "method", *by], sort=False):
            about = about_runs[str(key[0])] | {"table": "maps", "row": key[0], "level": "frame"}
            about |= {"condition": key[1], "test_set": key[2] if by else "all fakes"}
            without = int((~part["evidence"]).sum())
            about["note"] = f"{without} of {len(part)} maps say nothing" if without else ""
            for name in (*_OF_MAP, "area"):
                known = part[name].dropna()
                if len(known):
                    number = {"metric": name, "unit": "share", "value": float(known.mean())}
                    rows.append(about | number | {"n_fake": len(known)})
    for cell in found.reaction.to_dict("records"):
        about = about_runs[cell["network"]] | {"table": "maps", "row": cell["network"]}
        about |= {"condition": "JPEG", "strength": f"{cell['quality']:g}", "level": "frame"}
        about |= {"n_real": cell["faces"], "reference": "the same real faces untouched"}
        rows.append(about | {"metric": "shift", "unit": "log-odds", "value": cell["shift"]})
        rows.append(about | {"metric": "auc", "unit": "share", "value": cell["auc"]})
    return rows


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
