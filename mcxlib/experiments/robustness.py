"""How much harm does a detector bear? Scores of test frames that were compressed, shrunk, blurred,
or cut out by another box.

For each corruption and level the faces of a sample of the closed set's test videos are cut out of
their frames once more (:mod:`mcxlib.experiments.corrupted_crops`) and scored as any others are. The
scores of a run lie in one table in its folder, a row a frame and level, so that any number can be
computed from them later. A level that is there is not made again; other weights, other crops or
another :data:`mcxlib.experiments.corruptions.VERSION` make all of a run's levels anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mcxlib import config as configs
from mcxlib import pipeline, schemas
from mcxlib.config import RunConfig
from mcxlib.data.crops.rows import fingerprint, join
from mcxlib.experiments import corrupted_crops, corruptions
from mcxlib.experiments.corrupted_crops import FRAME, Sample
from mcxlib.experiments.corruptions import NONE, Grid, Level
from mcxlib.files import digest
from mcxlib.pipeline.common import alone
from mcxlib.settings import matrix

FORMAT = 1
"""Of the stored tables."""

SAMPLES = {"demo": Sample(20, 3), "test": Sample(20, 1), "paper": Sample(40, 5)}
"""preset -> its sample, for the reduced grid and the full one alike."""

COLUMNS = (
    *("corruption", "level", "dataset", *FRAME),
    *("is_fake", "manipulation", "synthetic", "fake_score"),
)

SAME = 1e-4
"""Scores of frames that nothing was done to may differ so much from those stored; other groups of
images or another machine change the last bits."""


def runs(
    preset: str, names: Iterable[str] = (), full: bool = False, seed: int = 0, **more: Any
) -> list[RunConfig]:
    """The runs that are studied.

    Args:
        preset: of all of them.
        names: "detector" or "detector:colorspace"; none: as ``full`` says.
        full: all rows of the preset, the larger ones included, and not only a few.
        seed: of the runs.
        more: settings that all of them have.
    """
    if preset not in SAMPLES:
        raise ValueError(f"unknown preset {preset!r}; valid: {', '.join(SAMPLES)}")
    rows: Sequence[matrix.Row] = matrix.harmed(preset, full)
    if names := list(names):
        rows = [matrix.Row(name, space) for name, _, space in (n.partition(":") for n in names)]
    return [configs.load(preset, seed=seed, **row.settings, **more) for row in rows]


def make(
    studied: Sequence[RunConfig],
    grid: Grid,
    dataset: str = "",
    sample: Sample | None = None,
    workers: int | None = None,
    told: Callable[[str], None] = print,
) -> None:
    """Score what is missing of ``grid``; trains runs that are missing.

    Args:
        studied: the runs.
        grid: (corruption, level) pairs; frames that nothing is done to are scored in any case.
        dataset: whose test videos; by default the one that each run was trained on.
        sample: which of their frames; by default the preset's (:data:`SAMPLES`).
        workers: processes that cut faces that are missing.
        told: called with a line a level.

    Raises:
        ValueError: errors of :func:`mcxlib.pipeline.ensure_scores` and :func:`corrupted_crops.cut`;
            or the videos give other scores than the stored ones although nothing was done to them.
    """
    groups: dict[tuple[Path, str], list[_Store]] = {}
    for config in studied:
        store = _store(config, dataset, sample, workers)
        groups.setdefault((store.crops, store.made_from["rows_sha256"]), []).append(store)
    for stores in groups.values():
        for name, level in dict.fromkeys([(NONE, NONE), *grid]):
            missing = [store for store in stores if not store.has(name, level)]
            if missing:
                _make_level(missing, name, level)
                told(f"{corruptions.key(name, level)}: {len(missing)} detectors")


def _make_level(stores: list[_Store], name: str, level: Level) -> None:
    first = stores[0]
    with tempfile.TemporaryDirectory(prefix="mcx-harm-") as folder:
        rows = corrupted_crops.cut(
            first.rows, first.videos, Path(folder), first.config.data, name, level
        )
        for store in stores:
            store.add(name, level, rows, Path(folder))


def stored(
    config: RunConfig, dataset: str = "", sample: Sample | None = None
) -> pd.DataFrame | None:
    """The stored scores of a run, of all levels there are; None if there are none.

    Nothing but the run's folder is looked at. ``attrs`` has "sample" and "lost": level by its key
    -> faces that could not be found anew.

    Raises:
        ValueError: the table cannot be read, or is of a newer format.
    """
    table, note = _read(path_of(config, dataset, sample))
    weights = pipeline.run_folder(config).weights
    if table is None or (weights.is_file() and digest(weights) != note["weights_sha256"]):
        return None
    table.attrs = {"sample": note["sample"], "lost": note["lost"]}
    return table


def first_fake(config: RunConfig) -> tuple[pd.Series, Path]:
    """The first fake crop of a run's sample, joined with the manifest, and the file of its video:
    what is shown of the corruptions."""
    store = _store(config, "", None, None)
    row = store.rows[store.rows["is_fake"]].iloc[0]
    return row, store.videos[row["video_id"]]


def path_of(config: RunConfig, dataset: str = "", sample: Sample | None = None) -> Path:
    """Where the scores of a run lie."""
    from mcxlib.pipeline.data import name_of

    sample = sample or SAMPLES[config.preset]
    name = name_of(dataset or config.data.train_on)
    return pipeline.run_folder(config).robustness(name, sample.name)


def _read(path: Path) -> tuple[pd.DataFrame | None, dict[str, Any]]:
    if not path.is_file():
        return None, {}
    try:
        table, note = pd.read_parquet(path), schemas.read_note(path)
        known = note["format"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); remove it and run mcx robustness again"
        ) from error
    if known > FORMAT:
        raise ValueError(
            f"{path} is of format {known}, and this program reads up to {FORMAT}; update it"
        )
    return table, note


@dataclass
class _Store:
    """The scores of one run: which levels there are, and room for more."""

    config: RunConfig
    path: Path
    crops: Path
    rows: pd.DataFrame
    videos: dict[str, Path]
    untouched: pd.DataFrame
    """The run's stored scores of the whole test part."""
    made_from: dict[str, Any]
    model: Any = None
    trained: Any = None

    def read(self) -> tuple[pd.DataFrame | None, dict[str, Any]]:
        """What there is that was made of the same weights, rows and corruptions."""
        table, note = _read(self.path)
        same = all(note.get(name) == value for name, value in self.made_from.items())
        return (table, note) if same else (None, {})

    def has(self, name: str, level: Level) -> bool:
        _, note = self.read()
        return corruptions.key(name, level) in note.get("lost", {})

    def add(self, name: str, level: Level, rows: pd.DataFrame, folder: Path) -> None:
        """Score the crops in ``folder`` and add them to the table, whole or not at all."""
        scored = self._score(rows, folder)
        if name == NONE:
            self._compare(scored)
        scored.insert(0, "corruption", name)
        scored.insert(1, "level", corruptions.text(level))
        scored = scored[[column for column in COLUMNS if column in scored]]
        with alone(self.path, f"robustness of {self.config.run_id}"):
            table, note = self.read()
            lost = note.get("lost", {})
            if table is not None:
                again = table["corruption"].eq(name) & table["level"].eq(corruptions.text(level))
                scored = pd.concat([table[~again], scored], ignore_index=True)
            about = {
                "format": FORMAT,
                "kind": self.model.score_kind,
                "direction": schemas.DIRECTION,
                "lost": lost | {corruptions.key(name, level): len(self.rows) - len(rows)},
            }
            schemas.write_noted(self.path, scored, self.made_from | about)

    def _score(self, rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
        import torch

        from mcxlib import weights
        from mcxlib.engine.score import score_rows

        device = "cuda" if torch.cuda.is_available() else "cpu"
        if self.model is None:
            self.model, self.trained, _ = weights.load(pipeline.run_folder(self.config).weights)
            self.model.to(device)
        return score_rows(self.model, rows, folder, self.trained, device=device)

    def _compare(self, scored: pd.DataFrame) -> None:
        """Refuse to go on if the untouched frames' scores are not the stored ones."""
        keys = [name for name in FRAME if name in self.untouched]
        both = scored.merge(self.untouched[[*keys, "fake_score"]], on=keys, how="left")
        apart = (both["fake_score_x"] - both["fake_score_y"]).abs().fillna(1).max()
        if not apart <= SAME:
            raise ValueError(
                f"{self.config.run_id}: frames that nothing was done to score up to {apart:.4f} "
                "away from the stored scores; the videos or crops are others than those that were "
                "scored. Make the crops and scores again (mcx crops, mcx score)"
            )


def _store(config: RunConfig, dataset: str, sample: Sample | None, workers: int | None) -> _Store:
    dataset = dataset or config.data.train_on
    sample = sample or SAMPLES[config.preset]
    untouched = pipeline.ensure_scores(config, dataset, workers)
    manifest = pipeline.ensure_manifest(config, dataset)
    at = pipeline.plan(config, dataset)
    crops = pipeline.ensure_crops(config, dataset, workers)
    rows = join(crops.assign(face=crops.get("face", 0)), manifest, split="test")
    rows = sample.of(rows).reset_index(drop=True)
    paths = manifest.set_index("video_id")["path"]
    return _Store(
        config=config,
        path=path_of(config, dataset, sample),
        crops=at.crops,
        rows=rows,
        videos={video: at.root / paths[video] for video in rows["video_id"].unique()},
        untouched=untouched,
        made_from={
            "dataset": at.name,
            "sample": asdict(sample),
            "rows_sha256": fingerprint(rows),
            "weights_sha256": digest(pipeline.run_folder(config).weights),
            "corruptions": corruptions.VERSION,
        },
    )
