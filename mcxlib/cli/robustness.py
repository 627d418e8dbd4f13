"""The command ``mcx robustness``. What it needs is imported inside it."""

from __future__ import annotations

from typing import Annotated

import typer

from mcxlib.cli import options
from mcxlib.cli.options import Done, Preset, Threads, Videos, Workers


def robustness(
    preset: Preset = "demo",
    detectors: Annotated[
        str,
        typer.Option(
            help="which, separated by commas, with colour spaces after a colon (mcx-api:rgb+hsv); "
            "by default three, with --full all rows of the preset"
        ),
    ] = "",
    level: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LEVELS", help="jpeg=50,10 or jpeg, repeatable; by default a grid"
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="the full grid, of all detectors")] = False,
    dataset: Annotated[
        str, typer.Option(help="whose test videos; by default those trained on")
    ] = "",
    seed: Annotated[int, typer.Option(help="of the runs")] = 0,
    videos: Videos = "",
    sample: Annotated[
        str, typer.Option(help="videos of each kind x frames of each, such as 20x4")
    ] = "",
    threads: Threads = 0,
    workers: Workers = 0,
    done: Done = None,
) -> None:
    """How much harm does a detector bear? Score compressed, blurred, otherwise cut test faces."""
    from mcxlib.experiments import corrupted_crops, corruptions
    from mcxlib.experiments import robustness as study
    from mcxlib.experiments import robustness_curves as numbers

    options.use_threads(threads)
    grid = corruptions.parse(level) if level else corruptions.grid(full)
    chosen = corrupted_crops.Sample.parse(sample) if sample else None
    names = [name.strip() for name in detectors.split(",") if name.strip()]
    more = {"videos": videos} if videos else {}
    studied = study.runs(preset, names, full, seed, **more)
    study.make(studied, grid, dataset, chosen, workers or None, typer.echo)
    for line in numbers.words(numbers.curves(studied, dataset, chosen)):
        typer.echo(line)
    paths = {run.run_id: study.path_of(run, dataset, chosen) for run in studied}
    options.write_done(done, {name: options.digest(path) for name, path in paths.items()})
