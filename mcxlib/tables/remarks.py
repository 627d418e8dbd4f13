"""What a reader of a table should know of equal numbers in it, in sentences made from the table."""

from __future__ import annotations

import pandas as pd

from mcxlib import paper

_DIGITS = {"specificity": 2, "bosc": 2, "auc": 4}


class Remarks(list[str]):
    """Sentences; a list with bullets in a notebook."""

    def __repr__(self) -> str:
        return "\n".join(self)

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def markdown(self) -> str:
        """A Markdown list."""
        return "".join(f"- {sentence}\n" for sentence in self)


def remarks(table: pd.DataFrame) -> Remarks:
    """Which measured cells of a row share their specificity or read the same number, and why.

    Args:
        table: what :func:`mcxlib.tables.closed_set`, :func:`~mcxlib.tables.overall` or
            :func:`~mcxlib.tables.cross_dataset` returned.

    Returns:
        Sentences. "The same" is what the table prints alike: two digits of BOSC and specificity,
        four (Table 3: three) of AUC. Averages are left out.
    """
    cells = table[table["bosc_measured"].notna() & (table["test_set"] != "Average")]
    if cells.empty:
        return Remarks(["Nothing was measured yet."])
    if (cells["table"] == "Table 2").all():
        return Remarks(_in_one_number(cells))
    said = Remarks(_specificity(cells))
    columns = cells["test_set"].nunique()
    for metric in ("bosc", "auc"):
        reasons: dict[str, list[str]] = {}
        for label, same in _alike(cells, metric):
            reason = _why_bosc(same) if metric == "bosc" else _why_auc(same)
            reasons.setdefault(reason, []).append(f"{label} ({_where(same, metric, columns)})")
        name = metric.upper()
        said += [
            f"The same {name} in several columns, because {reason}: {', '.join(rows)}."
            for reason, rows in reasons.items()
        ]
        if not reasons:
            said.append(f"No row reads the same {name} in two columns.")
    return said


def _alike(cells: pd.DataFrame, metric: str) -> list[tuple[str, pd.DataFrame]]:
    """(row, its cells that read the same), where there are at least two."""
    read = _read(cells, metric)
    groups = cells.groupby([cells["label"], read], sort=False)
    return [(label, same) for (label, _), same in groups if len(same) > 1]


def _read(cells: pd.DataFrame, metric: str) -> pd.Series:
    digits = 3 if metric == "auc" and cells["table"].iloc[0] == "Table 3" else _DIGITS[metric]
    return cells[f"{metric}_measured"].map(f"{{:.{digits}f}}".format)


def _where(same: pd.DataFrame, metric: str, columns: int) -> str:
    sets = "all columns" if len(same) == columns else _listed(same["test_set"].map(paper.shown))
    unit = "" if metric == "auc" else " %"
    return f"{sets}: {_read(same, metric).iloc[0]}{unit}"


def _specificity(cells: pd.DataFrame) -> list[str]:
    found = _alike(cells, "specificity")
    columns, sizes = cells["test_set"].nunique(), cells.groupby("label").size()
    if not found:
        return ["No row has the same specificity in two columns."]
    closed = cells["table"].iloc[0] == "Table 1"
    if closed and {label: len(same) for label, same in found} == sizes.to_dict():
        each = cells.drop_duplicates("label").set_index("label")["specificity_measured"]
        who = f"Each of the {len(sizes)} measured rows" if len(sizes) > 1 else "The measured row"
        return [
            f"{who} has one specificity for its {columns} "
            "columns, because the real frames behind them are the same: from "
            f"{each.min():.2f} % ({each.idxmin()}) to {each.max():.2f} % ({each.idxmax()})."
        ]
    few = f"though their real videos differ (as few as {cells['videos_real'].min()})"
    why = "because the real frames behind them are the same" if closed else few
    listed = ", ".join(f"{name} ({_where(s, 'specificity', columns)})" for name, s in found)
    return [f"The same specificity in several columns, {why}: {listed}."]


def _why_bosc(same: pd.DataFrame) -> str:
    sensitivity, specificity = (
        set(same[f"{name}_measured"].round(2)) for name in ("sensitivity", "specificity")
    )
    extremes = {
        (100.0, 100.0): "nothing is judged wrongly",
        (100.0, 0.0): "everything is called fake",
        (0.0, 100.0): "everything is called real",
    }
    if len(sensitivity) > 1 or len(specificity) > 1:
        return "different sensitivities and specificities happen to have the same mean"
    pair = (sensitivity.pop(), specificity.pop())
    if pair[0] == 100 and pair not in extremes:
        return "sensitivity is 100 % in each of them, so that only real faces are missed"
    return extremes.get(pair, "sensitivity and specificity are the same in each of them")


def _why_auc(same: pd.DataFrame) -> str:
    if (same["auc_measured"] == 1).all():
        return "every fake scores above every real face"
    return "different orders of the scores happen to have the same area, to the digits printed"


def _in_one_number(cells: pd.DataFrame) -> list[str]:
    """Table 2: one cell a row, with BOSC and accuracy in it."""
    said = [
        "Sensitivity and specificity are the halves of BOSC, both means over the manipulations; "
        "the specificity is the one of all columns of Table 1."
    ]
    for words, chosen in (
        ("everything is called fake", cells["specificity_measured"] == 0),
        ("no fake is missed", cells["specificity_measured"] > 0),
    ):
        rows = cells.loc[chosen & (cells["sensitivity_measured"] == 100), "label"]
        if len(rows):
            said.append(f"Sensitivity is 100 %, because {words}: {', '.join(rows)}.")
    equal = cells[cells["bosc_measured"].round(2) == cells["acc_measured"].round(2)]
    said += [
        f"{row.label} reads the same BOSC and accuracy, {row.bosc_measured:.2f} %, because "
        + (
            "its sensitivity and specificity are equal."
            if round(row.sensitivity_measured, 2) == round(row.specificity_measured, 2)
            else "real and fake frames happen to weigh alike."
        )
        for row in equal.itertuples()
    ]
    return said


def _listed(names: pd.Series) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}"
