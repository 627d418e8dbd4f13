"""Commands for what is made of runs: tables, claims, figures, notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mcxlib.cli import options
from mcxlib.cli.options import Output, Preset, Videos


def tables(
    preset: Preset = "demo",
    videos: Videos = "",
    output: Output = None,
    video: Annotated[
        str,
        typer.Option(
            help="a video's score from its frames', for all rows: mean, median, top_k, "
            "confident, logits; if not given, as each row's publication does it"
        ),
    ] = "",
    kept: Annotated[
        Path | None, typer.Option(help="folder with numbers of the rows that make full trains")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="write those measured now into that folder")
    ] = False,
) -> None:
    """Compute Tables 1 to 3 from the stored scores; results.csv has every study's numbers too."""
    if keep and not kept:
        raise ValueError("--keep writes into the folder that --kept names; give both")
    home = options.home(preset, videos)
    from mcxlib.settings import paths

    folder = output or paths.results(home) / "tables"
    typer.echo(f"tables of {paths.runs(home)}", err=True)
    from mcxlib import tables as made

    studies = _studies(preset, videos, folder / "claims.json")
    for path in made.write(paths.runs(home), folder, video or None, kept, keep, studies):
        typer.echo(path)
    typer.echo(made.cost_summary(made.cost(paths.runs(home))), err=True)


def _studies(preset: str, videos: str, claims: Path) -> list[dict[str, Any]]:
    """The numbers of the studies that were made; says how many, and what is left out."""
    from mcxlib.experiments import as_data

    rows, lines = as_data.studies(preset, videos, claims)
    for line in lines:
        typer.echo(f"results.csv: {line}", err=True)
    return rows


def claims(preset: Preset = "demo", videos: Videos = "", output: Output = None) -> None:
    """Judge the paper's claims: by its own tables, and by what was measured here."""
    typer.echo(f"claims, preset {preset}", err=True)
    from mcxlib import claims as judged
    from mcxlib.settings import paths

    config = options.config(preset, videos=videos)
    folder = output or paths.results(options.home(preset, videos)) / "tables"
    for path in judged.write(judged.material(config), folder):
        typer.echo(path)


def figures(
    preset: Preset = "demo",
    videos: Videos = "",
    output: Output = None,
    carried_by: Annotated[
        Path | None,
        typer.Option("--from", help="print what a figure file carries, and draw nothing"),
    ] = None,
) -> None:
    """Draw the figures of section 5: t-SNE and activation maps."""
    if carried_by:
        from mcxlib.figures import carried

        typer.echo(carried.shown(carried.read(carried_by)))
        return
    from mcxlib import notebook as shown
    from mcxlib.figures.maps import write_figures
    from mcxlib.settings import paths

    config = options.config(preset, videos=videos)
    folder = output or paths.results(options.home(preset, videos)) / "figures"
    for path in write_figures(shown.pair(config), shown.source(config), folder):
        typer.echo(path)


def notebook(
    name: Annotated[str, typer.Argument(help="00_method, 01_data, 02_train, ... 09_your_video")],
    output: Annotated[Path | None, typer.Option(help="where the executed notebook goes")] = None,
    preset: Preset = "demo",
) -> None:
    """Run one notebook with papermill, for the book."""
    from mcxlib.notebook import execute

    typer.echo(execute(name, output, preset))
