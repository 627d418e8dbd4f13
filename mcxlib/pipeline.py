"""Each step of the work as "make it if it is missing": data, crops, runs, scores.

Notebooks, the command line and the workflow all call these, so that a step can start from
nothing. A step is done once: a lock keeps two processes off the same step, and what lies
finished on disk is not made again.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from mcxlib import checkpoint, paths, score, train
from mcxlib.config import RunConfig
from mcxlib.data import datasets, demo, faces, frames
from mcxlib.files import digest, read_json, write_json, write_parquet

TRAINED_ON = "FaceForensics++"
ALL_DATASETS = (TRAINED_ON, *datasets.CROSS_DATASETS)

SPECS = {"demo": demo.DemoSpec(), "test": demo.DemoSpec.small()}
"""What the synthetic presets render."""


@contextmanager
def _alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of one step; says so when it has to wait for another process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{what}: another process is at it; waiting for it", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _progress(what: str) -> Iterator[Callable[..., None]]:
    """A progress callback (done, total, note) drawn on standard error, often only on a terminal."""
    often = sys.stderr.isatty()
    bar = tqdm(desc=what, mininterval=0.5 if often else 10, dynamic_ncols=often, file=sys.stderr)

    def update(done: int, total: int, note: str = "") -> None:
        bar.total = total
        if note:
            bar.set_postfix_str(note, refresh=False)
        bar.update(done - bar.n)

    try:
        yield update
    finally:
        bar.close()


def ensure_videos(preset: str, workers: int | None = None) -> Path:
    """The folder with the data sets; the synthetic presets render them if they are missing.

    Raises:
        FileNotFoundError: preset ``paper`` and no such folder; says how to point to it.
    """
    folder = paths.videos(preset)
    if preset in SPECS:
        with _alone(folder, "synthetic videos"):
            if not demo.is_complete(folder, SPECS[preset]):
                with _progress("synthetic videos") as progress:
                    demo.make(folder, SPECS[preset], workers=workers or 2, progress=progress)
    elif not folder.is_dir():
        raise FileNotFoundError(
            f"no folder {folder}: set MCX_VIDEOS to the folder that holds {', '.join(ALL_DATASETS)}"
        )
    return folder


def ensure_manifest(config: RunConfig, dataset: str, workers: int | None = None) -> pd.DataFrame:
    """One row a video of ``dataset``; also writes what was expected and found of each part."""
    path = paths.manifest(config.preset, dataset)
    with _alone(path, f"manifest of {dataset}"):
        if not path.is_file():
            root = ensure_videos(config.preset, workers) / dataset
            scan = datasets.scan(root, dataset, config.compression)
            write_json(path.with_suffix(".parts.json"), scan.parts.to_dict("records"))
            write_parquet(path, scan.manifest)
    return pd.read_parquet(path)


def parts(config: RunConfig, dataset: str) -> pd.DataFrame:
    """What :func:`ensure_manifest` expected and found of each part of ``dataset``."""
    file = paths.manifest(config.preset, dataset).with_suffix(".parts.json")
    return pd.DataFrame(read_json(file))


def ensure_crops(config: RunConfig, dataset: str, workers: int | None = None) -> pd.DataFrame:
    """One row a frame asked for, with the crop's place; cuts the faces that are missing."""
    folder = paths.crops(config.preset, dataset)
    manifest = ensure_manifest(config, dataset, workers)
    with _alone(folder, f"faces of {dataset}"):
        table = folder.with_suffix(".parquet")
        if table.is_file():
            stored, wanted = read_json(folder / "contract.json"), faces.contract(config)
            if difference := faces.contract_difference(stored, wanted):
                raise ValueError(
                    f"the crops in {folder} were made with other settings ({difference}); set "
                    "MCX_DATA to another folder or remove this one"
                )
            return pd.read_parquet(table)
        root = ensure_videos(config.preset, workers) / dataset
        with _progress(f"faces of {dataset}") as progress:
            return faces.crop_videos(manifest, root, folder, config, workers, progress)


def ensure_rows(config: RunConfig, dataset: str, workers: int | None = None) -> pd.DataFrame:
    """The crops of ``dataset`` joined with their videos' columns, all splits."""
    crops = ensure_crops(config, dataset, workers)
    return frames.join(crops, ensure_manifest(config, dataset))


def run_folder(config: RunConfig) -> Path:
    return paths.runs(config.preset) / config.run_id


def ensure_run(config: RunConfig, workers: int | None = None, **options: Any) -> Path:
    """The folder of a finished run of ``config``; trains it, or goes on training it, if needed.

    A finished run of other data, or of other code of the method, is put aside under
    ``<folder>.old`` (replacing what was put aside before) and trained anew.
    """
    folder = run_folder(config)
    rows = ensure_rows(config, TRAINED_ON, workers)
    with _alone(folder, config.run_id):
        finished = folder / train.FINISHED
        if finished.is_file() and read_json(finished)["recipe_sha256"] != train.recipe(
            config, rows
        ):
            print(f"{config.run_id}: made with other data or code; training anew", file=sys.stderr)
            aside = folder.with_name(f"{folder.name}.old")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        if not finished.is_file():
            with _progress(f"training {config.run_id}") as progress:
                train.fit(
                    config,
                    rows,
                    paths.crops(config.preset, TRAINED_ON),
                    folder,
                    faces.contract(config),
                    progress=progress,
                    **options,
                )
    return folder


def ensure_scores(config: RunConfig, dataset: str, workers: int | None = None) -> pd.DataFrame:
    """Per-frame probabilities of the run of ``config`` on the test split of ``dataset``.

    Raises:
        ValueError: the weights were trained on crops made under another contract; names the
            difference.
    """
    folder = ensure_run(config, workers)
    path = folder / "scores" / f"{dataset}.parquet"
    crops = ensure_crops(config, dataset, workers)
    rows = frames.join(crops, ensure_manifest(config, dataset), split="test")
    made_from = {
        "rows_sha256": frames.fingerprint(rows),
        "weights_sha256": digest(folder / "weights.safetensors"),
    }
    with _alone(path, f"scores of {config.run_id} on {dataset}"):
        note = path.with_suffix(".json")
        if not path.is_file() or not note.is_file() or read_json(note) != made_from:
            note.unlink(missing_ok=True)
            model, trained, contract = checkpoint.load_weights(folder / "weights.safetensors")
            stored = read_json(paths.crops(config.preset, dataset) / "contract.json")
            if difference := faces.contract_difference(contract, stored):
                raise ValueError(
                    f"{config.run_id} was trained on other crops than these of {dataset} "
                    f"({difference}); cut them with the same settings"
                )
            device = "cuda" if torch.cuda.is_available() else "cpu"
            table = score.score_rows(
                model.to(device), rows, paths.crops(config.preset, dataset), trained, device=device
            )
            write_parquet(path, table)
            write_json(note, made_from)
    return pd.read_parquet(path)
