"""``python -m benchmarks``: measure, and write results.json and RESULTS.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from tqdm import tqdm

from benchmarks import cost, counted, detectors, entries, report, scaling, storage
from benchmarks.measure import Settings
from mcxlib.engine import memory
from mcxlib.files import write_json

HERE = Path(__file__).parent
STORAGE, PUBLISHED, REPORT = "storage", "published", "report"
SCALING, COUNTED = "scaling", "counted"
"""What they measure or count lies with the package, which computes with it."""
OTHERS = (STORAGE, PUBLISHED, SCALING, COUNTED, REPORT)

console = Console(stderr=True)


def _chosen(names: list[str]) -> list[str]:
    """The ratio entries asked for; without any name, all of them."""
    valid = [*entries.names(), *OTHERS]
    for name in names:
        if name not in valid:
            raise ValueError(f"unknown name {name!r}; valid: {', '.join(valid)}")
    return [name for name in entries.names() if name in names] if names else entries.names()


def _others(names: list[str], settings: Settings, output: Path | None, crops: int) -> None:
    """Measure what has a file of its own; to ``output``, if that is given."""
    folder = output or HERE
    if STORAGE in names:
        storage.run(folder / report.STORAGE, settings, crops)
    if PUBLISHED in names:
        detectors.published(folder / report.PUBLISHED, settings, console.print)
    if SCALING in names:
        typer.echo(
            scaling.run(output / scaling.FILE.name if output else scaling.FILE, settings.quick)
        )
    if COUNTED in names:
        typer.echo(counted.write(output / counted.COUNTED.name if output else counted.COUNTED))


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"entries ({', '.join(entries.ENTRIES)}), '{STORAGE}', '{PUBLISHED}' for "
            f"detectors at their publications' settings, '{SCALING}' for rates of each step, "
            f"'{COUNTED}' for operations of each row, or '{REPORT}' for the page alone; all "
            "entries without a name"
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option(help="tiny sizes: tries the code, measures nothing; needs --output")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="folder to write to")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    threads: Annotated[int, typer.Option(help="torch threads; 0 for torch's own choice")] = 0,
    crops: Annotated[int, typer.Option(help="for storage: how many crops")] = storage.CROPS,
    check: Annotated[
        bool, typer.Option(help="end with status 1 if a measured entry misses its target")
    ] = False,
) -> None:
    """Compare the project's speed with the floor and with plain implementations."""
    names = names or []
    chosen = _chosen(names)
    if quick and (output is None or output.resolve() == HERE):
        raise ValueError("--quick measures nothing worth keeping: say where to with --output")
    if crops < 1:
        raise ValueError(f"--crops must be at least 1, not {crops}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("torch sees no CUDA device here; use --device cpu")
    if threads:
        torch.set_num_threads(threads)
    if device == "cpu":
        memory.keep_freed()  # as training and scoring do: both sides of every ratio gain by it
    folder = output or HERE
    settings = Settings(torch.device(device), quick)
    results = folder / entries.RESULTS
    missed = []
    try:
        if chosen:
            console.print("measuring takes some minutes, and is best done on an idle machine")
            with tqdm(total=len(chosen), unit="entry", leave=False) as bar:
                for found in entries.run(results, chosen, settings, bar.set_description):
                    bar.update()
                    for name, result in found.items():
                        met = "met" if result.met else "missed"
                        bar.write(
                            f"{name}: {result.ratio:.3g} ({result.low:.3g} to {result.high:.3g}), "
                            f"target {result.target:.3g} {met}"
                        )
                        missed += [] if result.met else [name]
        _others(names, settings, output, crops)
    except KeyboardInterrupt:
        console.print(f"stopped; what was finished is in {results}")
        report.write(folder)
        raise typer.Exit(130) from None
    configs = dict(list(cost.paper_configs().items())[:1]) if quick else None
    write_json(folder / report.COST, cost.estimate(configs))
    typer.echo(report.write(folder))
    if check and missed:
        raise typer.Exit(1)


def run() -> None:
    """Entry point: what a user can mend is one line on standard error, not a traceback."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app(prog_name="python -m benchmarks")
    except (ValueError, RuntimeError) as error:
        typer.echo(f"benchmarks: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    run()
