"""What the runs of the tables cost, from their own records."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mcxlib import runs, schemas
from mcxlib.tables.stored import Run, find_runs

TERA = 1e12


def cost(runs_dir: Path | str) -> pd.DataFrame:
    """One row a run, those of studies too: ``study`` ("" for the tables' own), ``run``, ``steps``,
    ``seconds`` of training, ``training`` and ``scoring`` in TFLOP (10^12 floating-point
    operations, a multiply-add counting as two).

    What was not counted (a run of older code, a compiled network) is NaN. Errors as
    :func:`mcxlib.tables.stored.find_runs`.
    """
    rows = [_row("", run) for run in find_runs(runs_dir)]
    for study in runs.studies(Path(runs_dir)):
        rows += [_row(study.name, run) for run in find_runs(study)]
    return pd.DataFrame(rows, columns=["study", "run", "steps", "seconds", "training", "scoring"])


def _row(study: str, run: Run) -> dict[str, object]:
    record = run.folder.read_provenance() or {}
    scored = pd.Series([schemas.read_note(file).get("flop") for file in run.files], dtype=float)
    return {
        "study": study,
        "run": run.run_id,
        "steps": record.get("steps"),
        "seconds": record.get("seconds"),
        "training": float(record.get("flop") or "nan") / TERA,
        "scoring": scored.sum(skipna=False) / TERA,
    }


def cost_summary(table: pd.DataFrame) -> str:
    """One line: how much all runs together took, and how many were not counted."""
    counted = table[["training", "scoring"]].sum()
    unknown = int(table[["training", "scoring"]].isna().any(axis=1).sum())
    text = (
        f"{len(table)} runs: {counted['training']:.1f} TFLOP of training, "
        f"{counted['scoring']:.1f} of scoring, {counted.sum():.1f} together"
    )
    return text + (f"; {unknown} not counted, or in part" if unknown else "")
