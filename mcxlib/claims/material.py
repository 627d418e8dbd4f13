"""What the measurements have at hand, and the words of their verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from mcxlib import paper
from mcxlib.evaluate import means
from mcxlib.paper.statements import Finding, Number

if TYPE_CHECKING:
    from mcxlib.config import RunConfig

SAME = "same way"
OTHER = "other way"
OPEN = "undecided"
NOT_HERE = "not testable here"


@dataclass(frozen=True)
class Material:
    """Tables, and the runs behind them."""

    config: RunConfig
    """Names the preset and the videos; of MCX-API(RGB)."""
    closed: pd.DataFrame = field(repr=False)
    """Of :func:`mcxlib.tables.closed_set`, with intervals."""
    cross: pd.DataFrame = field(repr=False)
    """Of :func:`mcxlib.tables.cross_dataset`, with intervals."""
    seeds: Sequence[int] = ()
    """Of the study of pairing; none if it was not made."""

    def column(self, test_set: str) -> pd.DataFrame:
        """The measured cells of a column of Table 1 or 3, by the row's key, runs with settings of
        their own left out. Table 2 is the average of Table 1."""
        name = {"overall": "Average"}.get(test_set, test_set)
        table = self.cross if name in paper.CROSS_DATASETS else self.closed
        rows = table[(table["test_set"] == name) & (table["seeds"] > 0) & (table["variant"] == "")]
        rows = rows[rows["bosc_measured"].notna()]
        return rows.assign(key=[paper.row_key(label) for label in rows["label"]]).set_index("key")


class Mean(NamedTuple):
    """A mean over videos with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.value:.2f} (no interval)"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    def number(self, what: str, of: str = "") -> Number:
        """The same as a number of a finding."""
        return Number(what, self.value, self.low, self.high, of=of)

    def against(self, value: float) -> str:
        """The verdict on "more than ``value``"."""
        if np.isnan(self.low):
            return OPEN
        return SAME if self.low > value else OTHER if self.high < value else OPEN


def over_videos(
    values: Sequence[float] | np.ndarray,
    videos: Sequence[str] | np.ndarray,
    within: tuple[float, float] = (0, 1),
) -> Mean:
    """:func:`mcxlib.evaluate.means.over_videos`, with words for a verdict."""
    return Mean(*means.over_videos(values, videos, within)[:3])


DIFFERENCE = (-1.0, 1.0)
"""Where the difference of two shares can lie."""


def not_here(said: str, *numbers: Number) -> Finding:
    """What was not, or cannot be, measured on these data, and why."""
    return Finding(NOT_HERE, said, numbers)
