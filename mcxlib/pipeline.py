"""Each step of the work as "make it if it is missing": data, crops, runs, scores.

Notebooks, the command line and the workflow all call these, so that a step can start from
nothing. A step is done once: a lock keeps two processes off the same step, and what lies
finished on disk is not made again.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from mcxlib import checkpoint, paths, processes, score, train
from mcxlib.config import RunConfig, load
from mcxlib.data import datasets, demo, faces, frames, protocols
from mcxlib.data.datasets import TRAINED_ON
from mcxlib.data.deepfakebench import read_deepfakebench
from mcxlib.data.layouts import layout_of
from mcxlib.files import digest, read_json, write_json, write_parquet, write_text

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


def _read_if_there(path: Path) -> Any:
    """A JSON file's content, or None: asked first, it might be gone when it is read."""
    try:
        return read_json(path)
    except FileNotFoundError:
        return None


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


def _variant(config: RunConfig, dataset: str, *fields: str) -> str:
    """A name for what is made of ``dataset``: itself, and each field that is not the preset's."""
    plain = load(config.preset)
    of_faceforensics = dataset == TRAINED_ON or layout_of(dataset).home == TRAINED_ON
    changed = [
        f"{name}={getattr(config, name)}"
        for name in fields
        if getattr(config, name) != getattr(plain, name)
        and (name != "compression" or of_faceforensics)
    ]
    return "_".join([dataset, *changed])


def _manifest_path(config: RunConfig, dataset: str) -> Path:
    split_by = {
        TRAINED_ON: ("protocol",),
        "FaceShifter": ("protocol",),
        "Celeb-DF-v2": ("celebdf_protocol",),
        "KoDF": ("draw_seed",),
        "FakeAVCeleb": ("draw_seed",),
    }
    name = _variant(config, dataset, "compression", *split_by.get(dataset, ()))
    return paths.manifest(config.preset, name)


def crop_folder(config: RunConfig, dataset: str) -> Path:
    """Where the crops of ``dataset`` lie; crops cut with other settings have another folder."""
    return paths.crops(
        config.preset, _variant(config, dataset, "compression", *faces.CONTRACT_FIELDS)
    )


def _root(config: RunConfig, dataset: str, workers: int | None = None) -> Path:
    return ensure_videos(config.preset, workers) / (layout_of(dataset).home or dataset)


def make_manifest(
    config: RunConfig,
    dataset: str,
    workers: int | None = None,
    *,
    listed: Path | None = None,
    follow_links: bool = False,
    deepfakebench: Path | None = None,
) -> pd.DataFrame:
    """Read the folder of ``dataset`` (again) and write its manifest; one row a video.

    Beside it lie what was expected and found of each part and the files that were left out, and
    in ``splits/`` the list of the videos that are used. A protocol that draws at random keeps to
    its list once that exists, whatever comes to or goes from the folder later.

    Args:
        config: says which compression and which protocol.
        dataset: one of the data sets, or the name of one's own ``real/`` and ``fake/``.
        workers: processes that render synthetic videos, if they are missing.
        listed: a list of videos to use in place of the protocol's own choice.
        follow_links: also read what symbolic links outside the data set's folder point to.
        deepfakebench: a JSON file of DeepfakeBench's that describes its frame folders.
    """
    path = _manifest_path(config, dataset)
    protocol = protocols.protocol_of(config, dataset)
    drawn = protocols.PROTOCOLS[protocol].drawn
    own_list = paths.split_list(
        config.preset, f"{dataset}_{protocol}" + (f"_seed{config.draw_seed}" if drawn else "")
    )
    if listed is None and drawn and own_list.is_file():
        listed = own_list
    root = _root(config, dataset, workers)
    with _alone(path, f"manifest of {dataset}"):
        if deepfakebench is not None:
            found = read_deepfakebench(deepfakebench, root, dataset, config.compression)
        else:
            found = datasets.scan(
                root,
                dataset,
                config.compression,
                protocol,
                config.draw_seed,
                listed=listed,
                follow_links=follow_links,
            )
        write_json(path.with_name(f"{path.stem}.parts.json"), found.parts.to_dict("records"))
        write_text(path.with_name(f"{path.stem}.left_out.csv"), found.left_out.to_csv(index=False))
        protocols.write_list(own_list, found.manifest)
        write_parquet(path, found.manifest)
    return found.manifest


def ensure_manifest(config: RunConfig, dataset: str, workers: int | None = None) -> pd.DataFrame:
    """One row a video of ``dataset``, as :func:`make_manifest` found them the last time."""
    path = _manifest_path(config, dataset)
    if not path.is_file():
        make_manifest(config, dataset, workers)
    return pd.read_parquet(path)


def parts(config: RunConfig, dataset: str) -> pd.DataFrame:
    """What was expected and found of each part of ``dataset``."""
    path = _manifest_path(config, dataset)
    return pd.DataFrame(read_json(path.with_name(f"{path.stem}.parts.json")))


def left_out(config: RunConfig, dataset: str) -> pd.DataFrame:
    """The files of ``dataset`` that are in no manifest, and why: columns path, reason."""
    path = _manifest_path(config, dataset)
    return pd.read_csv(path.with_name(f"{path.stem}.left_out.csv"), dtype=str)


def _finished_crops(config: RunConfig, folder: Path, manifest: pd.DataFrame) -> pd.DataFrame | None:
    """The rows of a crop folder that has all of ``manifest``'s used videos; else None.

    Files are replaced whole, so this can be asked without holding the folder's lock.
    """
    table = paths.table_of(folder)
    if not table.is_file():
        return None
    stored, wanted = read_json(folder / "contract.json"), faces.contract(config)
    if difference := faces.contract_difference(stored, wanted):
        raise ValueError(
            f"the crops in {folder} were made with other settings ({difference}); set "
            "MCX_DATA to another folder or remove this one"
        )
    used = manifest[manifest["split"] != ""]
    rows = pd.read_parquet(table)
    made_from = rows.drop_duplicates("video_id").set_index("video_id")["source_bytes"]
    if (used["video_id"].map(made_from) == used["bytes"]).all():
        return rows[rows["video_id"].isin(used["video_id"])].reset_index(drop=True)
    return None


def ensure_crops(config: RunConfig, dataset: str, workers: int | None = None) -> pd.DataFrame:
    """One row a frame asked for, with the crop's place; cuts the faces that are missing."""
    folder = crop_folder(config, dataset)
    manifest = ensure_manifest(config, dataset, workers)
    if (rows := _finished_crops(config, folder, manifest)) is not None:
        return rows
    with _alone(folder, f"faces of {dataset}"):
        if (rows := _finished_crops(config, folder, manifest)) is not None:
            return rows  # another process was faster
        root = _root(config, dataset, workers)
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
    ``<folder>.old`` (replacing what was put aside before) and trained anew. ``options`` are those
    of :func:`mcxlib.train.fit`: devices, compile and the like. With several processes each of
    them calls this; the first looks after the folder.
    """
    folder = run_folder(config)
    rows = ensure_rows(config, TRAINED_ON, workers)
    first = processes.is_first()
    several = processes.expected() > 1 or options.get("devices", 1) not in (1, "auto")
    finished = folder / train.FINISHED
    recipe = train.recipe(config, rows)

    def current() -> bool:
        note = _read_if_there(finished)
        return note is not None and note["recipe_sha256"] == recipe

    if not several and current():
        return folder
    with _alone(folder, config.run_id) if first else nullcontext():
        if first and finished.is_file() and not current():
            print(f"{config.run_id}: made with other data or code; training anew", file=sys.stderr)
            aside = folder.with_name(f"{folder.name}.old")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        if several or not finished.is_file():
            with _progress(f"training {config.run_id}") if first else nullcontext() as progress:
                train.fit(
                    config,
                    rows,
                    crop_folder(config, TRAINED_ON),
                    folder,
                    faces.contract(config),
                    progress=progress,
                    **options,
                )
    return folder


def ensure_scores(
    config: RunConfig,
    dataset: str,
    workers: int | None = None,
    *,
    cut: RunConfig | None = None,
    any_crops: bool = False,
    loader_workers: int = 0,
) -> pd.DataFrame:
    """Per-frame probabilities of the run of ``config`` on the test split of ``dataset``.

    ``cut`` says how the crops are cut and which videos are used, if not as the run's own; crops
    that differ from those it was trained on are scored with ``any_crops`` only.

    Raises:
        ValueError: the weights were trained on crops made under another contract; names the
            difference.
    """
    cut = cut or config
    folder = ensure_run(config, workers)
    crops = ensure_crops(cut, dataset, workers)
    from_folder = crop_folder(cut, dataset)
    path = folder / "scores" / f"{dataset}.parquet"
    if from_folder != crop_folder(config, dataset):  # no row of the tables
        path = folder / "other_scores" / f"{from_folder.name}.parquet"
    rows = frames.join(crops, ensure_manifest(cut, dataset), split="test")
    made_from = {
        "rows_sha256": frames.fingerprint(rows),
        "weights_sha256": digest(folder / "weights.safetensors"),
    }
    note = path.with_name(f"{path.stem}.json")
    model, trained, contract = checkpoint.load_weights(folder / "weights.safetensors")
    difference = faces.contract_difference(contract, read_json(from_folder / "contract.json"))
    if difference and not any_crops:
        raise ValueError(
            f"{config.run_id} was trained on other crops than these of {dataset} "
            f"({difference}); cut them with the same settings, or score them as they are with "
            "--any-crops"
        )
    if difference:
        print(f"{config.run_id}: other crops than trained on ({difference})", file=sys.stderr)
        made_from["crops_differ"] = difference

    def current() -> bool:
        return path.is_file() and _read_if_there(note) == made_from

    if current():
        return pd.read_parquet(path)
    with _alone(path, f"scores of {config.run_id} on {dataset}"):
        if not current():
            note.unlink(missing_ok=True)
            device = "cuda" if torch.cuda.is_available() else "cpu"
            with _progress(f"scores of {config.run_id} on {dataset}") as progress:
                table = score.score_rows(
                    model.to(device),
                    rows,
                    from_folder,
                    trained,
                    device=device,
                    loader_workers=loader_workers,
                    progress=progress,
                    parts_folder=path.with_name(f"{path.stem}.parts"),
                    made_from=made_from,
                )
            write_parquet(path, table)
            write_json(note, made_from)
    return pd.read_parquet(path)
