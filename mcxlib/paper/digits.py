"""What the digits of Table 3 say: which row leads where, on the mean, and by how little."""

from __future__ import annotations

import pandas as pd

from mcxlib.paper import tables
from mcxlib.paper.tables import CROSS_DATASETS


def headline() -> pd.DataFrame:
    """Of each column of Table 3 the best proposed row and the best of the others, by BOSC.

    Columns: test_set, label, bosc, rows (proposed rows it is the best of), other, other_bosc,
    lead (percentage points; negative where the other leads).
    """
    table = tables.table3().dropna(subset="bosc")
    rows = []
    for name in CROSS_DATASETS:
        column = table[table["test_set"] == name]
        own = column[column["origin"] == "proposed"]
        best = own.loc[own["bosc"].idxmax()]
        others = column[column["origin"] != "proposed"]
        other = others.loc[others["bosc"].idxmax()]
        rows.append(
            {"test_set": name, "label": best["label"], "bosc": best["bosc"], "rows": len(own)}
            | {"other": other["label"], "other_bosc": other["bosc"]}
            | {"lead": round(best["bosc"] - other["bosc"], 2)}
        )
    return pd.DataFrame(rows)


def means() -> pd.DataFrame:
    """Mean BOSC over the three columns of Table 3 of each row that has all, the best first.

    Columns: label, origin, mean, lowest (percent).
    """
    table = tables.table3()
    groups = table.groupby("label", sort=False)
    found = pd.DataFrame(
        {
            "origin": groups["origin"].first(),
            "mean": groups["bosc"].mean(),
            "lowest": groups["bosc"].min(),
        }
    )
    complete = groups["bosc"].count() == len(CROSS_DATASETS)
    return found[complete].sort_values("mean", ascending=False, kind="stable").reset_index()
