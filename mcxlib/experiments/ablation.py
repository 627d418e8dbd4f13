"""Does pairing help? Runs that differ from the paper's method in one thing each.

All begin with the backbone of one plain classifier under a fresh head, and are trained for the
same few epochs: what a study of this size costs is a small part of what as many whole trainings
would, and what differs is what the last steps did. A seed draws heads, batches and augmentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mcxlib import config as configs
from mcxlib import pipeline
from mcxlib.config import RunConfig
from mcxlib.evaluate import metrics
from mcxlib.evaluate.videos import video_scores
from mcxlib.pipeline.data import home_of
from mcxlib.settings import paths
from mcxlib.tables import results as tidied
from mcxlib.tables import stored

STUDY = "ablation"

START = "xception"
"""The plain classifier that they begin with: same backbone, no pairs."""


@dataclass(frozen=True)
class Variation:
    """One thing that is done otherwise."""

    name: str
    what: str
    """In words, for a table."""
    detector: str = "mcx-api"
    settings: Mapping[str, Any] = field(default_factory=dict)


VARIATIONS = (
    Variation("pairs", "the paper's method"),
    Variation("no ranking", "no ranking loss (lambda 0)", settings={"rank_weight": 0.0}),
    Variation("alone", "gates without the other image", settings={"gates": "alone"}),
    Variation("cosine", "partners nearest by cosine", settings={"distance": "cosine"}),
    Variation("random", "partners at random", settings={"distance": "random"}),
    Variation("sources", "each fake with its own source", settings={"batches": "paired"}),
    Variation("binary", "two classes", settings={"outputs": "binary"}),
    Variation("no pairs", "plain cross-entropy", START),
    Variation(
        "no pairs, sources", "plain, each fake with its source", START, {"batches": "paired"}
    ),
    Variation("no pairs, binary", "plain, two classes", START, {"outputs": "binary"}),
)

_SHORT = {"epochs": 2, "freeze_epochs": 0, "lr": 1e-3, "start_part": "backbone"}
"""A tenth of the first learning rate or less: the backbone is to be adapted, not made anew."""

_OF_PRESET: Mapping[str, Mapping[str, Any]] = {"test": {"per_category": 6}}
"""Of all runs of a preset: its six people are the sources that a paired batch needs."""


def listed() -> pd.DataFrame:
    """The variations to print: in words, of which detector, and the settings that are changed."""
    return pd.DataFrame(
        {
            "variation": variation.name,
            "in words": variation.what,
            "detector": variation.detector,
            "settings": ", ".join(f"{k}={v}" for k, v in variation.settings.items()) or "-",
        }
        for variation in VARIATIONS
    )


def start(preset: str, **more: Any) -> RunConfig:
    """The run that all variations begin with."""
    return configs.load(preset, detector=START, **more)


def run(preset: str, variation: Variation, seed: int, **more: Any) -> RunConfig:
    """The configuration of one variation; ``more`` settings go to all alike."""
    own = {"detector": variation.detector, "study": STUDY, "seed": seed}
    own |= _OF_PRESET.get(preset, {})
    begins = {"start_from": start(preset, **more).run_id}
    return configs.load(preset, **(own | _SHORT | begins | more), **variation.settings)


def make(
    preset: str,
    seeds: Iterable[int],
    retrain: str = "never",
    workers: int | None = None,
    told: Callable[[str], None] = print,
    **more: Any,
) -> None:
    """Train and score what is missing of the study. Errors as
    :func:`mcxlib.pipeline.ensure_scores`."""
    pipeline.ensure_run(start(preset, **more), workers, retrain=retrain)
    for seed in seeds:
        for variation in VARIATIONS:
            config = run(preset, variation, seed, **more)
            for name in pipeline.ALL_DATASETS:
                pipeline.ensure_scores(config, name, workers, retrain=retrain)
            told(f"seed {seed}: {variation.what}")


def finished(preset: str, seeds: Iterable[int], **more: Any) -> list[int]:
    """Those of the seeds of which every variation was trained and scored on everything."""

    def done(seed: int) -> bool:
        folders = [pipeline.run_folder(run(preset, v, seed, **more)) for v in VARIATIONS]
        return all(
            folder.finished and folder.scores(name).is_file()
            for folder in folders
            for name in pipeline.ALL_DATASETS
        )

    return [seed for seed in seeds if done(seed)]


def results(preset: str, seeds: Iterable[int], **more: Any) -> pd.DataFrame:
    """One row a variation and seed, from stored scores.

    Columns: variation, what, seed, auc and bosc (percent) of the closed set, frame by frame, mean
    over the manipulations as in Table 1; unseen_auc and unseen_bosc, video by video, mean over the
    other data sets as in Table 3.

    Raises:
        FileNotFoundError: a run's scores are missing; says how to make them.
    """
    rows = []
    for variation in VARIATIONS:
        for seed in seeds:
            config = run(preset, variation, seed, **more)
            rows.append(
                {"variation": variation.name, "what": variation.what, "seed": seed}
                | _numbers(config)
            )
    return pd.DataFrame(rows)


def _numbers(config: RunConfig) -> dict[str, float]:
    closed, *unseen = (_scores(config, name) for name in pipeline.ALL_DATASETS)
    table = metrics.per_manipulation(
        closed["is_fake"], closed["fake_score"], closed["manipulation"]
    ).set_index("manipulation")
    videos = [video_scores(scores) for scores in unseen]
    return {
        "auc": float(table.loc["Average", "auc"]),
        "bosc": 100 * float(table.loc["Average", "bosc"]),
        "unseen_auc": _mean(metrics.auc, videos),
        "unseen_bosc": 100 * _mean(metrics.bosc, videos),
    }


def _mean(metric: Callable[[Any, Any], float], videos: list[pd.DataFrame]) -> float:
    found = [metric(v["is_fake"].to_numpy(bool), v["fake_score"].to_numpy()) for v in videos]
    return float(sum(found) / len(found))


def _scores(config: RunConfig, dataset: str) -> pd.DataFrame:
    scores = pipeline.stored_scores(config, dataset)
    if scores is None:
        raise FileNotFoundError(
            f"no scores of {config.run_id} on {dataset} in the study {STUDY}: make them with "
            f"mcx ablation --preset {config.preset}"
        )
    return scores[scores["split"] == "test"]


_UNSEEN = " + ".join(pipeline.ALL_DATASETS[1:])
_WHERE = {
    "": {"dataset": pipeline.ALL_DATASETS[0], "test_set": "Average", "level": "frame"},
    "unseen_": {"dataset": _UNSEEN, "test_set": "mean", "level": "video", "video_rule": "mean"},
}


def numbers(preset: str, seeds: Iterable[int], **more: Any) -> list[dict[str, Any]]:
    """:func:`results` as rows of :mod:`mcxlib.tables.results`: each seed's number, and where there
    are several seeds their mean with the lowest and the highest of them."""
    seeds = list(seeds)
    if not seeds:
        return []
    folder = paths.runs(home_of(start(preset, **more))) / STUDY
    found = {one.run_id: one for one in stored.find_runs(folder)}
    table = results(preset, seeds, **more)
    rows = []
    for variation in VARIATIONS:
        runs = [found[run(preset, variation, seed, **more).run_id] for seed in seeds]
        part = table[table["variation"] == variation.name].set_index("seed")
        about = {"table": STUDY, "row": variation.what, "detector": variation.detector}
        about["source"] = tidied.run_source(runs[0])
        groups = [[one] for one in runs] + ([runs] if len(runs) > 1 else [])
        for some in groups:
            closed, *unseen = pipeline.ALL_DATASETS
            from_runs = (tidied.origin(some, closed), tidied.origin(some, *unseen))
            for metric in ("bosc", "auc"):
                unit = {"metric": metric, "unit": "share" if metric == "auc" else "percent"}
                for where, origin in zip(_WHERE, from_runs, strict=True):
                    values = part.loc[[one.seed for one in some], f"{where}{metric}"]
                    rows.append(about | _WHERE[where] | unit | origin | _spread(values))
    return rows


def _spread(values: pd.Series) -> dict[str, Any]:
    one = {"value": float(values.mean())}
    if len(values) == 1:
        return one
    ends = {"low": float(values.min()), "high": float(values.max())}
    return one | ends | {"sd": float(values.std(ddof=1)), "interval": "lowest and highest seed"}


def histories(preset: str, seeds: Iterable[int], **more: Any) -> pd.DataFrame:
    """The steps of all variations that compare pairs: variation, seed, step, self_minus_other."""
    found = []
    for variation in VARIATIONS:
        for seed in seeds:
            config = run(preset, variation, seed, **more)
            steps = pd.read_parquet(pipeline.run_folder(config).history)
            if "self_minus_other" in steps:
                kept = steps[["step", "self_minus_other"]]
                found.append(kept.assign(variation=variation.name, seed=seed))
    return pd.concat(found, ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """:func:`results` to print: a row a variation, "mean (lowest to highest)" over the seeds."""
    columns = {
        "auc": ("AUC", 3),
        "bosc": ("BOSC (%)", 1),
        "unseen_auc": ("unseen AUC", 3),
        "unseen_bosc": ("unseen BOSC (%)", 1),
    }
    rows = []
    for what, part in table.groupby("what", sort=False):
        row = {"Variation": what}
        for name, (head, n) in columns.items():
            values = part[name]
            spread = f" ({values.min():.{n}f} to {values.max():.{n}f})" if len(values) > 1 else ""
            row[head] = f"{values.mean():.{n}f}{spread}"
        rows.append(row)
    return pd.DataFrame(rows)


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Each variation less the paper's method, seed by seed.

    Args:
        table: of :func:`results`.

    Returns:
        One row a variation and metric: variation, what, metric, mean, lowest and highest
        difference over the seeds, and ``agree``, whether all seeds have it on one side of 0.
    """
    metrics_of = ["auc", "bosc", "unseen_auc", "unseen_bosc"]
    reference = table[table["variation"] == VARIATIONS[0].name].set_index("seed")[metrics_of]
    rows = []
    for variation in VARIATIONS[1:]:
        part = table[table["variation"] == variation.name].set_index("seed")[metrics_of]
        apart = part - reference
        for metric in metrics_of:
            low, high = apart[metric].min(), apart[metric].max()
            rows.append(
                {"variation": variation.name, "what": variation.what, "metric": metric}
                | {"mean": apart[metric].mean(), "lowest": low, "highest": high}
                | {"agree": bool(low > 0 or high < 0)}
            )
    return pd.DataFrame(rows)


def words(table: pd.DataFrame) -> list[str]:
    """What followed, a sentence a variation, computed from :func:`results`: on AUC, since the
    threshold 0.5 moves with the last steps."""
    seeds = table["seed"].nunique()
    said = []
    differences = compared(table).set_index(["variation", "metric"])
    for variation in VARIATIONS[1:]:
        parts = []
        for metric, where in (("auc", "closed set"), ("unseen_auc", "unseen sets")):
            row = differences.loc[(variation.name, metric)]
            side = "lower" if row["mean"] < 0 else "higher"
            all_of = f"in all {seeds} seeds" if row["agree"] else "but not in every seed"
            all_of = "of one seed" if seeds == 1 else all_of
            parts.append(f"{abs(row['mean']):.3f} {side} on the {where} ({all_of})")
        said.append(f"{variation.what}: AUC {' and '.join(parts)}")
    return said
