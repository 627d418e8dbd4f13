"""One file -> an answer: the faces that are found in it, joined into people, each judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mcxlib.answer.schema import Answer
from mcxlib.weights import Loaded


@dataclass(frozen=True)
class Options:
    """What of a file is looked at."""

    every: int = 0
    """Take frames 0, ``every``, 2 ``every``, ...; 0: spread over the whole file."""
    max_frames: int = 32
    people: Literal["all", "largest"] = "all"
    """"largest" looks at the largest face of each frame only, which is faster."""


@dataclass(frozen=True)
class Judged:
    """An answer, and what it was made from."""

    answer: Answer
    crops: dict[int, np.ndarray]
    """By the person's number: uint8 RGB (n, S, S, 3), in the order of ``Person.faces``."""
    network: Loaded


def judge(path: Path, weights: Path, options: Options = Options()) -> Judged:  # noqa: B008
    """Judge one video, image or folder of frames with the weights in a file.

    What cannot be judged is said in the answer, and raises nothing.

    Raises:
        FileNotFoundError, ValueError: the weights cannot be read; the options are out of range.
    """
    raise NotImplementedError
