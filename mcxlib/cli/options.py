"""Options that several commands have, and what they make of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from mcxlib.config import RunConfig
    from mcxlib.settings.data import DataConfig

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


def overrides(settings: list[str] | None) -> dict[str, Any]:
    """What ``--set NAME=VALUE`` asks for, as text. ValueError for one without ``=``."""
    pairs = [setting.partition("=") for setting in settings or ()]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise ValueError(f"--set takes NAME=VALUE, not {wrong[0]!r}")
    return {name: value for name, _, value in pairs}


def data(
    preset: str, videos: str = "", settings: list[str] | None = None, **more: Any
) -> DataConfig:
    """The data settings of a preset; what ``more`` names is the first to give way."""
    from mcxlib.config import load_data

    named = {"videos": videos} if videos else {}
    return load_data(preset, **(named | more | overrides(settings)))


def config(
    preset: str,
    detector: str = "mcx-api",
    colorspace: str = "",
    seed: int = 0,
    videos: str = "",
    train_on: str = "",
    settings: list[str] | None = None,
) -> RunConfig:
    """The configuration of a run, as the options of ``mcx train`` name it."""
    from mcxlib.config import load

    named: dict[str, Any] = {"detector": detector, "seed": seed}
    given = {"colorspace": colorspace, "videos": videos, "train_on": train_on}
    named |= {name: value for name, value in given.items() if value}
    return load(preset, **(named | overrides(settings)))


def each_dataset(name: str) -> tuple[str, ...]:
    """The data set that was named, or the four of the paper."""
    from mcxlib import pipeline

    return (name,) if name else pipeline.ALL_DATASETS


def printable(text: object) -> str:
    """As a terminal takes it: of what somebody else named, control characters are written out."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "replace").decode()
        for c in str(text)
    )


def echo_rows(table: pd.DataFrame, shown: int = 10) -> None:
    """Print the rows of a table that has one line each to say, at most ``shown``."""
    for row in table.head(shown).itertuples(index=False):
        typer.echo(printable("    " + ": ".join(str(v) for v in row if v != "")))
    if len(table) > shown:
        typer.echo(f"    ... and {len(table) - shown} more")


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    from mcxlib import files

    return files.digest(path)


def write_done(path: Path | None, digests: dict[str, Any]) -> None:
    """For ``--done``, if it was given."""
    if path is not None:
        from mcxlib.files import write_json

        write_json(path, digests)


def use_threads(threads: int) -> None:
    """For ``--threads``; 0 leaves it to torch."""
    if threads:
        import torch

        torch.set_num_threads(threads)


def content(table: pd.DataFrame) -> int:
    """A digest of what a table says, wherever it is stored."""
    import pandas as pd

    return int(pd.util.hash_pandas_object(table, index=False).sum())


def home(preset: str, videos: str) -> str:
    """The name of the folder, in runs/ and results/, that these options work in."""
    usual = "distributed" if preset == "paper" else "rendered"
    return preset if videos in ("", usual) else f"{preset}-{videos}"
