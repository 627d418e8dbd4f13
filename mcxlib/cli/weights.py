"""``mcx weights``: other people's in, one's own out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

weights = typer.Typer(no_args_is_help=True, help="Weights: other people's in, one's own out.")


@weights.command("import")
def import_(
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


@weights.command("list")
def list_() -> None:
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


@weights.command("export")
def export_(
    source: Annotated[str, typer.Argument(help="a run's folder, a .safetensors, or demo")],
    output: Annotated[Path, typer.Argument(help="a file ending in .onnx or .pt2")],
    to: Annotated[str, typer.Option(help="onnx, or torch (an exported program)")] = "onnx",
) -> None:
    """Write a network for other programs, colour conversion and card included."""
    typer.echo(f"writing {output}", err=True)
    from mcxlib.weights import find
    from mcxlib.weights.export import export

    about = export(find(source), to, output)
    typer.echo(output)
    size, opset = about["input"]["size"], f", opset {about['opset']}" if to == "onnx" else ""
    typer.echo(f"input: images (B, 3, {size}, {size}), RGB in [0, 1]{opset}", err=True)
