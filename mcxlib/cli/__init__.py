"""The command ``mcx``: each step of the work by itself. ``mcx --help`` lists them.

What a command needs is imported inside it, so that a command answers at once.
"""

from __future__ import annotations

import sys

import typer

from mcxlib.cli import answer, cluster, data, options, results, studies, training, weights
from mcxlib.cli.evaluate import evaluate
from mcxlib.cli.robustness import robustness

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (
    *(data.videos, data.manifest, data.check, data.crops),
    *(training.train, training.score),
    *(results.tables, evaluate, results.claims),
    *(studies.ablation, robustness, studies.traces, studies.maps),
    *(results.figures, results.notebook),
    *(training.detectors, data.datasets),
    *(answer.detect, answer.app),
    *(cluster.plan, cluster.scaling),
):
    app.command()(command)
app.add_typer(weights.weights, name="weights")
app.add_typer(cluster.results, name="results")


def main() -> None:
    """Entry point: what a user can mend is one line on standard error, not a traceback."""
    try:
        app()
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        typer.echo(f"mcx: {options.printable(error)}", err=True)
        number = getattr(error, "signal", 0)  # of a run that a signal stopped
        sys.exit(128 + number if number else 1)
