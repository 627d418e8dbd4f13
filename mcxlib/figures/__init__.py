"""Figures: data in, a :class:`Plate` out (the figure and one sentence that says what it shows)."""

from mcxlib.figures.charts import compare, forest, roc_curves, score_distributions, training_curves
from mcxlib.figures.lab import heat, maps_and_truth, strength_curves, traces
from mcxlib.figures.pictures import cam_grid, contact_sheet, tsne_panels
from mcxlib.figures.study import ablation, gates
from mcxlib.figures.style import COLORS, MARKERS, Look, Plate, looks, save, style

__all__ = [
    "COLORS",
    "MARKERS",
    "Look",
    "Plate",
    "ablation",
    "cam_grid",
    "compare",
    "contact_sheet",
    "forest",
    "gates",
    "heat",
    "looks",
    "maps_and_truth",
    "roc_curves",
    "save",
    "score_distributions",
    "strength_curves",
    "style",
    "traces",
    "training_curves",
    "tsne_panels",
]
