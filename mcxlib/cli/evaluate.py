"""``mcx evaluate``: a detector that is not ours, by its scores or by a file that makes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcxlib.cli import options
from mcxlib.cli.options import Output, Preset, Videos

if TYPE_CHECKING:
    import pandas as pd

    from mcxlib.outside.scores import Source
    from mcxlib.settings.data import DataConfig

_COLUMNS = ("what", "dataset", "reason")


def evaluate(
    scores: Annotated[
        Path | None, typer.Option(help="CSV or Parquet: path or video_id, and score in [0, 1]")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="a Python file with a function predict(path) -> float")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="on what; repeatable; by default the four of the paper that are there"),
    ] = None,
    trained_on: Annotated[
        str, typer.Option(help="the data set it was trained on: the others are held out")
    ] = "FaceForensics++",
    name: Annotated[str, typer.Option(help="what to call it; by default as the file")] = "",
    preset: Preset = "demo",
    videos: Videos = "",
    seen: Annotated[
        Path | None, typer.Option(help="CSV or Parquet: path or video_id of what it was trained on")
    ] = None,
    seconds: Annotated[float, typer.Option(help="for one video, of --model")] = 60.0,
    again: Annotated[
        bool,
        typer.Option("--again", help="ask --model about all videos, those of earlier calls too"),
    ] = False,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="pass over scores of videos not known here")
    ] = False,
    output: Output = None,
) -> None:
    """Evaluate anybody's detector: the tables, intervals, figures and leaks of the others."""
    if (scores is None) == (model is None):
        raise ValueError("give either --scores FILE or --model FILE.py")
    typer.echo(f"evaluating {scores or model}", err=True)
    import pandas as pd

    from mcxlib.outside import report as reports
    from mcxlib.pipeline.data import home_of, name_of
    from mcxlib.settings import paths

    data = options.data(preset, videos)
    trained_on = name_of(trained_on)
    sources, absent = _sources(data, dataset or [])
    given = Path(scores or model or "")
    if scores is not None:
        scored, lost = _of_table(scores, sources, skip_unknown)
    else:
        store = paths.results(home_of(data)) / "evaluate/.predictions"
        scored, lost = _of_model(given, sources, trained_on, seconds, store, again)
    known = None
    if seen is not None:
        known, gone = _seen(seen, sources)
        lost = pd.concat([lost, gone], ignore_index=True)
    manifests = {n: s.manifest for n, s in sources.items()}
    made = reports.make(name or given.stem, scored, manifests, trained_on, lost, seen=known)
    for line in [*reports.lines(made), *absent]:
        typer.echo(line)
    folder = output or paths.results(home_of(data)) / "evaluate" / made.name
    for path in reports.write(made, folder):
        typer.echo(path, err=True)


def _sources(data: DataConfig, names: list[str]) -> tuple[dict[str, Source], list[str]]:
    """The data sets to evaluate on, and a line for each of the paper's that is not there.

    Raises:
        FileNotFoundError: one that was named is not there, or none of the paper's is.
    """
    from mcxlib import pipeline
    from mcxlib.outside.scores import Source

    found, absent = {}, []
    for name in names or pipeline.ALL_DATASETS:
        try:
            manifest = pipeline.ensure_manifest(data, name)
            at = pipeline.plan(data, name)
            found[at.name] = Source(manifest, at.root)
        except FileNotFoundError as error:
            if names:
                raise
            absent.append(f"{name}: not evaluated, {error}")
    if not found:
        raise FileNotFoundError("; ".join(absent))
    return found, absent


def _of_table(
    file: Path, sources: dict[str, Source], skip_unknown: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Manifest rows with their scores, and what was passed over."""
    import pandas as pd

    from mcxlib.outside import scores as tables

    table = tables.read(file)
    found = tables.match(table, sources, file.parent, skip_unknown=skip_unknown)
    lost = [(name, "", "no video known here") for name in found.unknown]
    return found.videos, pd.DataFrame(lost, columns=list(_COLUMNS), dtype=str)


def _seen(file: Path, sources: dict[str, Source]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same of a list of what a detector was trained on; it may name other data sets' videos."""
    import pandas as pd

    from mcxlib.outside import scores as tables

    found = tables.match(tables.read_names(file), sources, file.parent, skip_unknown=True)
    lost = [(name, "", "trained on, no video known here") for name in found.unknown]
    return found.videos, pd.DataFrame(lost, columns=list(_COLUMNS), dtype=str)


def _of_model(
    file: Path,
    sources: dict[str, Source],
    trained_on: str,
    seconds: float,
    store: Path,
    again: bool,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same of a model, asked about all test videos and the validation videos that choose; what
    an earlier call was told is in ``store``."""
    import pandas as pd

    from mcxlib.outside.kept import Kept, key
    from mcxlib.outside.predict import check, predictions
    from mcxlib.pipeline.common import alone, progress

    asked = []
    for name, (manifest, root) in sources.items():
        wanted = (manifest["split"] == "test") | (
            (manifest["split"] == "val") & (name == trained_on)
        )
        part = manifest[wanted]
        asked.append(part.assign(place=[str(root / path) for path in part["path"]]))
    rows = pd.concat(asked, ignore_index=True)
    places = [Path(place) for place in rows.pop("place")]
    check(file, seconds)
    names = [
        key(row.dataset, row.video_id, row.content, place)
        for row, place in zip(rows.itertuples(), places, strict=True)
    ]
    with alone(store / file.stem, f"predictions of {file.name}"):
        kept = Kept(store, file, again=again)
        if known := sum(name in kept.scores for name in names):
            typer.echo(
                f"{known} of {len(names)} videos were scored by an earlier call with this file "
                f"(--again asks anew): {kept.path}",
                err=True,
            )
        with progress(f"{file.name} on {len(places)} videos") as show:
            found = predictions(file, places, seconds, show, kept, names)
    failed = [one.score is None for one in found]
    lost = rows.loc[failed, ["video_id", "dataset"]].set_axis(["what", "dataset"], axis=1)
    lost["reason"] = [one.reason for one in found if one.score is None]
    judged = rows.assign(fake_score=[one.score for one in found])[[not f for f in failed]]
    return judged.astype({"fake_score": float}).reset_index(drop=True), lost
