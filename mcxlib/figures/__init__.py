"""Figures: data in, a :class:`Plate` out (the figure and one sentence that says what it shows)."""

from mcxlib.figures.beyond import (
    differences,
    fusion,
    halves,
    leads,
    reliability,
    roc_of_sets,
    thresholds,
)
from mcxlib.figures.charts import compare, forest, roc_curves, score_distributions, training_curves
from mcxlib.figures.pictures import cam_grid, contact_sheet, tsne_panels
from mcxlib.figures.robustness import harmed_faces, robustness
from mcxlib.figures.study import ablation, gates
from mcxlib.figures.style import COLORS, MARKERS, Look, Plate, looks, save, style
from mcxlib.figures.trace_charts import heat, maps_and_truth, strength_curves, traces

__all__ = [
    "COLORS",
    "MARKERS",
    "Look",
    "Plate",
    "ablation",
    "cam_grid",
    "compare",
    "contact_sheet",
    "differences",
    "forest",
    "fusion",
    "gates",
    "halves",
    "harmed_faces",
    "heat",
    "leads",
    "looks",
    "maps_and_truth",
    "reliability",
    "robustness",
    "roc_curves",
    "roc_of_sets",
    "save",
    "score_distributions",
    "strength_curves",
    "style",
    "thresholds",
    "traces",
    "training_curves",
    "tsne_panels",
]
