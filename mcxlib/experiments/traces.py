"""The laboratory: which trace does which colour space make easier to see?

Every trace of :mod:`mcxlib.synthetic.traces`, at rising strength, is looked for by the same floor
(:mod:`mcxlib.experiments.probe`) in each of the paper's sets of colour spaces. Every crop stands in
both classes, untouched and altered, so that nothing but the trace tells them apart; the people of
training and test are different ones, and a seed draws all of them anew.

Beside the sets stands RGB behind a 3 x 3 conversion that is learnt with the classifier, which says
what a conversion is worth that a network could have learnt by itself; and every set once more with
one normalisation for all its channels, as the paper's experiments had it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcxlib.experiments.each import each
from mcxlib.experiments.trace_cells import CONTROL, LEARNT, Grid, measured
from mcxlib.files import write_json
from mcxlib.pipeline.common import alone, read_if_there
from mcxlib.settings import paths, recipe
from mcxlib.settings.matrix import COLORSPACES
from mcxlib.synthetic.traces import TRACES, alter, faces

__all__ = ["LEARNT", "Grid"]

FORMAT = 1

_RENDERER = ("camera", "clip", "face", "head", "manipulate", "paint", "person", "scenery")

GRIDS = {
    "tiny": Grid("tiny", (5,), (0,), 6, 5, COLORSPACES),
    "small": Grid("small", (2, 4), (0,), 24, 16, COLORSPACES),
    "full": Grid("full", (1, 2, 3, 4, 5), (0, 1, 2), 72, 48, COLORSPACES),
}
"""For tests; for `make`, under a minute; for `make full`."""

OF_PRESET = {"test": "tiny", "demo": "small", "paper": "full"}


def chosen(preset: str, grid: str = "") -> Grid:
    """A grid by its name, or the preset's.

    Raises:
        ValueError: an unknown preset or grid; lists the valid ones.
    """
    for what, value, valid in (("preset", preset, OF_PRESET), ("grid", grid or "full", GRIDS)):
        if value not in valid:
            raise ValueError(f"unknown {what} {value!r}; valid: {', '.join(valid)}")
    return GRIDS[grid or OF_PRESET[preset]]


def store(preset: str, grid: Grid) -> Path:
    """The file with everything measured on a grid."""
    return paths.results(preset) / "traces" / f"{grid.name}.json"


def made_from(grid: Grid) -> str:
    """What decides the numbers: the grid, and a digest of the code that draws and measures."""
    code = recipe.trigger(
        "mcxlib.experiments.trace_cells", *(f"mcxlib.synthetic.{name}" for name in _RENDERER)
    )
    sizes = (FORMAT, grid.levels, grid.train, grid.test, grid.colorspaces)
    return json.dumps([code, *sizes])


def tasks(grid: Grid) -> list[tuple[str, int]]:
    """(trace, seed) of everything to do; with each seed its control."""
    return [(name, seed) for seed in grid.seeds for name in (*TRACES, CONTROL)]


def make(
    preset: str, grid: Grid, workers: int = 1, told: Callable[[str], None] = print
) -> pd.DataFrame:
    """Measure what is missing of a grid; returns all of it, see :func:`results`.

    The file is written whole after each (trace, seed), so that a stopped run goes on there.
    Measurements of other code or another grid are made anew.
    """
    path, current = store(preset, grid), made_from(grid)
    with alone(path, "traces"):
        kept = _kept(path, current)
        todo = [task for task in tasks(grid) if _key(*task) not in kept]
        for (name, seed), rows in each(measured, todo, workers, grid):
            kept[_key(name, seed)] = rows
            write_json(path, {"format": FORMAT, "made_from": current, "parts": kept})
            told(f"seed {seed}: {name}")
    return results(preset, grid)


def _key(name: str, seed: int) -> str:
    return f"{name}, seed {seed}"


def _kept(path: Path, current: str) -> dict[str, Any]:
    stored = read_if_there(path)
    if not isinstance(stored, dict) or stored.get("made_from") != current:
        return {}
    return stored["parts"]


def results(preset: str, grid: Grid) -> pd.DataFrame:
    """One row a trace, seed, strength, set and variant, from the stored file.

    Columns: trace, seed, level (1 to 5), strength, colorspace, variant ("own" or "common"
    normalisation), auc, and compressed_auc: how far the same classifier takes whole crops that
    went through JPEG for altered ones (0.5: not at all). Of the control: trace "control" and
    variant "label" (compression is the label) or "lot" (labels by lot, compression by lot).

    Raises:
        FileNotFoundError: not all of it has been measured with today's code; says how to.
    """
    kept = _kept(store(preset, grid), made_from(grid))
    if missing := [task for task in tasks(grid) if _key(*task) not in kept]:
        raise FileNotFoundError(
            f"{len(missing)} of {len(tasks(grid))} parts of the traces' grid {grid.name} are not "
            f"measured yet: make them with mcx traces --preset {preset} --grid {grid.name}"
        )
    return pd.DataFrame([row for task in tasks(grid) for row in kept[_key(*task)]])


def largest(preset: str) -> Grid:
    """The largest grid that lies finished; if there is none, the one that the preset makes."""
    for name in ("full", "small", "tiny"):
        kept = _kept(store(preset, GRIDS[name]), made_from(GRIDS[name]))
        if all(_key(*task) in kept for task in tasks(GRIDS[name])):
            return GRIDS[name]
    return GRIDS[OF_PRESET[preset]]


def listed() -> pd.DataFrame:
    """The traces: name, what, where, unit and the five strengths."""
    return pd.DataFrame(
        {
            "trace": trace.name,
            "what": trace.what,
            "where": "between frames" if trace.pairs else trace.region,
            "unit": trace.unit,
            "strengths": ", ".join(f"{s:g}" for s in trace.strengths),
        }
        for trace in TRACES.values()
    )


def sheet(
    seed: int = 0, person: int = 0
) -> tuple[dict[str, list[np.ndarray]], dict[str, list[str]]]:
    """One person under every trace, for a picture: the untouched crop and three strengths (the
    first, third and fifth), and how these are written."""
    face = faces(seed, [person], 1)[0]
    crops, texts = {}, {}
    for name, trace in TRACES.items():
        shown = trace.strengths[::2]
        crops[name] = [alter(face, trace, s, np.random.default_rng(0)) for s in (0, *shown)]
        texts[name] = [f"{s:g}" for s in shown]
    return crops, texts
