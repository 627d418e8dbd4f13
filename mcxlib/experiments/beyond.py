"""What notebook 08 ends with: three sentences, whichever way the numbers fall."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from mcxlib.experiments.detector_comparison import LEVEL
from mcxlib.experiments.fusion import PICKED, RULES, UNREACHABLE


def saw(
    points: pd.DataFrame,
    compared: pd.DataFrame,
    fused: pd.DataFrame,
    held_out: Iterable[str],
) -> list[str]:
    """A sentence each on thresholds, on differences between rows, and on fusing.

    Args:
        points: of :func:`mcxlib.experiments.detector_comparison.points`.
        compared: of :func:`mcxlib.experiments.detector_comparison.comparisons`.
        fused: of :func:`mcxlib.experiments.fusion.results`.
        held_out: the data sets that were not trained on.
    """
    unseen = list(held_out)
    return [
        _thresholds(points[points["dataset"].isin(unseen)]),
        _differences(compared),
        _fusing(fused[fused["dataset"].isin(unseen)]),
    ]


def _thresholds(points: pd.DataFrame) -> str:
    kinds = ["bosc_half", "bosc_chosen", "bosc_best"]
    known = points.dropna(subset=kinds)
    if known.empty:
        return "Thresholds: no unseen set has both classes and a threshold."
    half, chosen, best = 100 * known[kinds].mean()
    moved = f"wins {chosen - half:.1f} of them back"
    if chosen <= half:
        moved = f"loses {half - chosen:.1f} more"
    return (
        f"Thresholds: on unseen sets the rows lose {best - half:.1f} points of BOSC to the fixed "
        f"threshold 0.5; one chosen on validation videos {moved}."
    )


def _differences(compared: pd.DataFrame) -> str:
    auc = compared[(compared["metric"] == "auc") & compared["p"].notna()]
    kept = auc[auc["holm"] < LEVEL]
    if auc.empty:
        return "Differences: no two rows could be compared."
    higher = int((kept["estimate"] > 0).sum())
    told = f"{len(kept)} of {len(auc)} ({higher} above it, {len(kept) - higher} below)"
    return (
        "Differences: comparisons of AUC with the reference that survive Holm's correction: "
        f"{told if len(kept) else f'none of {len(auc)}'}."
    )


def _fusing(fused: pd.DataFrame) -> str:
    if fused.empty:
        return "Fusion: no unseen set has both classes."
    means = fused.groupby(["family", "rule"], sort=False)["auc"].mean()
    gains = {
        (family, rule): means[family, rule] - means[family, PICKED]
        for family in fused["family"].unique()
        for rule in RULES[1:]
    }
    family, rule = max(gains, key=lambda way: means[way])
    out_of_reach = means[family, UNREACHABLE] - means[family, PICKED]
    return (
        f"Fusion: of {len(gains)} ways to fuse, the best on unseen sets ({rule}, {family}) has an "
        f"AUC of {means[family, rule]:.3f}, {gains[family, rule]:+.3f} against the one of its rows "
        f"picked on validation videos, and is lucky to be the best of {len(gains)}; the best "
        f"single row of each test set, which nobody knows beforehand, is {out_of_reach:+.3f}."
    )
