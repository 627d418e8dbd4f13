"""Scores: computed once for each data set, and read from then on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcxlib import detectors, runs, schemas
from mcxlib.config import RunConfig
from mcxlib.data.crops.rows import fingerprint
from mcxlib.data.faces import contract as contracts
from mcxlib.engine.hardware import Hardware
from mcxlib.files import digest, write_json
from mcxlib.pipeline import data as data_steps
from mcxlib.pipeline.common import alone, progress, read_if_there
from mcxlib.pipeline.runs import check_ours, ensure_run, items, run_folder
from mcxlib.settings.data import DataConfig

FEATURE_SAMPLE = 1000
"""Frames of which scoring stores the features, at most; drawn with a seed of 0."""


def stored_scores(config: RunConfig, dataset: str) -> pd.DataFrame | None:
    """The scores of a run on a data set as they lie on disk, however old; None if there are none.

    Nothing else is looked at: no videos, no crops, no weights.
    """
    path = run_folder(config).scores(data_steps.name_of(dataset))
    return schemas.read_scores(path) if path.is_file() else None


def ensure_scores(
    config: RunConfig,
    dataset: str,
    workers: int | None = None,
    *,
    cut: DataConfig | None = None,
    any_crops: bool = False,
    loader_workers: int = 0,
    retrain: str = "never",
) -> pd.DataFrame:
    """The scores of the run of ``config`` on the test part of ``dataset``.

    Scores that are current are returned without looking at anything else: those of the folder's
    weights, for the crops that lie on disk, or for any where none do. What is missing is made, of
    this data set alone if the run is finished.

    Args:
        config: the run.
        dataset: one of the data sets, the name of one's own, or a path.
        workers: processes that cut faces.
        cut: how the crops are cut and which videos are used, if not as the run's own. Such scores
            are kept apart and are no row of the tables.
        any_crops: score crops that differ from those it was trained on.
        loader_workers: processes that read ahead.
        retrain: see :func:`mcxlib.pipeline.runs.ensure_run`.

    Raises:
        ValueError: the weights were trained on crops made under another contract, or are of
            another run; or the videos are of those that the run was trained or selected on.
    """
    cut = cut or config.data
    folder = run_folder(config)
    at = data_steps.plan(cut, dataset) if _has_place(cut, dataset) else None
    name = at.name if at else data_steps.name_of(dataset)
    if retrain == "never" and folder.finished:
        check_ours(config, folder)
        path = folder.scores(name, _other(config, cut, dataset))
        if _is_current(folder, path, config, cut, dataset):
            return schemas.read_scores(path)
    ensure_run(config, workers, Hardware(loader_workers=loader_workers), retrain)
    return _score(config, dataset, workers, cut, any_crops, loader_workers)


def _has_place(cut: DataConfig, dataset: str) -> bool:
    try:
        data_steps.plan(cut, dataset)
    except FileNotFoundError:
        return False
    return True


def _score(
    config: RunConfig,
    dataset: str,
    workers: int | None,
    cut: DataConfig,
    any_crops: bool,
    loader_workers: int,
) -> pd.DataFrame:
    from mcxlib import weights
    from mcxlib.data.crops.rows import join

    folder = run_folder(config)
    card = weights.read_card(folder.weights)
    check_weights(config, folder, card)
    difference = contracts.contract_difference(card.crop_contract, contracts.contract(cut))
    if difference and not any_crops:
        raise ValueError(
            f"{config.run_id} was trained on other crops than these of {dataset} "
            f"({difference}); cut them with the same settings, or score them as they are with "
            "--any-crops"
        )
    if difference:
        print(f"{config.run_id}: other crops than trained on ({difference})", file=sys.stderr)
    crops = data_steps.ensure_crops(cut, dataset, workers)
    manifest = data_steps.ensure_manifest(cut, dataset)
    at = data_steps.plan(cut, dataset)
    rows = join(crops, manifest, card.classes, split="test")
    refuse_seen(config, folder, rows)
    path = folder.scores(at.name, _other(config, cut, dataset))
    made_from: dict[str, Any] = {
        "rows_sha256": fingerprint(rows),
        "weights_sha256": digest(folder.weights),
    }
    if difference:
        made_from["crops_differ"] = difference
    with alone(path, f"scores of {config.run_id} on {at.name}"):
        if not _is_current(folder, path, config, cut, dataset):
            note = _note(path)
            note.unlink(missing_ok=True)
            table, kind = compute(config, folder, rows, at, made_from, path, loader_workers)
            schemas.write_scores(
                path,
                table,
                kind,
                dataset=at.name,
                classes=list(card.classes),
                videos_left_out=videos_left_out(manifest, crops, rows),
                video_rule=detectors.find(config.detector).video_rule,
                flop=_known(table.attrs["flop"]),
                clips=table.attrs["clips"],
            )
            if rows["split"].eq("test").any() and at.name == card.trained_on.get("dataset"):
                _store_features(config, folder, rows, at)
            write_json(note, made_from)
    return schemas.read_scores(path)


def videos_left_out(
    manifest: pd.DataFrame, crops: pd.DataFrame, rows: pd.DataFrame
) -> dict[str, int]:
    """How many test videos have no crop that could be scored, by the reason."""
    test = set(manifest.loc[manifest["split"] == "test", "video_id"]) - set(rows["video_id"])
    bad = crops[crops["video_id"].isin(test)]
    words = {"no_face": "no face found", "unreadable": "unreadable", "failed": "failed"}
    reasons = bad.groupby("video_id")["status"].agg(lambda s: words.get(s.mode()[0], s.mode()[0]))
    counts = reasons.value_counts().to_dict()
    if missing := len(test) - len(reasons):
        counts["no frame"] = missing
    return {str(reason): int(n) for reason, n in counts.items()}


def compute(
    config: RunConfig,
    folder: runs.RunFolder,
    rows: pd.DataFrame,
    at: data_steps.Plan,
    made_from: dict[str, Any],
    path: Path,
    loader_workers: int = 0,
) -> tuple[pd.DataFrame, str]:
    """Scores of rows by a run's weights, and what they are; parts are kept beside ``path``."""
    import torch

    from mcxlib import weights
    from mcxlib.engine.score import Parts, score_rows

    model, trained, _ = weights.load(folder.weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with progress(f"scores of {config.run_id} on {at.name}") as show:
        table = score_rows(
            model.to(device),
            rows,
            at.crops,
            trained,
            device=device,
            loader_workers=loader_workers,
            progress=show,
            parts=Parts(path.with_name(f"{path.stem}.parts"), made_from),
        )
    if words := table.attrs["clips"]:
        print(f"{config.run_id} on {at.name}: {words}", file=sys.stderr)
    return table, model.score_kind


def _known(flop: float) -> float | None:
    return None if np.isnan(flop) else flop


def _note(path: Path) -> Path:
    return path.with_name(f"{path.stem}.json")


def _is_current(
    folder: runs.RunFolder, path: Path, config: RunConfig, cut: DataConfig, dataset: str
) -> bool:
    """Whether stored scores are of the folder's weights, and of the crops on disk if any are."""
    note = read_if_there(_note(path)) if path.is_file() else None
    if note is None:
        return False
    if folder.weights.is_file() and digest(folder.weights) != note["weights_sha256"]:
        return False
    classes = _classes(folder)
    rows = data_steps.stored_rows(cut, dataset, classes) if _has_place(cut, dataset) else None
    if rows is None:
        return True
    return fingerprint(rows[rows["split"] == "test"]) == note["rows_sha256"]


def _classes(folder: runs.RunFolder) -> tuple[str, ...]:
    from mcxlib import CLASSES

    if not folder.weights.is_file():
        return CLASSES
    from mcxlib.weights.format import read_card

    return read_card(folder.weights).classes


def _other(config: RunConfig, cut: DataConfig, dataset: str) -> str:
    """A name for scores that are no row of the tables; "" for those that are."""
    if not _has_place(cut, dataset):
        return ""
    at = data_steps.plan(cut, dataset)
    usual = data_steps.plan(config, dataset)
    used = data_steps.protocol_used(cut, dataset) if at.manifest.is_file() else at.protocol
    parts = [at.crops.name] if at.crops != usual.crops else []
    if used not in ("", usual.protocol) or at.manifest != usual.manifest:
        parts = [at.crops.name, f"protocol={used or at.protocol}"]
        if at.manifest.stem != usual.manifest.stem:
            parts = [at.crops.name, at.manifest.stem.removeprefix(f"{at.name}_")]
    return "_".join(parts)


def check_weights(config: RunConfig, folder: runs.RunFolder, card: Any) -> None:
    """Refuse weights that lie in another run's folder.

    Raises:
        ValueError: they do; names both runs.
    """
    from mcxlib import config as configs

    theirs = configs.from_stored(card.config)
    if theirs.run_id != config.run_id:
        raise ValueError(
            f"{folder.weights} holds the weights of {theirs.run_id}, not of {config.run_id}: files "
            "of two runs were mixed. Put back the run's own weights, or score under their own name"
        )


def seen_videos(config: RunConfig, folder: runs.RunFolder) -> pd.DataFrame | None:
    """The videos that a run was trained and selected on; None if nobody can tell any more."""
    if folder.videos.is_file():
        return pd.read_parquet(folder.videos)
    try:
        manifest = data_steps.plan(config, config.data.train_on).manifest
    except FileNotFoundError:
        return None
    if not manifest.is_file():
        return None
    table = pd.read_parquet(manifest)
    return table[table["split"].isin(["train", "val"])]


def refuse_seen(config: RunConfig, folder: runs.RunFolder, rows: pd.DataFrame) -> None:
    """Refuse to score what a run was trained or selected on, also under another name.

    Raises:
        ValueError: some of the videos are; says how many and names some.
    """
    seen = seen_videos(config, folder)
    if seen is None:
        print(
            f"{config.run_id}: which videos it was trained on is not known here; that these are "
            "others cannot be checked",
            file=sys.stderr,
        )
        return
    videos = rows.drop_duplicates(["dataset", "video_id"])
    same = videos.merge(seen[["dataset", "video_id"]], on=["dataset", "video_id"])["video_id"]
    found = set(same)
    if "content" in seen and "content" in videos:
        known = set(seen["content"].dropna()) - {""}
        found |= set(videos.loc[videos["content"].isin(known), "video_id"])
    if found:
        some = ", ".join(sorted(found)[:3])
        raise ValueError(
            f"{config.run_id} was trained or selected on {len(found)} of these {len(videos)} "
            f"videos, or on copies of them ({some}, ...): their scores would say nothing about "
            "new videos. Score a test part that shares nothing with its training"
        )


def _store_features(
    config: RunConfig, folder: runs.RunFolder, rows: pd.DataFrame, at: data_steps.Plan
) -> None:
    """Keep the features of a seeded sample of the rows, where the detector has features."""
    from mcxlib import weights
    from mcxlib.engine.score import embed_rows

    model, trained, _ = weights.load(folder.weights)
    sample = rows = items(trained, rows)
    if len(rows) > FEATURE_SAMPLE:
        chosen = np.random.default_rng(0).choice(len(rows), FEATURE_SAMPLE, replace=False)
        sample = rows.iloc[np.sort(chosen)]
    try:
        features = embed_rows(model, sample, at.crops, trained)
    except ValueError:
        return  # said where they are asked for
    names = ("dataset", "video_id", "frame_index", "face", "is_fake", "manipulation")
    table = sample[[n for n in names if n in sample]].reset_index(drop=True)
    table = table.assign(features=list(features))
    schemas.write_noted(folder.features(at.name), table, {"format": 1, "seed": 0})


def ensure_features(config: RunConfig, dataset: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) of a run's scored sample and the class name of each (N,).

    Raises:
        ValueError: the detector has no features, or they were not stored and cannot be made here.
    """
    folder = run_folder(config)
    ensure_scores(config, dataset)
    path = folder.features(data_steps.name_of(dataset))
    if not path.is_file():
        # A run that was scored by older code: the weights are there, and so may be the crops.
        at = data_steps.plan(config, dataset)
        rows = data_steps.ensure_rows(config, dataset, classes=_classes(folder))
        _store_features(config, folder, rows[rows["split"] == "test"].reset_index(drop=True), at)
    if not path.is_file():
        raise ValueError(f"{config.detector} has no feature vector to show")
    table = pd.read_parquet(path)
    return np.stack(table["features"].to_numpy()), table["manipulation"].to_numpy(str)


__all__ = [
    "ensure_features",
    "ensure_scores",
    "refuse_seen",
    "seen_videos",
    "stored_scores",
]
