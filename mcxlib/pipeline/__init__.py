"""Each step of the work as "make it if it is missing": videos, manifests, crops, runs, scores.

Notebooks, the command line and the workflow all call these, so that a step can start from
nothing. A step is done once: a lock keeps two processes off the same step, and what lies finished
on disk is not made again.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "confounds": ("confounds_file", "ensure_confounds"),
    "data": (
        *("ALL_DATASETS", "Plan", "crop_folder", "ensure_crops", "ensure_manifest"),
        *("ensure_rows", "ensure_videos", "left_out", "make_manifest", "parts", "plan"),
    ),
    "merge": ("merge",),
    "runs": ("check_retrain", "ensure_run", "items", "run_folder", "run_recipe", "start_weights"),
    "scores": ("ensure_features", "ensure_scores", "stored_scores"),
    "validation": ("ensure_validation", "stored_validation"),
}
"""Submodule -> the names it gives; imported when first asked for, since runs bring torch along."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
