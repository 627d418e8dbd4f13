"""Commands for what is trained on: videos, manifests, crops."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mcxlib.cli import options
from mcxlib.cli.options import DataSet, Done, Preset, Settings, Videos, Workers


def videos(
    preset: Preset = "demo", workers: Workers = 0, videos: Videos = "", done: Done = None
) -> None:
    """Render the synthetic videos (or check that the real ones are where they should be)."""
    from mcxlib import pipeline

    folder = pipeline.ensure_videos(options.data(preset, videos), workers or None)
    typer.echo(folder)
    marker = folder / "demo.json"
    options.write_done(
        done, {"videos": options.digest(marker) if marker.is_file() else str(folder)}
    )


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

    config = options.data(preset, videos, settings)
    for name in options.each_dataset(dataset):
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
            options.echo_rows(equal.loc[equal["parts"] == pair.parts, ["first", "second"]])
    if len(found.left_out):
        typer.echo(f"  left out: {len(found.left_out)}")
        options.echo_rows(found.left_out)


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

    config = options.data(preset, videos, settings)
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


def crops(
    dataset: DataSet = "",
    preset: Preset = "demo",
    detector: Annotated[
        str, typer.Option(help="as this detector's own settings have them; clips have their own")
    ] = "",
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

    if detector:
        config = options.config(preset, detector, videos=videos, settings=settings).data
    else:
        config = options.data(preset, videos, settings)
    part = _shard(shard)
    digests: dict[str, Any] = {}
    for name in options.each_dataset(dataset):
        table = pipeline.ensure_crops(config, name, workers or None, part, compress)
        counts = report.report(table)
        typer.echo(f"{name}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
        left_out = report.left_out(table)
        folder = pipeline.crop_folder(config, name)
        if len(left_out):
            typer.echo(f"  left out (all in {folder.name}.report.json in {folder.parent}):")
            options.echo_rows(left_out)
        own = folder.with_name(f"{folder.name}.parquet")
        digests[name] = str(options.content(table)) if part else options.digest(own)
    options.write_done(done, digests)


def _shard(words: str) -> tuple[int, int] | None:
    if not words:
        return None
    number, _, of = words.partition("/")
    if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise ValueError(f"--shard is a number of how many, such as 2/8, not {words!r}")
    return int(number), int(of)


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
