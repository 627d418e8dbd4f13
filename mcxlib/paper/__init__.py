"""The paper's three tables as data (:mod:`.tables`), what they say of themselves (:mod:`.audit`,
:mod:`.digits`), and what they say to the claims in the text (:mod:`.statements`)."""

from mcxlib.evaluate.chance import lead_chance
from mcxlib.paper.audit import (
    GRID_PERCENT,
    averages,
    contradictions,
    dented_pairs,
    off_grid,
    pair_bounds,
    text_claims,
)
from mcxlib.paper.digits import headline, means
from mcxlib.paper.statements import claims
from mcxlib.paper.survival import KODF_TEST, auc_leads, best_of_eight, leads
from mcxlib.paper.tables import (
    CROSS_DATASETS,
    MANIPULATIONS,
    Entry,
    clean_label,
    entry,
    printed_label,
    row_key,
    shown,
    table1,
    table2,
    table3,
)

__all__ = [
    "CROSS_DATASETS",
    "GRID_PERCENT",
    "KODF_TEST",
    "MANIPULATIONS",
    "Entry",
    "auc_leads",
    "averages",
    "best_of_eight",
    "claims",
    "clean_label",
    "contradictions",
    "dented_pairs",
    "entry",
    "headline",
    "lead_chance",
    "leads",
    "means",
    "off_grid",
    "pair_bounds",
    "printed_label",
    "row_key",
    "shown",
    "table1",
    "table2",
    "table3",
    "text_claims",
]
