"""One result and one cost for a first page, in sentences made from the runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mcxlib import paper
from mcxlib.tables.cost import cost
from mcxlib.tables.stored import find_runs

NOTHING_YET = "Nothing was measured yet."
ROW = "MCX-API(RGB)"


def headline(closed: pd.DataFrame, cross: pd.DataFrame, seeds: str = "") -> str:
    """What the paper's first row came to, with its interval and the data it was measured on.

    Args:
        closed: what :func:`mcxlib.tables.closed_set` returned.
        cross: what :func:`mcxlib.tables.cross_dataset` returned.
        seeds: of :func:`mcxlib.tables.seeds.of_row`: how far another seed moves it.
    """
    row = _measured(closed[closed["test_set"] == "Average"])
    if row.empty:
        return NOTHING_YET
    first = row.iloc[0]
    said = (
        f"On {first['source']}, {ROW} tells real frames from those of the four manipulations, of "
        f"people it has not seen, with a BOSC of **{first['bosc_measured']:.1f} %**"
        f"{_interval(first, 'bosc', 1, ' %')} and an AUC of **{first['auc_measured']:.3f}**"
        f"{_interval(first, 'auc', 3, '')}, by frame."
    )
    further = _measured(cross)
    if len(further):
        each = ", ".join(
            f"{paper.shown(cell['test_set'])} {cell['auc_measured']:.3f}"
            + _interval(cell, "auc", 3, "").replace("95 % interval ", "")
            for cell in further.to_dict("records")
        )
        drawn = "drawn stand-ins of " if "synthetic" in str(first["source"]) else ""
        said += f" On {drawn}data sets it was not trained on, by video, its AUC is: {each}."
    return f"{said} {seeds}".rstrip()


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["label"] == ROW) & table["bosc_measured"].notna()]


def _interval(cell: Mapping[str, Any] | pd.Series, name: str, digits: int, unit: str) -> str:
    low, high = cell[f"{name}_low"], cell[f"{name}_high"]
    if pd.isna(low) or pd.isna(high):
        return ""
    return f" (95 % interval {low:.{digits}f} to {high:.{digits}f}{unit})"


def machine(runs_dir: Path | str) -> str:
    """How long the runs of the tables trained, and on what; errors as :func:`find_runs`."""
    table = cost(runs_dir)
    own, studied = table[table["study"] == ""], table[table["study"] != ""]
    if own.empty:
        return NOTHING_YET
    if own["seconds"].isna().all():
        return "How long the runs of the tables trained is not known."
    records = [run.folder.read_provenance() or {} for run in find_runs(runs_dir)]
    places = dict.fromkeys(filter(None, map(_place, records)))
    said = f"{_trained(own)} of the tables"
    if len(studied) and studied["seconds"].notna().any():
        said += f", and {_trained(studied)} of studies"
    said += f", on {'; '.join(places)}." if places else "."
    unknown = int(table["seconds"].isna().sum())
    return "Training took " + said + (f" Of {unknown} the time is not known." if unknown else "")


def _trained(table: pd.DataFrame) -> str:
    seconds = pd.to_numeric(table["seconds"]).sum()
    runs = f"{len(table)} runs" if len(table) > 1 else "1 run"
    return f"{_minutes(seconds)} for the {runs}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def _place(record: dict) -> str:
    if not record.get("processor"):
        return ""
    gpus = ", ".join(map(str, record.get("gpus") or [])) or "no GPU"
    cores = f", {record['cores']} cores" if record.get("cores") else ""
    return f"{record['processor']}{cores}, {gpus}"
