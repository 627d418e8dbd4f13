"""The command ``mcx``: each step of the work by itself. ``mcx --help`` lists them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

from mcxlib import paths, pipeline
from mcxlib.config import load
from mcxlib.data import faces

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Preset = Annotated[str, typer.Option(help="demo, test or paper")]
Method = Annotated[str, typer.Option(help="mcx-api, or its base architecture api-net")]
ColorSpace = Annotated[str, typer.Option(help="rgb, hsv, lab, ycbcr, joined by +")]
Seed = Annotated[int, typer.Option(help="of weights, batches and augmentation")]
AllOrOne = Annotated[str, typer.Option(help=f"all, or {', '.join(pipeline.ALL_DATASETS)}")]
Workers = Annotated[int, typer.Option(help="processes; 0 for one a core")]
Output = Annotated[Path | None, typer.Option(help="folder; by default in results/")]
Threads = Annotated[int, typer.Option(help="torch threads; 0 for torch's own choice")]


def _config(preset: str, method: str = "mcx-api", colorspace: str = "rgb", seed: int = 0):
    return load(preset, method=method, colorspace=colorspace, seed=seed)


@app.command()
def videos(preset: Preset = "demo", workers: Workers = 0) -> None:
    """Render the synthetic videos (or check that the real ones are where they should be)."""
    typer.echo(pipeline.ensure_videos(preset, workers or None))


@app.command()
def crops(dataset: AllOrOne = "", preset: Preset = "demo", workers: Workers = 0) -> None:
    """List a data set's videos and cut the faces out of them."""
    config = _config(preset)
    for name in [dataset] if dataset else pipeline.ALL_DATASETS:
        table = pipeline.ensure_crops(config, name, workers or None)
        report = faces.report(table)
        left_out = report.pop("videos affected")
        typer.echo(f"{name}: " + ", ".join(f"{n} {what}" for what, n in report.items()))
        for video in left_out:
            typer.echo(f"  without a face in some frames: {video}")


@app.command("train")
def train_(
    preset: Preset = "demo",
    method: Method = "mcx-api",
    colorspace: ColorSpace = "rgb",
    seed: Seed = 0,
    threads: Threads = 0,
    workers: Workers = 0,
) -> None:
    """Train one run, or go on with it."""
    if threads:
        torch.set_num_threads(threads)
    config = _config(preset, method, colorspace, seed)
    typer.echo(pipeline.ensure_run(config, workers or None))


@app.command("score")
def score_(
    preset: Preset = "demo",
    method: Method = "mcx-api",
    colorspace: ColorSpace = "rgb",
    seed: Seed = 0,
    threads: Threads = 0,
) -> None:
    """Score the test videos of all four data sets with one run, training it first if need be."""
    if threads:
        torch.set_num_threads(threads)
    config = _config(preset, method, colorspace, seed)
    for dataset in pipeline.ALL_DATASETS:
        table = pipeline.ensure_scores(config, dataset)
        typer.echo(f"{config.run_id} on {dataset}: {len(table)} frames")


@app.command()
def tables(preset: Preset = "demo", output: Output = None) -> None:
    """Compute Tables 1 to 3 from the stored scores."""
    from mcxlib import tables as made

    for path in made.write(paths.runs(preset), output or paths.results(preset) / "tables"):
        typer.echo(path)


@app.command()
def figures(preset: Preset = "demo", output: Output = None) -> None:
    """Draw the figures of section 5: t-SNE and activation maps."""
    from mcxlib import study

    for path in study.write_figures(load(preset), output or paths.results(preset) / "figures"):
        typer.echo(path)


@app.command()
def notebook(
    name: Annotated[str, typer.Argument(help="01_data, 02_train, ... 06_cam")],
    output: Annotated[Path | None, typer.Option(help="where the executed notebook goes")] = None,
    preset: Preset = "demo",
) -> None:
    """Run one notebook with papermill, for the book."""
    from mcxlib.notebook import execute

    typer.echo(execute(name, output, preset))


def main() -> None:
    """Entry point: what a user can mend is one line on standard error, not a traceback."""
    try:
        app()
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        typer.echo(f"mcx: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
