"""Commands that train and score: ``mcx train``, ``mcx score``, ``mcx detectors``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mcxlib.cli import options
from mcxlib.cli.options import (
    ColorSpace,
    DataSet,
    DetectorName,
    Done,
    LoaderWorkers,
    Preset,
    Retrain,
    Seed,
    Settings,
    Threads,
    TrainOn,
    Videos,
    Workers,
)

if TYPE_CHECKING:
    import pandas as pd


def train(
    preset: Preset = "demo",
    detector: DetectorName = "mcx-api",
    colorspace: ColorSpace = "",
    seed: Seed = 0,
    videos: Videos = "",
    train_on: TrainOn = "",
    settings: Settings = None,
    retrain: Retrain = "never",
    threads: Threads = 0,
    workers: Workers = 0,
    loader_workers: LoaderWorkers = 0,
    devices: Annotated[
        str, typer.Option(help="how many GPUs (or processes); auto: torchrun's, else one")
    ] = "auto",
    num_nodes: Annotated[int, typer.Option(help="machines, if not started by torchrun")] = 1,
    compiled: Annotated[
        bool, typer.Option("--compile", help="compile the backbone (torch.compile)")
    ] = False,
    checkpoint_backbone: Annotated[
        bool, typer.Option(help="half the memory for a third more computing")
    ] = False,
    sync_batchnorm: Annotated[
        bool, typer.Option(help="BatchNorm over the batches of all GPUs")
    ] = False,
    deterministic: Annotated[
        bool, typer.Option(help="on GPUs: the same bits each time, slower")
    ] = False,
) -> None:
    """Train one run, or go on with it. Several GPUs: torchrun -m mcxlib.cli train ..."""
    config = options.config(preset, detector, colorspace, seed, videos, train_on, settings)
    options.use_threads(threads)
    from mcxlib import pipeline
    from mcxlib.engine import processes
    from mcxlib.engine.hardware import Hardware

    hardware = Hardware(
        loader_workers=loader_workers,
        devices=int(devices) if devices.isdigit() else devices,
        num_nodes=num_nodes,
        compile=compiled,
        checkpoint_backbone=checkpoint_backbone,
        sync_batchnorm=sync_batchnorm,
        deterministic=deterministic,
    )
    folder = pipeline.ensure_run(config, workers or None, hardware, retrain)
    if processes.is_first():
        typer.echo(folder)


def score(
    dataset: DataSet = "",
    preset: Preset = "demo",
    detector: DetectorName = "mcx-api",
    colorspace: ColorSpace = "",
    seed: Seed = 0,
    videos: Videos = "",
    train_on: TrainOn = "",
    settings: Settings = None,
    cut: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="cut the crops otherwise than the run's own"),
    ] = None,
    any_crops: Annotated[
        bool, typer.Option(help="score crops that differ from those it was trained on")
    ] = False,
    retrain: Retrain = "never",
    threads: Threads = 0,
    workers: Workers = 0,
    loader_workers: LoaderWorkers = 0,
    done: Done = None,
) -> None:
    """Score the test videos with one run, training it first if need be."""
    config = options.config(preset, detector, colorspace, seed, videos, train_on, settings)
    options.use_threads(threads)
    from mcxlib import detectors, pipeline

    other = None
    if cut:
        own = {k: v for k, v in config.data.model_dump().items() if k != "preset"}
        other = options.data(preset, **(own | options.overrides(cut)))
    digests = {}
    for name in options.each_dataset(dataset):
        scored = pipeline.ensure_scores(
            config,
            name,
            workers or None,
            cut=other,
            any_crops=any_crops,
            loader_workers=loader_workers,
            retrain=retrain,
        )
        retrain = "never"  # once is enough
        digests[name] = str(options.content(scored))
        items = "clips" if detectors.find(config.detector).frames_per_item > 1 else "frames"
        typer.echo(f"{config.run_id} on {name}: {len(scored)} {items}")
        if dataset:
            for line in _report(scored):
                typer.echo(f"  {line}")
    options.write_done(
        done, digests | {"weights": options.digest(pipeline.run_folder(config).weights)}
    )


def _report(scored: pd.DataFrame) -> list[str]:
    """What can be said of one data set's scores, in lines."""
    from mcxlib.tables.report import lines

    return lines(scored)


def detectors(
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, with everything known")] = False,
) -> None:
    """List the detectors: rows of the paper, parameters, input size, what deviates."""
    from mcxlib.catalogue import catalogue

    entries = catalogue()
    if as_json:
        import json

        typer.echo(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    for entry in entries:
        rows = ", ".join(entry["paper_rows"]) or "no row of its own"
        where = ", ".join(map(str, entry["tables"]))
        where = f" (Table{'s' if len(entry['tables']) > 1 else ''} {where})" if where else ""
        typer.echo(f"{entry['name']}: {rows}{where}")
        published, outputs = entry["published_parameters"], entry["outputs"]
        outputs = f"{outputs} output{'s' if outputs > 1 else ''}"
        stated = f", published {published:,} for {outputs}" if published else ""
        frames = entry["frames_per_item"]
        clip = f", clips of {frames} frames" if frames > 1 else ""
        typer.echo(
            f"  {entry['parameters']:,} parameters here for {outputs}{stated}; "
            f"input {entry['input_size']} px{clip}; reference: {entry['licence'] or 'not stated'}"
        )
        if entry["deviations"]:
            typer.echo(f"  deviates: {entry['deviations']}")
