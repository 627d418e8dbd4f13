"""What a figure file carries: everything that was drawn, as numbers, and from what.

A PNG has it in a text chunk named ``mcx``, an SVG in the description of its metadata; both are JSON
that other programs can read, too. What is carried is read off the figure itself, so that it is
what was drawn and cannot differ from it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mcxlib import provenance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.PngImagePlugin import PngInfo

    from mcxlib.figures.style import Plate

FORMAT = 1
KEY = "mcx"
"""Name of the PNG's text chunk, and of the program in both."""

_MATRIX = 32 * 32
"""Numbers of a matrix that is data and no picture: more are carried by their digest alone where
pictures are."""

DIGITS = 7
"""Significant digits of the numbers; a screen has four."""


def note(plate: Plate, pictures: bool = True) -> dict[str, Any]:
    """What a plate's file carries, ready for JSON.

    Keys: program, format, code (version and commit), data (what it was measured on, as the figure
    says), synthetic, runs (as the plate has them), says (the alternative text), and panels: title,
    axes, and what is drawn (lines, points, segments, bars, images, texts). Without ``pictures``,
    an image is there by its size and digest alone.
    """
    data = plate.figure.get_supxlabel().removeprefix("Data: ")
    return {
        "program": KEY,
        "format": FORMAT,
        "code": _code(),
        "data": data,
        "synthetic": "synthetic" in data,
        "runs": list(plate.runs),
        "says": plate.alt,
        "panels": [_panel(axis, pictures) for axis in plate.figure.axes],
    }


@cache
def _code() -> dict[str, Any]:
    """Asked for once: of a session's figures it is the same."""
    return provenance.code()


def text(plate: Plate, pictures: bool = True) -> str:
    """:func:`note` as ASCII."""
    return json.dumps(note(plate, pictures), separators=(",", ":"))


def png_chunk(plate: Plate, pictures: bool = True) -> PngInfo:
    """The same as PNG files take it."""
    from PIL.PngImagePlugin import PngInfo

    chunk = PngInfo()
    chunk.add_text(KEY, text(plate, pictures))
    return chunk


def read(path: Path | str) -> dict[str, Any]:
    """What a figure file carries; keys as of :func:`note`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no PNG or SVG, a broken one, one that carries nothing of this program, or
            something of a later version of it; says which and what to do.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no figure {path}")
    if (kind := path.suffix.lower()) not in (".png", ".svg"):
        raise ValueError(f"{path.name} is no figure of this program: those end in .png or .svg")
    found = _from_png(path) if kind == ".png" else _from_svg(path)
    try:
        carried = json.loads(found or "")
        if carried["program"] != KEY:
            raise ValueError
        version = int(carried["format"])
        if version <= FORMAT and not isinstance(carried["panels"], list):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{path.name} carries no data of this program: it was made by another one, or saved "
            "anew by one that drops what it does not know; take the file that mcx wrote"
        ) from None
    if version > FORMAT:
        raise ValueError(
            f"{path.name} carries data of format {version}, and this program reads up to "
            f"{FORMAT}; update it"
        )
    return carried


def shown(carried: dict[str, Any]) -> str:
    """:func:`read` to print: JSON, a line a key, and a line a panel."""
    panels = ",\n    ".join(json.dumps(panel, ensure_ascii=False) for panel in carried["panels"])
    about = {key: value for key, value in carried.items() if key != "panels"}
    lines = [f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in about.items()]
    return "{\n" + ",\n".join([*lines, f'  "panels": [\n    {panels}\n  ]']) + "\n}"


def _from_png(path: Path) -> str | None:
    import PIL.Image

    try:
        with PIL.Image.open(path, formats=["PNG"]) as image:
            image.load()
            return image.info.get(KEY)
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(f"{path.name} cannot be read as a PNG ({error}); make it anew") from None


def _from_svg(path: Path) -> str | None:
    from xml.etree import ElementTree

    try:
        tree = ElementTree.parse(path)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # of encodings, too
        raise ValueError(f"{path.name} cannot be read as an SVG ({error}); make it anew") from None
    return next((e.text for e in tree.iter("{http://purl.org/dc/elements/1.1/}description")), None)


def _panel(axis: Axes, pictures: bool) -> dict[str, Any]:
    place = axis.get_subplotspec()
    panel: dict[str, Any] = {
        "row_column": [place.rowspan.start, place.colspan.start] if place else [],
        "title": axis.get_title(),
        "x": axis.get_xlabel(),
        "y": axis.get_ylabel(),
        "x_range": _numbers(axis.get_xlim()),
        "y_range": _numbers(axis.get_ylim()),
    }
    for name, ticks in (("x_ticks", axis.get_xticklabels()), ("y_ticks", axis.get_yticklabels())):
        named = {t.get_text(): t.get_position()[name[0] == "y"] for t in ticks if t.get_text()}
        # Only where somebody gave them names: numbers are drawn again by themselves.
        if any(not _is_number(word) for word in named):
            panel[name] = {word: _numbers([at])[0] for word, at in named.items()}
    panel["lines"] = [
        _named(line, line.get_color(), x=_numbers(line.get_xdata()), y=_numbers(line.get_ydata()))
        for line in axis.get_lines()
    ]
    panel["points"], panel["segments"] = _collections(axis)
    panel["bars"] = [
        _named(
            # A histogram labels its first bar.
            bars if not str(bars.get_label()).startswith("_") else bars[0],
            bars[0].get_facecolor(),
            x=_numbers(bar.get_x() for bar in bars),
            y=_numbers(bar.get_y() for bar in bars),
            width=_numbers(bar.get_width() for bar in bars),
            height=_numbers(bar.get_height() for bar in bars),
        )
        for bars in axis.containers
        if len(bars) and all(hasattr(bar, "get_height") for bar in bars)
    ]
    panel["images"] = [_image(image.get_array(), pictures) for image in axis.images]
    panel["texts"] = [one.get_text() for one in axis.texts]
    return {key: value for key, value in panel.items() if value not in ([], "", {})}


def _collections(axis: Axes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    # Here and not above: what draws nothing need not wait for it.
    from matplotlib.collections import LineCollection

    points, segments = [], []
    for part in axis.collections:
        if isinstance(part, LineCollection):
            ends = [_numbers(np.ravel(one).tolist()) for one in part.get_segments()]
            segments.append(_named(part, part.get_color(), ends=ends))
        elif len(places := np.ma.filled(part.get_offsets(), np.nan)):
            x, y = _numbers(places[:, 0]), _numbers(places[:, 1])
            points.append(_named(part, part.get_facecolor(), x=x, y=y))
    return points, segments


def _named(part: Any, color: Any, **values: Any) -> dict[str, Any]:
    """With its colour, and with the label of the legend, where there is one."""
    from matplotlib.colors import to_hex

    label = str(part.get_label())
    about: dict[str, Any] = {} if label.startswith("_") else {"label": label}
    if not isinstance(color, str):
        several = np.atleast_2d(np.asarray(color, float))
        color = several[0] if several.size else None
    return about | ({} if color is None else {"color": to_hex(color)}) | values


def _image(array: Any, pictures: bool) -> dict[str, Any]:
    values = np.ma.filled(array, np.nan)
    if values.ndim == 2:  # numbers that a colour map shows
        if pictures or values.size <= _MATRIX:
            return {"values": [_numbers(row) for row in values]}
        size, digest = [values.shape[1], values.shape[0]], hashlib.sha256(values.tobytes())
        return {"size": size, "sha256": digest.hexdigest()}
    if values.dtype != np.uint8:
        values = np.rint(255 * values.clip(0, 1)).astype(np.uint8)
    about = {"size": [values.shape[1], values.shape[0]]}
    if not pictures:
        return about | {"sha256": hashlib.sha256(values.tobytes()).hexdigest()}
    import PIL.Image

    buffer = io.BytesIO()
    PIL.Image.fromarray(values).save(buffer, format="png", optimize=True)
    return about | {"png": base64.b64encode(buffer.getvalue()).decode("ascii")}


def _numbers(values: Any) -> list[float | str | None]:
    """Plain numbers of :data:`DIGITS` digits; None for what is none."""
    found: list[float | str | None] = []
    for value in list(values):
        if isinstance(value, str):
            found.append(value)
        else:
            number = float(value)
            found.append(float(f"{number:.{DIGITS}g}") if np.isfinite(number) else None)
    return found


def _is_number(word: str) -> bool:
    try:
        float(word.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return False
    return True
