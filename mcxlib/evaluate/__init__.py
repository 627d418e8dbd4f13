"""Scores in, numbers out: NumPy and pandas only, so that reading results needs no network."""

from mcxlib.evaluate.bounds import Bounds, auc_bounds, bosc_auc_feasible, max_auc
from mcxlib.evaluate.intervals import (
    LEAST_DRAWS,
    METRICS,
    Interval,
    Sample,
    bootstrap_interval,
    mean_interval,
    proportion_interval,
    video_interval,
)
from mcxlib.evaluate.metrics import auc, bosc, per_manipulation, sensitivity, specificity
from mcxlib.evaluate.report import binary_report
from mcxlib.evaluate.videos import REDUCTIONS, video_scores

__all__ = [
    "LEAST_DRAWS",
    "METRICS",
    "REDUCTIONS",
    "Bounds",
    "Interval",
    "Sample",
    "auc",
    "auc_bounds",
    "binary_report",
    "bootstrap_interval",
    "bosc",
    "bosc_auc_feasible",
    "max_auc",
    "mean_interval",
    "per_manipulation",
    "proportion_interval",
    "sensitivity",
    "specificity",
    "video_interval",
    "video_scores",
]
