"""Commands of the studies: ``mcx ablation``, ``mcx traces``, ``mcx maps``."""

from __future__ import annotations

from typing import Annotated

import typer

from mcxlib.cli import options
from mcxlib.cli.options import Done, Preset, Retrain, Threads, Videos, Workers


def ablation(
    preset: Preset = "demo",
    seeds: Annotated[
        str, typer.Option(help="which, separated by commas; by default as the preset's")
    ] = "",
    videos: Videos = "",
    retrain: Retrain = "never",
    threads: Threads = 0,
    workers: Workers = 0,
    done: Done = None,
) -> None:
    """Does pairing help? Train and score runs that differ from the method in one thing each."""
    options.use_threads(threads)
    from mcxlib.experiments import ablation as study
    from mcxlib.settings import matrix

    if preset not in matrix.ABLATION_SEEDS:
        raise ValueError(f"unknown preset {preset!r}; valid: {', '.join(matrix.ABLATION_SEEDS)}")
    if not all(seed.strip().isdigit() for seed in seeds.split(",") if seeds):
        raise ValueError(f"--seeds takes numbers separated by commas, not {seeds!r}")
    usual = matrix.ABLATION_SEEDS[preset]
    chosen = [int(seed) for seed in seeds.split(",")] if seeds else list(usual)
    more = {"videos": videos} if videos else {}
    study.make(preset, chosen, retrain, workers or None, typer.echo, **more)
    found = study.results(preset, chosen, **more)
    options.write_done(done, {"results": str(options.content(found))})


def traces(
    preset: Preset = "demo",
    grid: Annotated[str, typer.Option(help="tiny, small or full; by default as the preset's")] = "",
    threads: Threads = 0,
    workers: Workers = 1,
    done: Done = None,
) -> None:
    """Which trace is seen in which colour space? One trace at a time, on drawn faces."""
    options.use_threads(threads)
    import os

    from mcxlib.experiments import traces as study

    chosen = study.chosen(preset, grid)
    found = study.make(preset, chosen, workers or os.cpu_count() or 1, typer.echo)
    digests = {"results": str(options.content(found))}
    if chosen.name == "full":
        from mcxlib.experiments import trace_nets

        nets = trace_nets.make(preset, workers=workers or os.cpu_count() or 1, told=typer.echo)
        digests["networks"] = str(options.content(nets))
    options.write_done(done, digests)


def maps(preset: Preset = "demo", videos: Videos = "", done: Done = None) -> None:
    """Measure activation maps against what was altered, and what compression alone does."""
    from mcxlib import notebook as shown
    from mcxlib.experiments import cam_findings, cam_truth

    found = cam_truth.make(shown.pair(options.config(preset, videos=videos)))
    if len(found.truth):
        typer.echo(cam_findings.report(found.truth))
    else:
        typer.echo("what was altered is not known of these videos")
    digests = {"truth": found.truth, "reaction": found.reaction}
    options.write_done(done, {name: str(options.content(table)) for name, table in digests.items()})
