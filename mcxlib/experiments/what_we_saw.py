"""What a notebook ends with: three sentences each, made from the numbers it has shown.

None of them is true in advance: who is best, and whether anything is, follows from the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mcxlib.paper import shown

if TYPE_CHECKING:
    from mcxlib.explain import Agreement


def data(used: pd.DataFrame, crops: Mapping[str, pd.DataFrame], leaks: pd.DataFrame) -> list[str]:
    """Of the data: what there is, what was lost on the way, who is in two parts.

    Args:
        used: the manifests' rows that belong to a split.
        crops: table of crops of each data set, a row a frame.
        leaks: of :func:`mcxlib.data.datasets.leak_report`, a row a protocol and pair of parts.
    """
    frames = pd.concat(crops.values())
    found = int((frames["status"] == "ok").sum())
    shared = leaks.groupby("protocol", sort=False)["fakes_affected"].sum()
    each = ", ".join(f"{n} under `{name}`" for name, n in shared.items())
    lost = "; the others have a row that says why there is none" if found < len(frames) else ""
    return [
        f"{len(used)} videos of {used['dataset'].nunique()} data sets are used, "
        f"{100 * used['is_fake'].mean():.0f} % of them fake.",
        f"A face was found in {found} of {len(frames)} frames{lost}.",
        "Fakes of the published FaceForensics++ that show a person of an earlier part, summed over "
        f"the pairs of parts: {each}.",
    ]


def training(history: pd.DataFrame, margin: float | None, pairs: pd.DataFrame | None) -> list[str]:
    """Of one run: the loss, the epoch that was kept, and whether the gates differ.

    Args:
        history: a row a step.
        margin: what the ranking loss asks for; None for a detector without it.
        pairs: of :func:`mcxlib.figures.mined.shares`, or None.
    """
    window = max(1, len(history) // 20)
    first, last = history["total"].head(window).mean(), history["total"].tail(window).mean()
    epochs = history.dropna(subset=["val_auc"])
    best = epochs.loc[epochs["val_auc"].idxmax()]
    said = [
        f"The total loss went from {first:.2f} to {last:.2f} (means of the first and last {window} "
        f"of {len(history)} steps); validation AUC was highest in epoch {int(best['epoch']) + 1}, "
        f"{best['val_auc']:.3f}, and ended at {epochs['val_auc'].iloc[-1]:.3f}."
    ]
    if margin is None or "self_minus_other" not in history:
        return [*said, "This detector compares no pairs.", "It has no gates."]
    reached = float(history["self_minus_other"].tail(window).mean())
    said.append(
        f"The gates: p_self - p_other was {reached:.4f} at the end (mean of {window} steps), where "
        f"the ranking loss asks for {margin:g}."
    )
    if pairs is None:
        return [*said, "This detector has no features to find partners by."]
    other = pairs[pairs["partner of"] == "another class"].set_index("")["of the same person"]
    return [
        *said,
        f"Of the nearest faces of another class, {other['before training']} showed the same person "
        f"before training, {other['after training']} after it.",
    ]


def closed(table: pd.DataFrame) -> list[str]:
    """Of Table 1: who is best and how sure that is, equal numbers, threshold against ranking.

    Args:
        table: of :func:`mcxlib.tables.closed_set`.
    """
    cells = table[table["auc_measured"].notna()]
    average = cells[cells["test_set"] == "Average"].set_index("label")
    return [winner(average, "on average over the manipulations"), *_equal_and_apart(cells)]


def cross(table: pd.DataFrame) -> list[str]:
    """Of Table 3: the same.

    Args:
        table: of :func:`mcxlib.tables.cross_dataset`.
    """
    cells = table[table["auc_measured"].notna()]
    parts = {name: part.set_index("label") for name, part in cells.groupby("test_set", sort=False)}
    best = {name: part["auc_measured"].idxmax() for name, part in parts.items()}
    alike = sum(_overlapping(part) for part in parts.values())
    others = sum(len(part) - 1 for part in parts.values())
    said = ", ".join(
        f"{shown(str(name))}: {best[name]}, {part.loc[best[name], 'auc_measured']:.3f} "
        f"({part.loc[best[name], 'auc_low']:.3f} to {part.loc[best[name], 'auc_high']:.3f})"
        for name, part in parts.items()
    )
    rows = len(set(best.values()))
    which = f"{rows} different rows on" if rows > 1 else "one row on all"
    first = (
        f"Highest AUC ({which} {len(best)} data sets): {said}; "
        f"the intervals of {alike} of the {others} other cells overlap with the best one's."
    )
    return [first, *_equal_and_apart(cells)]


def winner(rows: pd.DataFrame, where: str) -> str:
    """Which row has the highest AUC, its interval, and how many others' overlap with it.

    Args:
        rows: one a method, indexed by label, with auc_measured, auc_low and auc_high.
    """
    best = rows["auc_measured"].idxmax()
    cell = rows.loc[best]
    return (
        f"{best} has the highest AUC {where}, {cell['auc_measured']:.3f} "
        f"({cell['auc_low']:.3f} to {cell['auc_high']:.3f}); the intervals of "
        f"{_overlapping(rows)} of the {len(rows) - 1} other rows overlap with it."
    )


def _overlapping(rows: pd.DataFrame) -> int:
    """Rows beside the best one whose interval reaches the best one's lower end."""
    best = rows["auc_measured"].idxmax()
    others = rows.drop(index=best)
    return int((others["auc_high"] >= rows.loc[best, "auc_low"]).sum())


def _equal_and_apart(cells: pd.DataFrame) -> list[str]:
    """The second and third sentence about a table."""
    cells = cells[cells["test_set"] != "Average"]
    rows = cells.groupby("label", sort=False)
    same = sum(part["bosc_measured"].round(2).nunique() == 1 for _, part in rows)
    one_side = sum(
        (part["specificity_measured"].isin([0, 100]) & (part["bosc_measured"] == 50)).all()
        for _, part in rows
    )
    gap = (100 * cells["auc_measured"] - cells["bosc_measured"]).sort_values()
    apart = cells.loc[gap.index[-1]]
    return [
        f"{same} of {len(rows)} rows {'reads' if same == 1 else 'read'} the same BOSC in all "
        f"columns, {one_side} because the threshold 0.5 leaves every score on one side.",
        f"Ranking and threshold lie furthest apart for {apart['label']} on "
        f"{shown(apart['test_set'])}: AUC {apart['auc_measured']:.3f}, "
        f"BOSC {apart['bosc_measured']:.1f} %.",
    ]


def embedding(agreements: Mapping[str, Agreement], overlaps: pd.DataFrame) -> list[str]:
    """Of feature vectors: how far classes hold together, and which overlap most.

    Args:
        agreements: network -> its neighbours' agreement.
        overlaps: of :func:`mcxlib.figures.embedding.overlaps`, of the first network.
    """
    each = ", ".join(
        f"{name} {100 * found.neighbours:.0f} % (by chance {100 * found.chance:.0f} %)"
        for name, found in agreements.items()
    )
    sides = ", ".join(f"{name} {found.silhouette:.2f}" for name, found in agreements.items())
    worst = overlaps.loc[overlaps["own"].idxmin()]
    return [
        f"Share of a frame's ten nearest neighbours that are of its class: {each}.",
        f"Mean silhouette: {sides}; above 0, frames are nearer to their own class than to the "
        "next one.",
        f"The class that is mixed most is {worst['class']}: {100 * worst['own']:.0f} % of the "
        f"neighbours are of it, {100 * worst['next']:.0f} % are {worst['mixed with']}.",
    ]


def maps(shares: pd.DataFrame, falls: pd.DataFrame, groups: Mapping[str, list[str]]) -> list[str]:
    """Of activation maps: where they lie, whether they matter, how many there are.

    Args:
        shares: of :func:`mcxlib.figures.altered.shares`; may be empty.
        falls: of :func:`mcxlib.figures.maps.deletion_table`.
        groups: network -> methods that give different maps.
    """
    if shares.empty:
        inside = "There are no masks of what was altered in these videos."
    else:
        means = shares.groupby("network", sort=False)[["inside", "area"]].mean()
        inside = (
            "Of a map's energy for output fake there lies inside what was altered: "
            + ", ".join(
                f"{name} {100 * row['inside']:.0f} % (a flat map: {100 * row['area']:.0f} %)"
                for name, row in means.iterrows()
            )
        )
        inside += "."
    more = falls["brightest"] > falls["elsewhere"]
    kinds = ", ".join(f"{name} {len(found)}" for name, found in groups.items())
    return [
        inside,
        f"For {int(more.sum())} of {len(more)} different maps, covering the brightest fifth "
        "lowered log p(fake) more than covering a fifth elsewhere.",
        f"Different maps among the five methods: {kinds}.",
    ]


def study(compared: pd.DataFrame, seeds: int) -> list[str]:
    """Of the study of pairs: what the variations change, and what seeds change.

    Args:
        compared: of :func:`mcxlib.experiments.ablation.compared`.
        seeds: how many there are.
    """
    said = []
    for metric, where in (("auc", "closed set"), ("unseen_auc", "unseen sets")):
        part = compared[compared["metric"] == metric]
        lower = part["mean"] < 0
        sure = part["agree"] & (seeds > 1)
        said.append(
            f"On the {where}, {int(lower.sum())} of {len(part)} variations have a lower AUC than "
            f"the paper's method on average over {seeds} {'seeds' if seeds > 1 else 'seed'}; "
            f"{int(sure.sum())} differ{'s' if sure.sum() == 1 else ''} to one side in every seed"
            + (" (one seed cannot show that)." if seeds == 1 else ".")
        )
    ranking = compared[(compared["variation"] == "no ranking") & (compared["metric"] == "auc")]
    row = ranking.iloc[0]
    return [
        *said,
        f"Without the ranking loss the closed set's AUC changes by {row['mean']:+.4f} "
        f"({row['lowest']:+.4f} to {row['highest']:+.4f} over the seeds).",
    ]


def video(answer: Any) -> list[str]:
    """Of one video: the verdict, the frames it rests on, and what was not judged.

    Args:
        answer: of :func:`mcxlib.answer.judge.judge`, its ``answer``.
    """
    scores = [person.score.value for person in answer.people]
    spread = ", ".join(f"{score:.2f}" for score in scores) or "none"
    lost = sum(one.count for one in answer.not_judged)
    return [
        f"The verdict is “{answer.verdict}”; score of each person in it: {spread}.",
        f"{answer.frames_used} of {answer.frames_read} frames that were read were used.",
        f"{lost} things could not be judged; the report lists each with its reason."
        if lost
        else "There was nothing that could not be judged.",
    ]


def by_hand(p_self: Any, p_other: Any, ranking: float, margin: float) -> list[str]:
    """Of the six faces: gates, ranking loss.

    Args:
        p_self, p_other: probability of the true class through both gates.
        ranking: the ranking loss.
        margin: epsilon of eq. 4.
    """
    gap = np.asarray(p_self, np.float64) - np.asarray(p_other, np.float64)
    return [
        "Who is compared with whom is decided by distances alone, and no gradient flows through "
        "that choice.",
        f"Through its own gate a face was recognised better in {int((gap > 0).sum())} of "
        f"{len(gap)} cases, by {gap.mean():.3f} on average.",
        f"The ranking loss is {ranking:.3f}; if both gates did the same it would be the margin, "
        f"{margin:g}.",
    ]
