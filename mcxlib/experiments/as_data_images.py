"""The numbers of the studies that look at images, as rows of :mod:`mcxlib.tables.results`: scores
under corruptions, single traces, maps against what was altered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mcxlib import config as configs
from mcxlib import schemas
from mcxlib.config import RunConfig
from mcxlib.evaluate.means import over_videos
from mcxlib.experiments import cam_truth, robustness, robustness_curves, trace_nets, traces
from mcxlib.experiments.origins import of_sample
from mcxlib.tables.results import BOOTSTRAP
from mcxlib.tables.stored import SYNTHETIC

Row = dict[str, Any]


def robustness_made(preset: str, more: Row) -> tuple[list[Row], str]:
    if preset not in robustness.SAMPLES:
        return [], "no sample of this preset"
    runs = robustness.runs(preset, full=True, **more)
    made = [run for run in runs if robustness.stored(run) is not None]
    usual = robustness.runs(preset, **more)
    lacking = [run.label for run in usual if run.run_id not in {one.run_id for one in made}]
    said = f"not made of {', '.join(lacking)} (mcx robustness)" if lacking else ""
    if not made:
        return [], said
    return of_robustness(made), said


def of_robustness(runs: Sequence[RunConfig]) -> list[Row]:
    """The rows of :func:`mcxlib.experiments.robustness_curves.curves`: each metric, and what a
    level costs against the same frames untouched."""
    table = robustness_curves.curves(runs)
    about_runs = {run.run_id: _of_robustness(run) for run in runs}
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


def traces_made(preset: str, _: Row) -> tuple[list[Row], str]:
    grid = traces.largest(preset)
    try:
        table = traces.results(preset, grid)
    except FileNotFoundError as error:
        return [], str(error)
    return of_traces(table, grid) + of_trace_nets(trace_nets.results(preset)), ""


_DRAWN = {"dataset": "drawn faces", "level": "frame", "source": SYNTHETIC}


def _laboratory(name: str, made_from: str, train: int, test: int) -> Row:
    """Where numbers of the laboratory come from: it has no runs, but a file of each grid, and what
    decides its numbers is the code that draws and the sizes of the grid."""
    return _DRAWN | {
        "run_ids": f"traces/{name}",
        "data_sha256": hashlib.sha256(made_from.encode()).hexdigest(),
        "protocol": f"trained on {train} drawn people, tested on {test} others",
    }


def of_traces(table: pd.DataFrame, grid: traces.Grid) -> list[Row]:
    """The rows of :func:`mcxlib.experiments.traces.results` of a grid, mean over the seeds: a set
    of colour spaces a row, a trace a condition."""
    kept = ["colorspace", "variant", "trace", "level", "strength"]
    origin = _laboratory(grid.name, traces.made_from(grid), grid.train, grid.test)
    rows = []
    for (space, variant, trace, _, strength), part in table.groupby(kept, sort=False):
        about = {"table": "traces", "row": space, "detector": "filter bank and linear classifier"}
        about |= origin | {"condition": trace, "strength": f"{strength:g}"}
        about["seeds"] = " ".join(map(str, part["seed"]))
        about["note"] = f"normalisation: {variant}" if trace != "control" else f"control: {variant}"
        for name in ("auc", "compressed_auc"):
            if part[name].notna().all():
                rows.append(about | {"metric": name, "unit": "share"} | _over_seeds(part[name]))
    return rows


def of_trace_nets(table: pd.DataFrame) -> list[Row]:
    """The rows of :func:`mcxlib.experiments.trace_nets.results`, mean over the seeds."""
    sizes = trace_nets.TRAIN, trace_nets.TEST
    origin = _laboratory("networks", trace_nets.made_from(), *sizes)
    rows = []
    for (space, trace, strength), part in table.groupby(
        ["colorspace", "trace", "strength"], sort=False
    ):
        about = {"table": "traces", "row": space, "detector": "xception"} | origin
        about |= {"condition": trace, "seeds": " ".join(map(str, part["seed"]))}
        about |= {"strength": f"{strength:g}"}
        rows.append(about | {"metric": "auc", "unit": "share"} | _over_seeds(part["auc"]))
    return rows


def _over_seeds(values: pd.Series) -> Row:
    """Mean and spread."""
    found: Row = {"value": float(values.mean())}
    if len(values) < 2:
        return found
    ends = {"low": float(values.min()), "high": float(values.max())}
    return found | ends | {"sd": float(values.std(ddof=1)), "interval": "lowest and highest seed"}


def maps_made(preset: str, more: Row) -> tuple[list[Row], str]:
    runs = (configs.load(preset, detector=name, **more) for name in ("mcx-api", "api-net"))
    named = dict(zip(("MCX-API(RGB)", "API-Net"), runs, strict=True))
    found = cam_truth.stored(named)
    if found is None:
        return [], "not measured of these networks (mcx maps)"
    said = "" if len(found.truth) else "what was altered is not known of these videos"
    return of_cam_truth(found, named), said


_OF_MAP = (
    *("share", "share_of_others", "pointing", "pointing_of_others"),
    *("deletion", "deletion_of_others", "insertion", "insertion_of_others"),
)


_ABOVE = (
    ("above_flat", "area", "a flat map"),
    ("above_others", "share_of_others", "the same network's maps of other images"),
)
"""Metric, the column of chance, what that is."""


def _over_crops(
    name: str, values: pd.Series, part: pd.DataFrame, within: tuple[float, float] = (-1, 1)
) -> Row:
    """A mean over crops, with an interval where there are enough videos for one."""
    found = over_videos(values, part["video_id"], within)
    number = {"metric": name, "unit": "share", "value": float(values.mean())}
    number["n_fake"] = int(values.notna().sum())
    if np.isnan(found.low):
        return number
    return number | {"low": found.low, "high": found.high, "interval": OVER_VIDEOS}


OVER_VIDEOS = "95 %, Student's t over videos"


def of_cam_truth(found: cam_truth.Stored, runs: dict[str, RunConfig]) -> list[Row]:
    """The rows of :mod:`mcxlib.experiments.cam_truth`: means over the crops of which a map says
    something, of all fakes and of each manipulation; and how compression moves a network."""
    about_runs = {name: _of_maps(run, found.note) for name, run in runs.items()}
    rows = []
    for by in ((), ("manipulation",)) if len(found.truth) else ():
        for key, part in found.truth.groupby(["network", "method", *by], sort=False):
            about = about_runs[str(key[0])] | {"table": "maps", "row": key[0], "level": "frame"}
            about |= {"condition": key[1], "test_set": key[2] if by else "all fakes"}
            without = int((~part["evidence"]).sum())
            about["note"] = f"{without} of {len(part)} maps say nothing" if without else ""
            for name in (*_OF_MAP, "area"):
                if part[name].notna().any():
                    rows.append(about | _over_crops(name, part[name], part, (0, 1)))
            for name, chance, what in _ABOVE:
                if part["share"].notna().any():
                    above = part["share"] - part[chance]
                    rows.append(about | _over_crops(name, above, part) | {"reference": what})
    for cell in found.reaction.to_dict("records"):
        about = about_runs[cell["network"]] | {"table": "maps", "row": cell["network"]}
        about |= {"condition": "JPEG", "strength": f"{cell['quality']:g}", "level": "frame"}
        about |= {"n_real": cell["faces"], "reference": "the same real faces untouched"}
        rows.append(about | {"metric": "shift", "unit": "log-odds", "value": cell["shift"]})
        rows.append(about | {"metric": "auc", "unit": "share", "value": cell["auc"]})
    return rows


def _of_robustness(config: RunConfig) -> Row:
    """Of the stored scores under corruptions."""
    note = schemas.read_note(robustness.path_of(config))
    return of_sample(config, note["weights_sha256"], note["rows_sha256"])


def _of_maps(config: RunConfig, note: Row) -> Row:
    """Of stored maps: ``note`` is theirs."""
    label = {"mcx-api": "MCX-API(RGB)", "api-net": "API-Net"}[config.detector]
    return of_sample(config, note["weights"][label], note["rows_sha256"])


MAKERS: dict[str, Callable[[str, Row], tuple[list[Row], str]]] = {
    "robustness": robustness_made,
    "traces": traces_made,
    "maps": maps_made,
}
"""Study -> (preset, settings of all runs) -> its rows, and what is left out."""
