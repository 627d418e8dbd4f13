"""The command ``mcx``: each step of the work by itself. ``mcx --help`` lists them.

What a command needs is imported inside it, so that a command answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mcxlib import cli_cluster
from mcxlib.cli_robustness import robustness
from mcxlib.outside.command import evaluate

if TYPE_CHECKING:
    import pandas as pd

    from mcxlib.config import RunConfig
    from mcxlib.settings.data import DataConfig

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Preset = Annotated[str, typer.Option(help="hyper-parameters: demo, test or paper")]
Videos = Annotated[
    str, typer.Option(help="rendered or distributed ($MCX_VIDEOS); by default as the preset says")
]
DetectorName = Annotated[
    str, typer.Option("--detector", "--method", help="which detector; mcx detectors lists them")
]
ColorSpace = Annotated[str, typer.Option(help="rgb, hsv, lab, ycbcr, joined by +")]
Seed = Annotated[int, typer.Option(help="of weights, batches and augmentation")]
DataSet = Annotated[
    str,
    typer.Option(
        help="a data set by name, a folder of your own with real/ and fake/, or a table (CSV, "
        "Parquet, metadata.json) with paths and labels; by default the four of the paper"
    ),
]
TrainOn = Annotated[str, typer.Option(help="the data set to train on; by default the paper's")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="any other setting of a run; repeatable"),
]
Workers = Annotated[int, typer.Option(help="processes; 0 for one a core")]
Output = Annotated[Path | None, typer.Option(help="folder; by default in results/")]
LoaderWorkers = Annotated[int, typer.Option(help="processes that read crops ahead")]
Threads = Annotated[int, typer.Option(help="torch threads; 0 for torch's own choice")]
Retrain = Annotated[
    str, typer.Option(help="make a finished run anew: never, changed (what decides it), all")
]
Done = Annotated[
    Path | None, typer.Option(help="write here, at the end, digests of what is there now")
]


def _overrides(settings: list[str] | None) -> dict[str, Any]:
    pairs = [setting.partition("=") for setting in settings or ()]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise ValueError(f"--set takes NAME=VALUE, not {wrong[0]!r}")
    return {name: value for name, _, value in pairs}


def _data(
    preset: str, videos: str = "", settings: list[str] | None = None, **more: Any
) -> DataConfig:
    from mcxlib.config import load_data

    named = {"videos": videos} if videos else {}
    return load_data(preset, **(named | more | _overrides(settings)))


def _config(
    preset: str,
    detector: str = "mcx-api",
    colorspace: str = "",
    seed: int = 0,
    videos: str = "",
    train_on: str = "",
    settings: list[str] | None = None,
) -> RunConfig:
    from mcxlib.config import load

    named: dict[str, Any] = {"detector": detector, "seed": seed}
    given = {"colorspace": colorspace, "videos": videos, "train_on": train_on}
    named |= {name: value for name, value in given.items() if value}
    return load(preset, **(named | _overrides(settings)))


def _each_dataset(name: str) -> tuple[str, ...]:
    from mcxlib import pipeline

    return (name,) if name else pipeline.ALL_DATASETS


def _list(table: pd.DataFrame, shown: int = 10) -> None:
    """Print the rows of a table that has one line each to say, at most ``shown``."""
    for row in table.head(shown).itertuples(index=False):
        typer.echo("    " + ": ".join(str(v) for v in row if v != ""))
    if len(table) > shown:
        typer.echo(f"    ... and {len(table) - shown} more")


@app.command()
def videos(
    preset: Preset = "demo", workers: Workers = 0, videos: Videos = "", done: Done = None
) -> None:
    """Render the synthetic videos (or check that the real ones are where they should be)."""
    from mcxlib import pipeline

    folder = pipeline.ensure_videos(_data(preset, videos), workers or None)
    typer.echo(folder)
    marker = folder / "demo.json"
    _write_done(done, {"videos": _digest(marker) if marker.is_file() else str(folder)})


@app.command()
def manifest(
    dataset: DataSet = "",
    preset: Preset = "demo",
    videos: Videos = "",
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
    typer.echo(f"reading the data sets of preset {preset}", err=True)
    from mcxlib import pipeline

    config = _data(preset, videos, settings)
    for name in _each_dataset(dataset):
        found = pipeline.make_manifest(
            config,
            name,
            listed=use_list,
            follow_links=follow_links,
            deepfakebench=deepfakebench,
        )
        _show_manifest(found)


def _show_manifest(found: Any) -> None:
    from mcxlib.data import datasets

    table = found.manifest
    name = table["dataset"].iloc[0]
    counts = table.loc[table["split"] != "", "split"].value_counts()
    used = ", ".join(f"{n} {split}" for split, n in counts.items()) or "none used"
    typer.echo(f"{name}: {len(table)} videos; protocol {found.protocol}: {used}")
    for part in found.parts.itertuples():
        expected = f" of {part.expected} published" if part.expected else ""
        missing = "" if part.present or part.optional else "  <- MISSING"
        empty = f", {part.empty} of them empty files" if part.empty else ""
        beside = f", {part.ignored} other files or folders passed over" if part.ignored else ""
        typer.echo(f"  {part.part}: {part.found}{expected}{empty}{beside}{missing}")
    for line in found.warnings():
        typer.echo(f"  {line}")
    for pair in datasets.leaks(table).itertuples():
        shared = f"{pair.shared} of {pair.identities}" if pair.identities else "unknown"
        typer.echo(f"  people in both {pair.parts}: {shared}")
        if pair.copies:
            typer.echo(f"  equal files in both {pair.parts}: {pair.copies}")
            equal = datasets.copies(table)
            _list(equal.loc[equal["parts"] == pair.parts, ["first", "second"]])
    if len(found.left_out):
        typer.echo(f"  left out: {len(found.left_out)}")
        _list(found.left_out)


@app.command()
def check(
    dataset: DataSet,
    preset: Preset = "demo",
    videos: Videos = "",
    workers: Workers = 0,
    settings: Settings = None,
) -> None:
    """See what tells a data set's classes apart besides faces: size, codec, compression, light.

    Looks at a sample of its videos, before anything is trained; keeps the result.
    """
    from mcxlib import pipeline

    config = _data(preset, videos, settings)
    found = pipeline.ensure_confounds(config, dataset, workers or None)
    _show_confounds(found)
    typer.echo(f"all of it: {pipeline.confounds_file(pipeline.plan(config, dataset))}", err=True)


def _show_confounds(found: dict[str, Any]) -> None:
    classes: dict[str, dict[str, str]] = {}
    for row in found["classes"]:
        said = f"{row['most']} ({row['share']:.0%})" if "most" in row else "-"
        if "median" in row:
            said = f"{row['median']:.4g} ({row['low']:.4g} to {row['high']:.4g})"
        classes.setdefault(f"{row['class']}, {row['videos']} videos", {})[row["feature"]] = said
    for name, values in classes.items():
        typer.echo(f"{name}: median (10 to 90 %), or commonest kind")
        for feature, said in values.items():
            typer.echo(f"  {feature}: {said}")
    typer.echo("AUC of each by itself (above 0.5: larger in fakes), interval of 95 %")
    for row in found["features"]:
        said = f"{row['auc']:.2f} ({row['low']:.2f} to {row['high']:.2f})" if "auc" in row else "-"
        typer.echo(f"  {row['feature']}: {said}, known of {row['known']} videos")
    if not found["faces"]:
        typer.echo("  face_size: not known before mcx crops")
    if found["unreadable"]:
        typer.echo(f"  not readable: {len(found['unreadable'])}")
        for name in found["unreadable"][:10]:
            typer.echo(f"    {name}")
    typer.echo(f"{found['videos']} of {found['of']} videos were looked at")
    typer.echo(found["sentence"])


@app.command()
def crops(
    dataset: DataSet = "",
    preset: Preset = "demo",
    videos: Videos = "",
    workers: Workers = 0,
    settings: Settings = None,
    shard: Annotated[
        str,
        typer.Option(
            metavar="N/OF",
            help="2/8: the second eighth of the videos, so that eight jobs share the work; a call "
            "without it joins them",
        ),
    ] = "",
    compress: Annotated[
        bool,
        typer.Option(
            help="store the crops in about half the room, without loss; reading them takes longer"
        ),
    ] = False,
    done: Done = None,
) -> None:
    """List a data set's videos and cut the faces out of them; goes on where it was stopped."""
    from mcxlib import pipeline
    from mcxlib.data.faces import report

    config = _data(preset, videos, settings)
    part = _shard(shard)
    digests: dict[str, Any] = {}
    for name in _each_dataset(dataset):
        table = pipeline.ensure_crops(config, name, workers or None, part, compress)
        counts = report.report(table)
        typer.echo(f"{name}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
        left_out = report.left_out(table)
        folder = pipeline.crop_folder(config, name)
        if len(left_out):
            typer.echo(f"  left out (all in {folder.name}.report.json in {folder.parent}):")
            _list(left_out)
        own = folder.with_name(f"{folder.name}.parquet")
        digests[name] = str(_content(table)) if part else _digest(own)
    _write_done(done, digests)


def _shard(words: str) -> tuple[int, int] | None:
    if not words:
        return None
    number, _, of = words.partition("/")
    if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise ValueError(f"--shard is a number of how many, such as 2/8, not {words!r}")
    return int(number), int(of)


def _digest(path: Path) -> str:
    from mcxlib.files import digest

    return digest(path)


def _write_done(path: Path | None, digests: dict[str, Any]) -> None:
    if path is not None:
        from mcxlib.files import write_json

        write_json(path, digests)


@app.command("train")
def train_(
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
    config = _config(preset, detector, colorspace, seed, videos, train_on, settings)
    _use_threads(threads)
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


def _use_threads(threads: int) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)


@app.command("score")
def score_(
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
    config = _config(preset, detector, colorspace, seed, videos, train_on, settings)
    _use_threads(threads)
    from mcxlib import pipeline

    other = None
    if cut:
        own = {k: v for k, v in config.data.model_dump().items() if k != "preset"}
        other = _data(preset, **(own | _overrides(cut)))
    digests = {}
    for name in _each_dataset(dataset):
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
        digests[name] = str(_content(scored))
        typer.echo(f"{config.run_id} on {name}: {len(scored)} frames")
        if dataset:
            for line in _report(scored):
                typer.echo(f"  {line}")
    _write_done(done, digests | {"weights": _digest(pipeline.run_folder(config).weights)})


def _content(table: pd.DataFrame) -> int:
    import pandas as pd

    return int(pd.util.hash_pandas_object(table, index=False).sum())


def _report(scored: pd.DataFrame) -> list[str]:
    """What can be said of one data set's scores, in lines."""
    from mcxlib.tables.report import lines

    return lines(scored)


@app.command()
def tables(
    preset: Preset = "demo",
    videos: Videos = "",
    output: Output = None,
    video: Annotated[
        str,
        typer.Option(
            help="a video's score from its frames', for all rows: mean, median, top_k, confident; "
            "if not given, as each row's publication does it"
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
    home = _home(preset, videos)
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


def _home(preset: str, videos: str) -> str:
    usual = "distributed" if preset == "paper" else "rendered"
    return preset if videos in ("", usual) else f"{preset}-{videos}"


app.command()(evaluate)


@app.command()
def claims(preset: Preset = "demo", videos: Videos = "", output: Output = None) -> None:
    """Judge the paper's claims: by its own tables, and by what was measured here."""
    typer.echo(f"claims, preset {preset}", err=True)
    from mcxlib import claims as judged
    from mcxlib.settings import paths

    config = _config(preset, videos=videos)
    folder = output or paths.results(_home(preset, videos)) / "tables"
    for path in judged.write(judged.material(config), folder):
        typer.echo(path)


@app.command()
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
    _use_threads(threads)
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
    _write_done(done, {"results": str(_content(found))})


app.command()(robustness)


@app.command()
def traces(
    preset: Preset = "demo",
    grid: Annotated[str, typer.Option(help="tiny, small or full; by default as the preset's")] = "",
    threads: Threads = 0,
    workers: Workers = 1,
    done: Done = None,
) -> None:
    """Which trace is seen in which colour space? One trace at a time, on drawn faces."""
    _use_threads(threads)
    import os

    from mcxlib.experiments import traces as study

    chosen = study.chosen(preset, grid)
    found = study.make(preset, chosen, workers or os.cpu_count() or 1, typer.echo)
    digests = {"results": str(_content(found))}
    if chosen.name == "full":
        from mcxlib.experiments import trace_nets

        digests["networks"] = str(_content(trace_nets.make(preset, told=typer.echo)))
    _write_done(done, digests)


@app.command()
def maps(preset: Preset = "demo", videos: Videos = "", done: Done = None) -> None:
    """Measure activation maps against what was altered, and what compression alone does."""
    from mcxlib import notebook as shown
    from mcxlib.experiments import cam_truth

    found = cam_truth.make(shown.pair(_config(preset, videos=videos)))
    if len(found.truth):
        typer.echo(cam_truth.report(found.truth))
    else:
        typer.echo("what was altered is not known of these videos")
    digests = {"truth": found.truth, "reaction": found.reaction}
    _write_done(done, {name: str(_content(table)) for name, table in digests.items()})


@app.command()
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

    config = _config(preset, videos=videos)
    folder = output or paths.results(_home(preset, videos)) / "figures"
    for path in write_figures(shown.pair(config), shown.source(config), folder):
        typer.echo(path)


@app.command()
def notebook(
    name: Annotated[str, typer.Argument(help="00_method, 01_data, 02_train, ... 09_your_video")],
    output: Annotated[Path | None, typer.Option(help="where the executed notebook goes")] = None,
    preset: Preset = "demo",
) -> None:
    """Run one notebook with papermill, for the book."""
    from mcxlib.notebook import execute

    typer.echo(execute(name, output, preset))


@app.command()
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
        where = f" (Tables {', '.join(map(str, entry['tables']))})" if entry["tables"] else ""
        typer.echo(f"{entry['name']}: {rows}{where}")
        published = entry["published_parameters"]
        stated = f", published {published:,} for {entry['outputs']} outputs" if published else ""
        typer.echo(
            f"  {entry['parameters']:,} parameters here for {entry['outputs']} outputs{stated}; "
            f"input {entry['input_size']} px; reference: {entry['licence'] or 'none'}"
        )
        if entry["deviations"]:
            typer.echo(f"  deviates: {entry['deviations']}")


@app.command()
def datasets(
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, with everything known")] = False,
) -> None:
    """List the data sets whose layout is known: parts, protocols, what was not confirmed."""
    from mcxlib.data import datasets as known

    entries = known.catalogue()
    if as_json:
        import json

        typer.echo(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    for entry in entries:
        videos = sum(part["videos"] for part in entry["parts"] if not part["optional"])
        published = f", at least {videos} videos published" if videos else ""
        paper = " (in the paper)" if entry["paper"] else ""
        typer.echo(f"{entry['name']}{paper}: {len(entry['parts'])} parts{published}")
        typer.echo(f"  looked for in MCX_VIDEOS as {entry['folder']}")
        for name, words in entry["protocols"].items():
            typer.echo(f"  protocol {name}: {words}")
        if entry["unconfirmed"]:
            typer.echo(f"  not confirmed: {entry['unconfirmed']}")
    typer.echo("one's own: a folder with real/ and fake/, or a labelled table, by its path")


weights_app = typer.Typer(no_args_is_help=True, help="Weights: other people's in, one's own out.")
app.add_typer(weights_app, name="weights")


@weights_app.command("import")
def import_weights_(
    file: Annotated[Path, typer.Argument(help="as published: .pth, .tar, .h5, .safetensors")],
    layout: Annotated[
        str, typer.Option("--as", help="whose layout it is; by default by the names in it")
    ] = "",
    output: Annotated[Path | None, typer.Option(help="by default beside the file")] = None,
) -> None:
    """Make a file of weights of this project out of a published one; runs no code in it."""
    typer.echo(f"reading {file}", err=True)
    from mcxlib.weights.importing import import_weights

    made = import_weights(file, layout, output)
    typer.echo(made.path)
    typer.echo(f"{made.layout.what}; what is not known of it stands in the card", err=True)
    if made.dropped:
        dropped = ", ".join(made.dropped)
        typer.echo(f"dropped, since no output depends on them: {dropped}", err=True)
    if not made.layout.detector:
        typer.echo(f"a backbone: mcx train --set pretrained='{made.path}'", err=True)


@weights_app.command("list")
def list_weights() -> None:
    """List published weights that can be imported: where, licence, trained on what."""
    from mcxlib.weights.known import table

    for row in table():
        typer.echo(f"{row.layout}: {row.file}" + (f" ({row.note})" if row.note else ""))
        typer.echo(f"  {row.published}")
        typer.echo(
            f"  trained on {row.trained_on}; licence: {row.licence}; bytes: {row.bytes}; "
            f"SHA-256: {row.sha256}"
        )
        file = row.file if " " not in row.file else "WEIGHTS.pth"
        typer.echo(f"  mcx weights import {file}")


@weights_app.command("export")
def export_weights(
    source: Annotated[str, typer.Argument(help="a run's folder, a .safetensors, or demo")],
    output: Annotated[Path, typer.Argument(help="a file ending in .onnx or .pt2")],
    to: Annotated[str, typer.Option(help="onnx, or torch (an exported program)")] = "onnx",
) -> None:
    """Write a network for other programs, colour conversion and card included."""
    typer.echo(f"writing {output}", err=True)
    from mcxlib import weights
    from mcxlib.weights.export import export

    about = export(weights.find(source), to, output)
    typer.echo(output)
    size, opset = about["input"]["size"], f", opset {about['opset']}" if to == "onnx" else ""
    typer.echo(f"input: images (B, 3, {size}, {size}), RGB in [0, 1]{opset}", err=True)


@app.command("detect")
def detect_(
    files: Annotated[
        list[Path], typer.Argument(help="videos, images, folders of frames, or folders of those")
    ],
    weights: Annotated[
        str, typer.Option(help="a .safetensors file or a run's folder; or demo, by that name only")
    ] = "",
    every: Annotated[
        int, typer.Option(min=0, help="take every n-th frame; 0: spread over the file")
    ] = 0,
    max_frames: Annotated[int, typer.Option(min=1, max=256, help="frames of a file at most")] = 32,
    people: Annotated[
        str, typer.Option(help="all, or largest: the largest face of each frame only")
    ] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, with everything")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="a table")] = False,
    output: Annotated[
        Path | None, typer.Option(help="also add answers to this file; goes on from it")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="write a page about it: NAME.html, or a folder for one page a file"),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(help="fp32, bf16, or auto: bf16 where it is faster and changes no verdict"),
    ] = "fp32",
    threads: Threads = 0,
) -> None:
    """Say of videos and images whether they look manipulated, and how sure that is.

    Exit code: 0 all judged, 1 something could not be judged, 2 wrong use.
    """
    from mcxlib.answer import command

    try:
        if as_json and as_csv:
            raise command.WrongUse("--json and --csv exclude each other")
        if people not in ("all", "largest"):
            raise command.WrongUse(f"--people is all or largest, not {people!r}")
        if precision not in ("auto", "fp32", "bf16"):
            raise command.WrongUse(f"--precision is auto, fp32 or bf16, not {precision!r}")
        _use_threads(threads)
        form: command.Form = "json" if as_json else "csv" if as_csv else "text"
        request = command.Request(
            files, weights, every, max_frames, people, form, output, precision
        )
        also = None
        if report is not None:
            from mcxlib.answer.report import writer

            also = writer(report, command.expanded(files))
        code = command.run(request, also)
    except command.WrongUse as error:
        typer.echo(f"mcx: {error}", err=True)
        code = command.WRONG_USE
    raise typer.Exit(code)


@app.command("app")
def app_(
    weights: Annotated[
        str, typer.Option(help="a .safetensors file or a run's folder; or demo, by that name only")
    ] = "",
    port: Annotated[int, typer.Option(help="0: the first free one from 7860 on")] = 0,
    max_size: Annotated[str, typer.Option(help="of a dropped file")] = "500mb",
    show: Annotated[bool, typer.Option("--show", help="open it in the browser")] = False,
    max_frames: Annotated[int, typer.Option(min=1, max=256, help="frames of a file at most")] = 32,
    threads: Threads = 0,
) -> None:
    """Serve a page on this machine alone: drop a video, read the report. Needs the extra app."""
    from mcxlib.answer import words

    if not weights:
        raise ValueError(words.NO_WEIGHTS)
    _use_threads(threads)
    from mcxlib.answer import app as page
    from mcxlib.answer.judge import Judge, Options
    from mcxlib.weights import find

    page.available()
    with Judge(find(weights), Options(max_frames=max_frames)) as judges:
        page.serve(judges, port or None, max_size, show, typer.echo)


cli_cluster.register(app)


def main() -> None:
    """Entry point: what a user can mend is one line on standard error, not a traceback."""
    try:
        app()
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        typer.echo(f"mcx: {error}", err=True)
        number = getattr(error, "signal", 0)  # of a run that a signal stopped
        sys.exit(128 + number if number else 1)


if __name__ == "__main__":
    main()
