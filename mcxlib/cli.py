"""The command ``mcx``: each step of the work by itself. ``mcx --help`` lists them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import typer

from mcxlib import paths, pipeline, processes
from mcxlib.config import RunConfig, load
from mcxlib.data import datasets, faces, protocols
from mcxlib.train import Stopped

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Preset = Annotated[str, typer.Option(help="demo, test or paper")]
Method = Annotated[str, typer.Option(help="mcx-api, or its base architecture api-net")]
ColorSpace = Annotated[str, typer.Option(help="rgb, hsv, lab, ycbcr, joined by +")]
Seed = Annotated[int, typer.Option(help="of weights, batches and augmentation")]
DataSet = Annotated[
    str,
    typer.Option(
        help=f"one of {', '.join(datasets.LAYOUTS)}, or a folder of your own with real/ and fake/; "
        "by default the four of the paper"
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="any other setting of a run; repeatable"),
]
Workers = Annotated[int, typer.Option(help="processes; 0 for one a core")]
Output = Annotated[Path | None, typer.Option(help="folder; by default in results/")]
LoaderWorkers = Annotated[int, typer.Option(help="processes that read crops ahead")]
Threads = Annotated[int, typer.Option(help="torch threads; 0 for torch's own choice")]


def _overrides(settings: list[str] | None) -> dict[str, str]:
    pairs = [setting.partition("=") for setting in settings or ()]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise ValueError(f"--set takes NAME=VALUE, not {wrong[0]!r}")
    return {name: value for name, _, value in pairs}


def _config(
    preset: str,
    settings: list[str] | None = None,
    method: str = "mcx-api",
    colorspace: str = "rgb",
    seed: int = 0,
) -> RunConfig:
    named = {"method": method, "colorspace": colorspace, "seed": seed}
    return load(preset, **(named | _overrides(settings)))


def _each_dataset(name: str) -> tuple[str, ...]:
    return (name,) if name else pipeline.ALL_DATASETS


def _list(table: pd.DataFrame, shown: int = 10) -> None:
    """Print the rows of a table that has one line each to say, at most ``shown``."""
    for row in table.head(shown).itertuples(index=False):
        typer.echo("    " + ": ".join(str(v) for v in row if v != ""))
    if len(table) > shown:
        typer.echo(f"    ... and {len(table) - shown} more")


@app.command()
def videos(preset: Preset = "demo", workers: Workers = 0) -> None:
    """Render the synthetic videos (or check that the real ones are where they should be)."""
    typer.echo(pipeline.ensure_videos(preset, workers or None))


@app.command()
def manifest(
    dataset: DataSet = "",
    preset: Preset = "demo",
    settings: Settings = None,
    use_list: Annotated[
        Path | None, typer.Option("--list", help="use the videos of this list (CSV)")
    ] = None,
    follow_links: Annotated[
        bool, typer.Option(help="also read what links outside the folder point to")
    ] = False,
    deepfakebench: Annotated[
        Path | None, typer.Option(help="a JSON file of DeepfakeBench's, for its frame folders")
    ] = None,
) -> None:
    """List a data set's videos, what is missing of it, and who is in more than one part.

    Reads the folder anew each time; do it after files were added or replaced.
    """
    if (use_list or deepfakebench) and not dataset:
        raise ValueError("--list and --deepfakebench belong to one data set; name it (--dataset)")
    config = _config(preset, settings)
    for name in _each_dataset(dataset):
        table = pipeline.make_manifest(
            config,
            name,
            listed=use_list,
            follow_links=follow_links,
            deepfakebench=deepfakebench,
        )
        counts = table.loc[table["split"] != "", "split"].value_counts()
        used = ", ".join(f"{n} {split}" for split, n in counts.items()) or "none used"
        protocol = protocols.protocol_of(config, name)
        typer.echo(f"{name}: {len(table)} videos; protocol {protocol}: {used}")
        for part in pipeline.parts(config, name).itertuples():
            expected = f" of {part.expected} published" if part.expected else ""
            missing = "" if part.present or part.optional else "  <- MISSING"
            empty = f", {part.empty} of them empty files" if part.empty else ""
            typer.echo(f"  {part.part}: {part.found}{expected}{empty}{missing}")
        for pair in protocols.leaks(table).itertuples():
            typer.echo(f"  people in both {pair.parts}: {pair.shared} of {pair.identities}")
        left_out = pipeline.left_out(config, name)
        if len(left_out):
            typer.echo(f"  left out: {len(left_out)}")
            _list(left_out)


@app.command()
def crops(
    dataset: DataSet = "",
    preset: Preset = "demo",
    workers: Workers = 0,
    settings: Settings = None,
) -> None:
    """List a data set's videos and cut the faces out of them; goes on where it was stopped."""
    config = _config(preset, settings)
    for name in _each_dataset(dataset):
        table = pipeline.ensure_crops(config, name, workers or None)
        counts = faces.report(table)
        typer.echo(f"{name}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
        left_out = faces.left_out(table)
        if len(left_out):
            report = pipeline.crop_folder(config, name)
            typer.echo(f"  left out (all in {report.name}.report.json in {report.parent}):")
            _list(left_out)


@app.command("train")
def train_(
    preset: Preset = "demo",
    method: Method = "mcx-api",
    colorspace: ColorSpace = "rgb",
    seed: Seed = 0,
    settings: Settings = None,
    threads: Threads = 0,
    workers: Workers = 0,
    loader_workers: LoaderWorkers = 0,
    devices: Annotated[
        str, typer.Option(help="how many GPUs (or processes); auto: torchrun's, else one")
    ] = "auto",
    num_nodes: Annotated[int, typer.Option(help="machines, if not started by torchrun")] = 1,
    compiled: Annotated[
        bool, typer.Option("--compile", help="compile the step (torch.compile)")
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
    if threads:
        torch.set_num_threads(threads)
    config = _config(preset, settings, method, colorspace, seed)
    folder = pipeline.ensure_run(
        config,
        workers or None,
        loader_workers=loader_workers,
        devices=int(devices) if devices.isdigit() else devices,
        num_nodes=num_nodes,
        compile=compiled,
        checkpoint_backbone=checkpoint_backbone,
        sync_batchnorm=sync_batchnorm,
        deterministic=deterministic,
    )
    if processes.is_first():
        typer.echo(folder)


@app.command("score")
def score_(
    dataset: DataSet = "",
    preset: Preset = "demo",
    method: Method = "mcx-api",
    colorspace: ColorSpace = "rgb",
    seed: Seed = 0,
    settings: Settings = None,
    cut: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="cut the crops otherwise than the run's own"),
    ] = None,
    any_crops: Annotated[
        bool, typer.Option(help="score crops that differ from those it was trained on")
    ] = False,
    threads: Threads = 0,
    loader_workers: LoaderWorkers = 0,
) -> None:
    """Score the test videos with one run, training it first if need be."""
    if threads:
        torch.set_num_threads(threads)
    config = _config(preset, settings, method, colorspace, seed)
    other = _config(preset, [*(settings or ()), *cut], method, colorspace, seed) if cut else None
    for name in _each_dataset(dataset):
        table = pipeline.ensure_scores(
            config, name, cut=other, any_crops=any_crops, loader_workers=loader_workers
        )
        typer.echo(f"{config.run_id} on {name}: {len(table)} frames")


@app.command()
def tables(
    preset: Preset = "demo",
    output: Output = None,
    video: Annotated[
        str, typer.Option(help="a video's score from its frames': mean, median or top_k")
    ] = "mean",
) -> None:
    """Compute Tables 1 to 3 from the stored scores."""
    from mcxlib import tables as made

    folder = output or paths.results(preset) / "tables"
    for path in made.write(paths.runs(preset), folder, video):
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
    except Stopped as stopped:
        typer.echo(f"mcx: {stopped}", err=True)
        sys.exit(128 + stopped.signal if stopped.signal else 1)
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        typer.echo(f"mcx: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
