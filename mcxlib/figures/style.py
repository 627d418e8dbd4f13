"""One quiet look for all figures, the mark that names their data, and files that never differ.

Figures are made without ``pyplot``: nothing global is changed, no window or backend is needed, and
a figure that is no longer used is freed.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from mcxlib.figures import carried
from mcxlib.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which stays distinct with any common form of colour blindness; the
# markers say the same once more, for prints in grey.
COLORS: Mapping[str, str] = MappingProxyType(
    {"real": "#0072B2", "DF": "#E69F00", "F2F": "#009E73", "FS": "#CC79A7", "NT": "#D55E00"}
)
MARKERS: Mapping[str, str] = MappingProxyType(
    {"real": "o", "DF": "s", "F2F": "^", "FS": "D", "NT": "v"}
)
_FURTHER_COLORS = ("#56B4E9", "#000000", "#F0E442")  # the rest of that palette
_FURTHER_MARKERS = ("P", "X", "*", "<", ">", "p", "h")
_LINES = ("-", "--", "-.", ":")
PAPER_COLOR = "#767676"
MEASURED_COLOR = "#0072B2"
FAKE_COLOR = "#D55E00"

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same letters on every machine
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "savefig.dpi": 220,  # of what is saved: sharp where it is enlarged or printed
}


class Look(NamedTuple):
    """How a class is drawn."""

    color: str
    marker: str
    line: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Class name -> how it is drawn, in the order of a legend.

    The paper's five always look the same and come first. Other classes follow by name: they have
    the three further colours of the palette, then all eight again with other markers and lines.
    """
    names = set(names)
    known = {name: Look(COLORS[name], MARKERS[name], "-") for name in COLORS if name in names}
    palette = (*COLORS.values(), *_FURTHER_COLORS)
    others = {}
    for number, name in enumerate(sorted(names - set(COLORS))):
        turn, place = divmod(len(COLORS) + number, len(palette))
        others[name] = Look(
            palette[place],
            _FURTHER_MARKERS[number % len(_FURTHER_MARKERS)],
            _LINES[turn % len(_LINES)],
        )
    return known | others


@contextmanager
def style() -> Iterator[None]:
    """The project's look, inside the block only; on top of matplotlib's defaults, not a user's."""
    # Here and not above: whoever asks for a table or a name need not wait for it.
    import matplotlib

    with matplotlib.rc_context():
        # Not rcdefaults: that would also change the backend of a running session.
        matplotlib.rcParams.update(
            {k: v for k, v in matplotlib.rcParamsDefault.items() if "backend" not in k}
        )
        matplotlib.rcParams.update(_SETTINGS)
        yield


class Plate(NamedTuple):
    """A figure with its alternative text; shows itself in a notebook."""

    figure: Figure
    alt: str
    """One sentence: what is seen, with the numbers."""
    runs: Sequence[Mapping[str, Any]] = ()
    """What it was made from: run_id, weights_sha256 and more of each run, where that is known."""

    def _repr_png_(self) -> bytes:
        return png(self)

    def __repr__(self) -> str:
        return self.alt


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches; call inside :func:`style`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def mark(figure: Figure, source: str) -> None:
    """Say under the axes which data the figure's numbers come from; nothing for ""."""
    if source:
        figure.supxlabel(f"Data: {source}", x=0.01, ha="left", fontsize=7, color="#555555")


def of(source: str) -> str:
    """The same for the alternative text: " (synthetic demonstration data)"."""
    return f" ({source})" if source else ""


def png(plate: Plate) -> bytes:
    """The figure as PNG, with what it carries (:mod:`mcxlib.figures.carried`): the same bytes for
    the same data and code."""
    buffer = io.BytesIO()
    with style():
        chunk = carried.png_chunk(plate)
        plate.figure.savefig(buffer, format="png", pil_kwargs={"pnginfo": chunk})
    return buffer.getvalue()


def svg(plate: Plate) -> bytes:
    """The same as SVG."""
    import matplotlib

    buffer = io.BytesIO()
    about = {"Date": None, "Creator": None, "Description": carried.text(plate)}
    # Identifiers inside the file are drawn at random otherwise.
    with style(), matplotlib.rc_context({"svg.hashsalt": "mcx"}):
        plate.figure.savefig(buffer, format="svg", metadata=about)
    return buffer.getvalue()


def save(plate: Plate, path: Path | str) -> Path:
    """Write a plate as a PNG or SVG file, whole or not at all; returns the path.

    Raises:
        ValueError: a file name that does not end in ``.png`` or ``.svg``.
    """
    path = Path(path)
    kinds = {".png": png, ".svg": svg}
    if path.suffix.lower() not in kinds:
        raise ValueError(
            "figures are saved as PNG or SVG; give a name that ends in .png or .svg, not "
            f"{path.name}"
        )
    content = kinds[path.suffix.lower()](plate)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path
