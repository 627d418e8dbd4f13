"""The command ``mcx robustness``. What it needs is imported inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def robustness(
    preset: Annotated[str, typer.Option(help="hyper-parameters: demo, test or paper")] = "demo",
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
    videos: Annotated[str, typer.Option(help="rendered or distributed ($MCX_VIDEOS)")] = "",
    sample: Annotated[
        str, typer.Option(help="videos of each kind x frames of each, such as 20x4")
    ] = "",
    threads: Annotated[int, typer.Option(help="torch threads; 0 for torch's own choice")] = 0,
    workers: Annotated[int, typer.Option(help="processes; 0 for one a core")] = 0,
    done: Annotated[
        Path | None, typer.Option(help="write here, at the end, digests of what is there now")
    ] = None,
) -> None:
    """How much harm does a detector bear? Score compressed, blurred, otherwise cut test faces."""
    from mcxlib.experiments import corrupted_crops, corruptions
    from mcxlib.experiments import robustness as study
    from mcxlib.experiments import robustness_curves as numbers
    from mcxlib.files import digest, write_json

    if threads:
        import torch

        torch.set_num_threads(threads)
    grid = corruptions.parse(level) if level else corruptions.grid(full)
    chosen = corrupted_crops.Sample.parse(sample) if sample else None
    names = [name.strip() for name in detectors.split(",") if name.strip()]
    more = {"videos": videos} if videos else {}
    studied = study.runs(preset, names, full, seed, **more)
    study.make(studied, grid, dataset, chosen, workers or None, typer.echo)
    for line in numbers.words(numbers.curves(studied, dataset, chosen)):
        typer.echo(line)
    if done is not None:
        paths = {run.run_id: study.path_of(run, dataset, chosen) for run in studied}
        write_json(done, {name: digest(path) for name, path in paths.items()})
