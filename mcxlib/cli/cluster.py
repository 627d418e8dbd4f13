"""Commands for work on several machines: ``mcx plan``, ``mcx results merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcxlib.cli.options import Preset

results = typer.Typer(no_args_is_help=True, help="Results of several machines.")


@results.command("merge")
def merge(
    sources: Annotated[
        list[Path], typer.Argument(help="folders of runs, such as another machine's runs/paper")
    ],
    into: Annotated[
        Path | None, typer.Option(help="by default the folder of the preset's runs")
    ] = None,
    preset: Preset = "demo",
) -> None:
    """Copy finished runs of other machines into one folder; checks first, overwrites nothing.

    Two different runs of one name end it before anything is copied.
    """
    from collections import Counter

    from mcxlib.pipeline import merge as merging
    from mcxlib.settings import paths

    target = into or paths.runs(preset)
    found = merging.merge(sources, target, typer.echo)
    counts = Counter(one.what for one in found)
    said = ", ".join(f"{counts[what]} {what}" for what in merging.WHAT)
    typer.echo(f"{len(found)} folders of {len(sources)} sources: {said}; now in {target}")
    if others := merging.other_data(found):
        typer.echo(f"trained on other crops than most: {', '.join(others)}", err=True)


def plan(
    configfile: Annotated[Path, typer.Option(help="the workflow's configuration")] = Path(
        "workflow/paper.yaml"
    ),
    gpus: Annotated[int, typer.Option(min=1, help="GPUs that work at the same time")] = 4,
    cores: Annotated[int, typer.Option(min=1, help="cores that cut faces at the same time")] = 64,
    disk: Annotated[float, typer.Option(help="GB a second that the store gives to all")] = 1.0,
    memory: Annotated[float, typer.Option(help="GB of memory that can hold crops")] = 256.0,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Say what a workflow will ask of a cluster: jobs, hours, disk, data that are missing.

    Submits nothing. Operations are counted; the rates of GPUs, disks and machines are what is
    given here or in the configuration, and are named as assumptions.
    """
    from mcxlib.scaling import words

    config = words.configuration(configfile)
    made = words.plan_of(config, gpus, cores, disk * 1e9, memory * 1e9)
    if as_json:
        import json

        typer.echo(json.dumps(made.as_json(), indent=2))
        return
    for line in words.plan_lines(made, config):
        typer.echo(line)


def scaling(
    output: Annotated[Path, typer.Option(help="folder")] = Path("book/generated/scaling"),
    preset: Preset = "demo",
) -> None:
    """Write the tables of the book's page on scaling: rates, the model's check, larger sizes."""
    from mcxlib import tables
    from mcxlib.scaling import page
    from mcxlib.settings import paths

    for path in page.write(output, tables.cost(paths.runs(preset))):
        typer.echo(path)
