"""Commands about one's own video: ``mcx detect``, ``mcx app``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcxlib.cli import options
from mcxlib.cli.options import Threads

MaxFrames = Annotated[
    int | None,
    typer.Option(min=1, max=256, help="frames of a file at most", show_default="32, or four clips"),
]


def detect(
    files: Annotated[
        list[Path], typer.Argument(help="videos, images, folders of frames, or folders of those")
    ],
    weights: Annotated[
        str, typer.Option(help="a .safetensors file or a run's folder; or demo, by that name only")
    ] = "",
    every: Annotated[
        int, typer.Option(min=0, help="take every n-th frame; 0: spread over the file")
    ] = 0,
    max_frames: MaxFrames = None,
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
        options.use_threads(threads)
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
        typer.echo(f"mcx: {options.printable(error)}", err=True)
        code = command.WRONG_USE
    raise typer.Exit(code)


def app(
    weights: Annotated[
        str, typer.Option(help="a .safetensors file or a run's folder; or demo, by that name only")
    ] = "",
    port: Annotated[int, typer.Option(help="0: the first free one from 7860 on")] = 0,
    max_size: Annotated[str, typer.Option(help="of a dropped file")] = "500mb",
    show: Annotated[bool, typer.Option("--show", help="open it in the browser")] = False,
    max_frames: MaxFrames = None,
    threads: Threads = 0,
) -> None:
    """Serve a page on this machine alone: drop a video, read the report. Needs the extra app."""
    from mcxlib.answer import words

    if not weights:
        raise ValueError(words.NO_WEIGHTS)
    options.use_threads(threads)
    from mcxlib.answer import app as page
    from mcxlib.answer.judge import Judge, Options
    from mcxlib.weights import find

    page.available()
    with Judge(find(weights), Options(max_frames=max_frames)) as judges:
        page.serve(judges, port or None, max_size, show, typer.echo)
