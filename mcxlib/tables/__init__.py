"""Tables 1 to 3 with the paper's and the measured number side by side, from stored scores."""

from mcxlib.tables.checks import summary, verify
from mcxlib.tables.compare import closed_set, cross_dataset, further, overall
from mcxlib.tables.cost import cost, cost_summary
from mcxlib.tables.output import Display, rates, show, wide, write, write_table
from mcxlib.tables.remarks import remarks
from mcxlib.tables.stored import DATASETS, FACEFORENSICS, Run, find_runs, held_out, read_scores

__all__ = [
    "DATASETS",
    "FACEFORENSICS",
    "Display",
    "Run",
    "closed_set",
    "cost",
    "cost_summary",
    "cross_dataset",
    "find_runs",
    "further",
    "held_out",
    "overall",
    "rates",
    "read_scores",
    "remarks",
    "show",
    "summary",
    "verify",
    "wide",
    "write",
    "write_table",
]
