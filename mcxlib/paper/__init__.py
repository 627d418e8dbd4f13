"""The paper's three tables as data (:mod:`.tables`), and what they say of themselves
(:mod:`.audit`)."""

from mcxlib.paper.audit import (
    GRID_PERCENT,
    averages,
    contradictions,
    dented_pairs,
    off_grid,
    pair_bounds,
    text_claims,
)
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
    "MANIPULATIONS",
    "Entry",
    "averages",
    "clean_label",
    "contradictions",
    "dented_pairs",
    "entry",
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
