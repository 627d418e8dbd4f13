"""Runs: trained if they are missing, used as they are if they are there."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcxlib import config as configs
from mcxlib import detectors, runs
from mcxlib.config import RunConfig
from mcxlib.data.crops.clips import clips
from mcxlib.data.crops.rows import fingerprint
from mcxlib.data.faces import contract as contracts
from mcxlib.detectors.clips import clip_of
from mcxlib.engine import fit as engine
from mcxlib.engine import guard, processes
from mcxlib.engine.session import batch_sampler
from mcxlib.files import digest
from mcxlib.method import colorspace
from mcxlib.pipeline import confounds
from mcxlib.pipeline import data as data_steps
from mcxlib.pipeline.common import alone, progress
from mcxlib.settings import paths
from mcxlib.settings import recipe as recipes

if TYPE_CHECKING:
    import pandas as pd

RETRAIN = ("never", "changed", "all")
"""What to do with a finished run: use it; train it anew if what decides its weights has changed
since; train it anew."""


def check_retrain(value: str) -> str:
    """``value``, if it is one of :data:`RETRAIN`; else a ValueError that lists them."""
    if value not in RETRAIN:
        raise ValueError(f"--retrain is one of {', '.join(RETRAIN)}, not {value!r}")
    return value


def run_folder(config: RunConfig) -> runs.RunFolder:
    """Where the run of ``config`` lies."""
    home = paths.runs(data_steps.home_of(config))
    return runs.RunFolder(home / config.data.study / config.run_id)


def start_weights(config: RunConfig) -> Path | None:
    """The weights that training begins with; None for fresh ones.

    Raises:
        FileNotFoundError: there are none of that name.
    """
    name = config.train.start_from
    if not name:
        return None
    of_run = runs.RunFolder(paths.runs(data_steps.home_of(config)) / name).weights
    for path in (Path(name).expanduser(), of_run):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"start_from={name}: no such file, and no weights at {of_run}; train that run first, or "
        "give a file of weights"
    )


def run_recipe(config: RunConfig, data: str | None = None) -> dict[str, Any]:
    """What decides the weights of ``config``; ``data`` is the fingerprint of its rows, if known."""
    spaces = colorspace.parse(config.colorspace)
    settings = config.train.model_dump(mode="json") | config.model.model_dump(mode="json")
    try:
        start = start_weights(config)
    except FileNotFoundError:
        start = None  # gone since: a finished run is none the worse for it
    return recipes.recipe(
        detectors.modules()[config.detector],
        settings,
        data,
        also=[f"{colorspace.__name__}.{name}" for name in spaces],
        start=digest(start) if start else None,
    )


def changes(config: RunConfig, folder: runs.RunFolder, data: str | None = None) -> list[str]:
    """In what a finished run was made otherwise than ``config`` would be made today."""
    defaults = {
        name: value
        for part in (type(config.train), type(config.model))
        for name, value in part().model_dump(mode="json").items()
    }
    return recipes.differences(folder.read_recipe(), run_recipe(config, data), defaults)


def check_ours(config: RunConfig, folder: runs.RunFolder) -> None:
    """Refuse a folder whose stored configuration is of another run.

    What counts is the name that the run was given when it was made: its preset may have other
    settings today, by which the same run would have another name.

    Raises:
        ValueError: it is; names both.
    """
    stored = folder.read_config()
    name = stored.get("run_id") or configs.from_stored(stored).run_id
    if name != config.run_id:
        raise ValueError(
            f"{folder.config} is the configuration of {name}, not of {config.run_id}: the "
            "folder was renamed, or files of two runs were mixed; put them back"
        )


def ensure_run(
    config: RunConfig,
    workers: int | None = None,
    hardware: engine.Hardware | None = None,
    retrain: str = "never",
) -> Path:
    """The folder of a finished run of ``config``; trains it, or goes on training it, if needed.

    A finished run is used as it is, whatever has changed since; its provenance and the tables'
    status say so. Only ``retrain`` makes it anew: "changed" if the code of its detector, a setting
    or its data are others now, "all" always. What it replaces is put aside under a number, after
    the data have been found fit to train on. With several processes each of them calls this; the
    first looks after the folder.

    Raises:
        ValueError: as :func:`mcxlib.engine.fit.fit`, or a folder with files of another run.
    """
    check_retrain(retrain)
    hardware = hardware or engine.Hardware()
    folder = run_folder(config)
    if folder.finished:
        check_ours(config, folder)
        if retrain == "never":
            return folder.path
    first = processes.is_first()
    several = processes.expected() > 1 or hardware.several
    training = _training_data(config, workers)
    data = fingerprint(training.rows)
    if not several and folder.finished and not _wanted_anew(config, folder, data, retrain):
        return folder.path
    _check(config, training)
    if first and data_steps.plan(config, config.data.train_on).dataset.own:
        confounds.announce(config, config.data.train_on, workers)
    with alone(folder.path, config.run_id) if first else nullcontext():
        if first and folder.finished and (why := _wanted_anew(config, folder, data, retrain)):
            aside = folder.put_aside()
            print(
                f"{config.run_id}: training anew ({why}); what was there is kept as {aside.name}",
                file=sys.stderr,
            )
        if several or not folder.finished:
            with progress(f"training {config.run_id}") if first else nullcontext() as show:
                engine.fit(config, training, folder.path, run_recipe(config, data), hardware, show)
    return folder.path


def _wanted_anew(config: RunConfig, folder: runs.RunFolder, data: str, retrain: str) -> str:
    """Why a finished run is to be made anew, in words; "" if it is not."""
    if retrain == "all":
        return "as asked for"
    return ", ".join(changes(config, folder, data)) if retrain == "changed" else ""


def _training_data(config: RunConfig, workers: int | None) -> engine.TrainingData:
    name = config.data.train_on
    at = data_steps.plan(config, name)
    manifest = data_steps.ensure_manifest(config, name, workers)
    classes = at.dataset.classes(manifest)
    rows = data_steps.ensure_rows(config, name, workers, classes)
    about: dict[str, Any] = {
        "dataset": at.name,
        "protocol": data_steps.protocol_used(config, name) or at.protocol,
        "synthetic": bool(manifest["synthetic"].any()),
    }
    masks = None
    if detectors.find(config.detector).uses_masks(config.model):
        found, about["masks"] = data_steps.ensure_masks(config, name, rows, workers)
        # The empty masks of real faces alone would teach that nothing is ever altered.
        if about["masks"]["with_masks"]:
            rows, masks = found, paths.masks_of(at.crops)
        if processes.is_first():
            _say_masks(config, paths.masks_of(at.crops), **about["masks"])
    contract = contracts.contract(config.data)
    return engine.TrainingData(
        rows, at.crops, contract, classes, about, masks, start_weights(config)
    )


def _say_masks(config: RunConfig, folder: Path, fakes: int, with_masks: int) -> None:
    """Say what there is of masks, if it is not all."""
    if with_masks == fakes:
        return
    said = f"{fakes - with_masks} of {fakes} fake training videos have no masks; "
    said += "the loss that needs them leaves those out" if with_masks else "trained without masks"
    listed = folder.with_name(f"{folder.name}.report.json")
    print(f"{config.run_id}: {said}; {listed} lists them", file=sys.stderr)


def items(config: RunConfig, rows: pd.DataFrame) -> pd.DataFrame:
    """What the detector of a run judges of some rows: the rows, or for a detector of clips, rows of
    clips. Errors as :func:`mcxlib.data.crops.clips.clips`."""
    clip = clip_of(detectors.find(config.detector), config.model)
    return clips(rows.reset_index(drop=True), *clip).rows


def _check(config: RunConfig, training: engine.TrainingData) -> None:
    """All that the data alone can be refused for, before anything on disk is touched."""
    guard.check(config, training.rows)
    rows = items(config, training.part("train"))
    batch_sampler(config, rows, len(training.classes), world_size=processes.expected())
