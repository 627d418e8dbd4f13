"""Which runs the tables are made of. Plain names, so that the workflow can read them quickly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COLORSPACES = (
    "rgb",
    "hsv",
    "lab",
    "ycbcr",
    "rgb+hsv",
    "rgb+lab",
    "rgb+ycbcr",
    "rgb+hsv+lab",
    "rgb+lab+ycbcr",
)
"""The paper's nine: six in Table 1, eight in Table 3, and the YCbCr of section 4.2.1."""


@dataclass(frozen=True)
class Row:
    """A row of the tables: a detector and, where it has that setting, its colour spaces."""

    detector: str
    colorspace: str = ""

    @property
    def settings(self) -> dict[str, str]:
        """As :func:`mcxlib.config.load` takes them."""
        given = {"colorspace": self.colorspace} if self.colorspace else {}
        return {"detector": self.detector} | given

    @property
    def key(self) -> tuple[str, str]:
        """Detector and the colour spaces its network sees."""
        return self.detector, self.colorspace or "rgb"

    def run_id(self, seed: int) -> str:
        """The name of its run's folder."""
        return f"{self.detector}_{self.key[1]}_seed{seed}"

    def options(self, seed: int) -> str:
        """The same as options of ``mcx``."""
        space = f" --colorspace {self.colorspace}" if self.colorspace else ""
        return f"--detector {self.detector}{space} --seed {seed}"


_PAPER = (
    *(Row("mcx-api", spec) for spec in COLORSPACES),
    Row("api-net"),
    Row("xception"),
    Row("supcon"),
    Row("mesonet"),
    Row("bayar"),
    Row("cozzolino"),
)

CLIPS = ("ftcn", "lipforensics")
"""Detectors of clips. The study of robustness leaves them out: it cuts single frames anew."""

_LARGER = tuple(
    Row(name)
    for name in (
        *("efficientnet-b4", "f3-net", "dcl", "madd", "m2tr", "seferbekov"),
        *CLIPS,
    )
)

ROWS = {
    "paper": _PAPER + _LARGER,
    "demo": _PAPER,
    # For the tests: one of each kind; the tables then also show rows that were not run.
    "test": (Row("mcx-api", "rgb"), Row("mcx-api", "rgb+ycbcr"), Row("api-net"), Row("mesonet")),
}
"""preset -> its rows, in the order of the tables."""


ABLATION_SEEDS = {"paper": (0, 1, 2), "demo": (0, 1, 2), "test": (0,)}
"""preset -> seeds of the study of what pairing is worth."""

_HARMED = (("mcx-api", "rgb"), ("xception", "rgb"), ("api-net", "rgb"))
"""The method, the plain classifier with its backbone, the architecture it builds on."""

FULL = {"demo": _LARGER}
"""preset -> the rows that only `make full` adds: they would not fit into a quarter of an hour."""


def rows(preset: str, full: bool = False) -> tuple[Row, ...]:
    """The rows of a preset; with ``full``, those too that take longer."""
    return ROWS[preset] + (FULL.get(preset, ()) if full else ())


def seeds(config: Mapping[str, Any]) -> list[int]:
    """The seeds that a workflow's configuration trains every row with; more with ``full``."""
    return sorted({*config["seeds"], *(config["full_seeds"] if config["full"] else ())})


def harmed(preset: str, full: bool = False) -> tuple[Row, ...]:
    """The rows that the study of robustness looks at: a few, or with ``full`` all there are."""
    return tuple(
        row
        for row in rows(preset, full)
        if row.key in _HARMED or (full and row.detector not in CLIPS)
    )
