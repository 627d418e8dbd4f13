"""Data sets: what each is (one file each), what lies on disk, which videos are used for what.

A file of this folder that defines ``DATASET`` adds a data set.
"""

from mcxlib.data.datasets.leaks import copies, leak_report, leaks, shared_identities
from mcxlib.data.datasets.lists import read_list, write_list
from mcxlib.data.datasets.manifest import COLUMNS, Scan
from mcxlib.data.datasets.places import trained_on
from mcxlib.data.datasets.reading import keep, list_name, scan
from mcxlib.data.datasets.registry import Place, catalogue, find, locate, names, paper_order
from mcxlib.data.datasets.rules import SPLITS

__all__ = [
    "COLUMNS",
    "SPLITS",
    "Place",
    "Scan",
    "catalogue",
    "copies",
    "find",
    "keep",
    "leak_report",
    "leaks",
    "list_name",
    "locate",
    "names",
    "paper_order",
    "read_list",
    "scan",
    "shared_identities",
    "trained_on",
    "write_list",
]
