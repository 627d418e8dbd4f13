"""Several detectors together: mean and stacking over colour spaces and over detectors.

The paper finds that no configuration does well everywhere (section 6). Fusing them is the usual
answer; it has to beat what picking one of them on validation videos gives, and must not be
confused with picking the best one on the test set, which gains by chance alone. Which detectors are
fused and with which weights is decided on validation videos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mcxlib.config import RunConfig
from mcxlib.evaluate import chance, metrics
from mcxlib.evaluate.calibration import CLOSEST
from mcxlib.evaluate.paired import delong, holm
from mcxlib.evaluate.thresholds import best_threshold
from mcxlib.experiments.detector_comparison import LEVEL, Scored
from mcxlib.paper import shown

PICKED = "best on validation"
ALL = "mean of all"
CHOSEN = "mean of chosen"
STACKED = "stacking"
UNREACHABLE = "best on the test set"

RULES = (PICKED, ALL, CHOSEN, STACKED)
"""What can be had without looking at test videos."""

STRENGTH = 1.0
"""Inverse strength of the penalty on stacking's weights (scikit-learn's C): its own default, since
a handful of validation people cannot choose one."""

Score = Callable[[pd.DataFrame], NDArray[np.float64]]


class Fusion(NamedTuple):
    """A way from several scores to one."""

    members: tuple[str, ...]
    score: Score
    """A table with a column a member -> (N,) scores of fake in [0, 1]."""


def families(runs: Iterable[RunConfig]) -> dict[str, list[str]]:
    """What is fused with what, by label: the colour spaces of the paper's method, one row of each
    detector, and all rows. A family of one is none."""
    runs = list(runs)
    spaces = [run.label for run in runs if run.detector == "mcx-api"]
    first = {run.detector: run.label for run in reversed(runs)}
    detectors = [run.label for run in runs if first[run.detector] == run.label]
    every = [run.label for run in runs]
    found = {"colour spaces": spaces, "detectors": detectors, "all rows": every}
    return {name: members for name, members in found.items() if len(members) > 1}


def picked(validation: pd.DataFrame, names: list[str]) -> Fusion:
    """The one detector that does best on validation videos."""
    best = min(names, key=lambda name: _merit(validation, [name]))
    return Fusion((best,), lambda table: table[best].to_numpy(np.float64))


def mean(names: list[str]) -> Fusion:
    """The mean of the members' scores."""
    return Fusion(tuple(names), lambda table: table[names].to_numpy(np.float64).mean(axis=1))


def chosen(validation: pd.DataFrame, names: list[str]) -> Fusion:
    """The mean of members chosen one after the other, each the one that helps most on validation
    videos, until none helps any more."""
    taken: list[str] = []
    while len(taken) < len(names):
        left = [name for name in names if name not in taken]
        best = min(left, key=lambda name: _merit(validation, [*taken, name]))
        if taken and _merit(validation, [*taken, best]) >= _merit(validation, taken):
            break
        taken.append(best)
    return mean(taken)


def stacked(validation: pd.DataFrame, names: list[str]) -> Fusion:
    """Logistic regression on the logits of the members' scores, real and fake weighing alike."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000)
    model.fit(_logits(validation, names), validation["is_fake"].astype(int))
    return Fusion(tuple(names), lambda table: model.predict_proba(_logits(table, names))[:, 1])


def _logits(table: pd.DataFrame, names: list[str]) -> NDArray[np.float64]:
    score = table[names].to_numpy(np.float64).clip(CLOSEST, 1 - CLOSEST)
    return np.log(score) - np.log1p(-score)


def _merit(validation: pd.DataFrame, names: list[str]) -> tuple[float, float]:
    """Smaller is better: by AUC, and among equal ones by the log loss, both of the mean score."""
    fake = validation["is_fake"].to_numpy(bool)
    score = validation[names].to_numpy(np.float64).mean(axis=1)
    right = np.where(fake, score, 1 - score).clip(CLOSEST, None)
    weight = np.where(fake, 0.5 / fake.sum(), 0.5 / (~fake).sum())
    return -round(metrics.auc(fake, score), 12), float(-(weight * np.log(right)).sum())


def results(scored: Scored, groups: dict[str, list[str]]) -> pd.DataFrame:
    """Every rule on every family and data set.

    Columns: family, rule, dataset, members (how many), names, auc, bosc (at 0.5), bosc_chosen (at
    the threshold that is best on the fused validation scores), all fractions; gap, p and holm: the
    AUC less that of the one picked on validation videos, by DeLong, and adjusted over the table.
    The last rule is known only afterwards: the single detector with the highest AUC on that very
    test set.

    Raises:
        ValueError: validation videos of one class only.
    """
    if scored.validation["is_fake"].nunique() < 2:
        raise ValueError(
            f"the {len(scored.validation)} validation videos are of one class: nothing can be "
            "chosen on them"
        )
    rows = []
    for family, names in groups.items():
        rules = {
            PICKED: picked(scored.validation, names),
            ALL: mean(names),
            CHOSEN: chosen(scored.validation, names),
            STACKED: stacked(scored.validation, names),
        }
        for dataset in scored.datasets:
            part = scored.of(dataset)
            if part["is_fake"].nunique() < 2:
                continue
            single = rules[PICKED].score(part)
            tried = rules | {UNREACHABLE: mean([_best_on(part, names)])}
            for rule, fusion in tried.items():
                row = {"family": family, "rule": rule, "dataset": dataset}
                rows.append(row | _numbers(fusion, scored.validation, part, single))
    table = pd.DataFrame(rows, columns=_COLUMNS)
    reachable = table["rule"].isin(RULES[1:])
    table.loc[reachable, "holm"] = holm(table.loc[reachable, "p"].to_numpy(np.float64))
    return table


def _best_on(part: pd.DataFrame, names: list[str]) -> str:
    return max(names, key=lambda name: metrics.auc(part["is_fake"], part[name]))


_COLUMNS = ["family", "rule", "dataset", "members", "names", "auc", "bosc", "bosc_chosen"]
_COLUMNS += ["gap", "p", "holm"]


def _numbers(
    fusion: Fusion, validation: pd.DataFrame, part: pd.DataFrame, single: NDArray[np.float64]
) -> dict:
    fake, score = part["is_fake"].to_numpy(bool), fusion.score(part)
    limit = best_threshold(validation["is_fake"], fusion.score(validation))
    try:
        p = delong(fake, single, score).p
    except ValueError:  # one video of a class: a difference without a spread
        p = float("nan")
    return {
        "members": len(fusion.members),
        "names": ", ".join(fusion.members),
        "auc": metrics.auc(fake, score),
        "bosc": metrics.bosc(fake, score),
        "bosc_chosen": metrics.bosc(fake, score, limit),
        "gap": metrics.auc(fake, score) - metrics.auc(fake, single),
        "p": p,
    }


def words(table: pd.DataFrame, held_out: Iterable[str]) -> list[str]:
    """What fusing gained on the sets that were not trained on, a sentence a family."""
    said = []
    unseen = table[table["dataset"].isin(list(held_out))]
    for family, part in unseen.groupby("family", sort=False):
        means = part.groupby("rule", sort=False)["auc"].mean()
        single, unreachable = means[PICKED], means[UNREACHABLE]
        gained = ", ".join(f"{rule} {means[rule] - single:+.3f}" for rule in RULES[1:])
        sure = int((part["holm"] < LEVEL).sum())
        name = part.loc[part["rule"] == PICKED, "names"].iloc[0]
        said.append(
            f"{family}: the one picked on validation videos ({name}) has a mean AUC of "
            f"{single:.3f} on unseen sets; {gained}; the best on each test set, known only "
            f"afterwards, {unreachable - single:+.3f}. After Holm {sure} of "
            f"{int(part['holm'].notna().sum())} fusions differ."
        )
    return said


def halves(scored: Scored, names: list[str], rounds: int = 200, seed: int = 0) -> pd.DataFrame:
    """What picking the best of several detectors on test videos is worth on other videos.

    The videos of each data set are halved at random, class by class; the detector with the highest
    BOSC on one half is looked up on the other.

    Columns: dataset, detectors, n_real, n_fake (of a half), seen (mean over rounds of the picked
    one's BOSC where it was picked), other (on the other half), average (of all detectors there),
    and simulated (how far the best of as many detectors, all with that average's specificity and
    sensitivity, would stand above it by chance, :func:`mcxlib.evaluate.chance.best_of`; that is
    for each on videos of its own, on the same ones it is less). Fractions. A data set with fewer
    than two videos of a class is left out.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for dataset in scored.datasets:
        part = scored.of(dataset)
        fake = part["is_fake"].to_numpy(bool)
        if min(fake.sum(), (~fake).sum()) < 2:
            continue
        right = (part[names].to_numpy() > 0.5) == fake[:, None]
        found = []
        for _ in range(rounds):
            first = np.zeros(len(fake), bool)
            for kind in (fake, ~fake):
                first[rng.permutation(np.flatnonzero(kind))[: kind.sum() // 2]] = True
            here, there = (
                (right[half & fake].mean(0) + right[half & ~fake].mean(0)) / 2
                for half in (first, ~first)
            )
            best = rng.choice(np.flatnonzero(here == here.max()))  # of several, any
            found.append((here[best], there[best], there.mean()))
        seen, other, average = np.mean(found, axis=0)
        counts = {"n_real": int((~fake).sum()) // 2, "n_fake": int(fake.sum()) // 2}
        rates = float(right[~fake].mean()), float(right[fake].mean())
        gain = chance.best_of(len(names), rates, **counts)
        rows.append(
            {"dataset": dataset, "detectors": len(names)}
            | counts
            | {"seen": seen, "other": other, "average": average, "simulated": gain.mean}
        )
    columns = ["dataset", "detectors", "n_real", "n_fake", "seen", "other", "average", "simulated"]
    return pd.DataFrame(rows, columns=columns)


def halves_words(table: pd.DataFrame) -> list[str]:
    """What :func:`halves` says, a sentence a data set."""
    return [
        f"{shown(row.dataset)}: the best of {row.detectors} on half of the videos has a BOSC of "
        f"{100 * row.seen:.1f} % there and {100 * row.other:.1f} % on the other half; the mean of "
        f"all is {100 * row.average:.1f} %, and equal detectors would give a best one "
        f"{100 * row.simulated:.1f} points above it."
        for row in table.itertuples()
    ]
