"""How well measured properties tell real from fake: a classifier on them, and each by itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mcxlib.data.confounds.measure import KINDS, NUMBERS
from mcxlib.evaluate.intervals import LEAST_VIDEOS, Interval, Sample, video_interval

FOLDS = 5
"""Parts of the cross-validation; fewer where a class has fewer groups."""

TELLING = 0.6
"""From this AUC on (or below one minus it) a single property is named."""


class Separation(NamedTuple):
    """What tells the classes apart."""

    interval: Interval | None
    """AUC of the classifier on all properties, each video scored by one that has seen neither it
    nor its group; None where that cannot be computed."""
    features: pd.DataFrame
    """One row a property, the most telling first: feature, auc (above 0.5: larger in fakes), low,
    high, known (videos that have it)."""
    why_not: str = ""
    """Why there is no interval."""


def separate(table: pd.DataFrame, group: pd.Series) -> Separation:
    """Train on groups of videos, score the others; and each property alone.

    Random forest on all of ``NUMBERS`` and ``KINDS`` that are there; missing numbers are marked as
    such. Groups stay together (:func:`mcxlib.data.datasets.grouping.groups`). The intervals
    resample the real and the fake half of each group.

    Args:
        table: columns is_fake, and any of ``NUMBERS`` and ``KINDS``.
        group: which videos belong together, in the order of ``table``.
    """
    table, group = table.reset_index(drop=True), pd.Series(pd.factorize(group)[0])
    fake = table["is_fake"].astype(bool)
    numbers = [n for n in NUMBERS if n in table and table[n].notna().any()]
    kinds = [n for n in KINDS if n in table]
    unit = group.astype(str) + fake.map({True: " fake", False: " real"})
    features = [(n, *_alone(table[n], fake, unit)) for n in numbers]
    folds = _folds(fake, group)
    interval = None
    if not isinstance(folds, str):
        features += [(n, *_kind(table[[n]], fake, unit, folds)) for n in kinds]
        score = _cross_validated(forest(numbers, kinds), table[numbers + kinds], fake, folds)
        interval = video_interval([Sample(fake, score, unit)], "auc")
    columns = ["feature", "auc", "low", "high", "known"]
    found = pd.DataFrame(features, columns=columns)
    strength = (found["auc"] - 0.5).abs()
    found = found.iloc[np.argsort(-strength.fillna(-1), kind="stable")].reset_index(drop=True)
    return Separation(interval, found, folds if isinstance(folds, str) else "")


def forest(numbers: list[str], kinds: list[str]) -> Any:
    """The classifier on the named columns, unfitted."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median", add_indicator=True), numbers),
            ("kinds", OneHotEncoder(handle_unknown="ignore"), kinds),
        ]
    )
    trees = RandomForestClassifier(
        50, min_samples_leaf=2, class_weight="balanced", random_state=0, n_jobs=1
    )
    return make_pipeline(columns, trees)


def _folds(fake: pd.Series, group: pd.Series) -> list[tuple[np.ndarray, np.ndarray]] | str:
    """Train and test rows of each fold, or why there are none."""
    from sklearn.model_selection import StratifiedGroupKFold

    of_class = {name: group[fake == kind].nunique() for name, kind in (("real", 0), ("fake", 1))}
    fewest = min(of_class.values())
    if fewest < LEAST_VIDEOS:
        said = " and ".join(f"{n} of {name} videos" for name, n in of_class.items())
        return f"there are {said} that do not belong together, at least {LEAST_VIDEOS} are needed"
    splitter = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=0)
    folds = list(splitter.split(fake, fake, group))
    if any(fake[train].nunique() < 2 for train, _ in folds):
        return "its videos belong together too much for a part of them to be left out"
    return folds


def _cross_validated(
    model: Any, values: pd.DataFrame, fake: pd.Series, folds: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    from sklearn.model_selection import cross_val_predict

    return cross_val_predict(model, values, fake, cv=folds, method="predict_proba")[:, 1]


def _alone(value: pd.Series, fake: pd.Series, unit: pd.Series) -> tuple[float, ...]:
    """AUC of one number with its interval, and how many videos have it."""
    known = value.notna()
    fewest = min(unit[known & (fake == kind)].nunique() for kind in (False, True))
    if fewest < LEAST_VIDEOS:
        return np.nan, np.nan, np.nan, int(known.sum())
    if value[known].nunique() == 1:
        return 0.5, 0.5, 0.5, int(known.sum())
    found = video_interval([Sample(fake[known], value[known], unit[known])], "auc")
    return found.estimate, found.low, found.high, int(known.sum())


def _kind(
    value: pd.DataFrame,
    fake: pd.Series,
    unit: pd.Series,
    folds: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[float, ...]:
    """The same for a kind: how often the other videos of its kind are fake is its number."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    if value.iloc[:, 0].nunique() == 1:
        return 0.5, 0.5, 0.5, len(value)
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    return _alone(pd.Series(_cross_validated(model, value, fake, folds)), fake, unit)


def sentence(name: str, found: Separation) -> str:
    """What a person should know of it, in a line."""
    if found.interval is None:
        return (
            f"{name}: whether the files' own properties tell real from fake cannot be computed; "
            f"{found.why_not}"
        )
    auc, low, high, _ = found.interval
    value = f"AUC {auc:.2f}, interval of 95 % from {low:.2f} to {high:.2f}"
    if low <= 0.5:
        return f"{name}: the files' own properties do not tell real from fake reliably ({value})"
    telling = found.features[
        ((found.features["auc"] - 0.5).abs() >= TELLING - 0.5)
        & ((found.features["low"] > 0.5) | (found.features["high"] < 0.5))
    ].head(3)
    named = ", ".join(f"{row.feature} {row.auc:.2f}" for row in telling.itertuples())
    most = f"; by themselves: {named}" if named else ""
    return (
        f"{name}: the files' own properties tell real from fake without a face ({value}{most}); "
        "what is learned from such data need not be about faces"
    )


def by_class(table: pd.DataFrame) -> pd.DataFrame:
    """One row a class (real, and each manipulation) and property: class, videos, feature, median,
    low and high (10 and 90 %) of a number, most of a kind (its commonest value) and its share."""
    rows: list[dict[str, Any]] = []
    real_first = sorted(table["manipulation"].unique(), key=lambda name: (name != "real", name))
    for name in real_first:
        part = table[table["manipulation"] == name]
        for feature in [n for n in NUMBERS if n in table]:
            low, median, high = part[feature].quantile([0.1, 0.5, 0.9])
            numbers = {"median": median, "low": low, "high": high}
            rows.append({"class": name, "videos": len(part), "feature": feature} | numbers)
        for feature in [n for n in KINDS if n in table]:
            counts = part[feature].value_counts()
            kinds = {"most": str(counts.index[0]), "share": counts.iloc[0] / len(part)}
            rows.append({"class": name, "videos": len(part), "feature": feature} | kinds)
    columns = ["class", "videos", "feature", "median", "low", "high", "most", "share"]
    return pd.DataFrame(rows, columns=columns)
