"""What an interrupted training goes on from: one record, kept twice, read without running code."""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mcxlib.files import digest, replacing, visible, write_text

KEPT = 2
"""Training states kept; an older one serves when the newest is damaged."""


@dataclass
class Progress:
    """How far a run is, and all that its next step depends on."""

    epoch: int = 0
    batch: int = 0
    """Of the epoch: the next one to train on."""
    step: int = 0
    best: float = float("-inf")
    """The selection metric's highest value so far."""
    seconds: float = 0.0
    """Spent, in all sessions together."""
    flop: float = 0.0
    """Floating-point operations of all processes' steps and validations, in all sessions; NaN
    where they were not counted."""
    history: list[dict[str, float]] = field(default_factory=list)
    model: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    precision: dict[str, Any] = field(default_factory=dict)
    recipe: str = ""
    """Digest of what the run is made by; a state of another recipe is not gone on with."""
    engine: dict[str, Any] = field(default_factory=dict)
    """Processes and what else has to stay as it was begun."""

    def save(self, folder: Path) -> Path:
        """Write it as the state of its step. Errors as :func:`save_state`."""
        return save_state(folder, self.step, {f: getattr(self, f) for f in self.__annotations__})

    @classmethod
    def latest(cls, folder: Path) -> Progress | None:
        """The newest undamaged state in ``folder`` that this code can read, or None."""
        state = latest_state(folder)
        # States of before the count go on uncounted.
        state = state and {"flop": math.nan} | state
        if state is None or state.keys() != cls.__annotations__.keys():
            return None
        return cls(**state)


def save_state(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write a training state as ``step-NNNNNNNN.pt``; keep the newest ``KEPT``.

    The checksum is written first: a state without a matching one was cut short. States of later
    steps are removed: they are the damaged ones that a fallback left behind.

    Raises:
        OutOfSpace: the disk is full; the states before this one are kept.
    """
    folder = Path(folder)
    path = _state_path(folder, step)
    content = io.BytesIO()
    torch.save(state, content)
    with replacing(path) as temporary:
        # Written by Python, whose errors say why, unlike those of torch's own writer.
        temporary.write_bytes(content.getbuffer())
        write_text(path.with_suffix(".sha256"), hashlib.sha256(content.getbuffer()).hexdigest())
    states = visible(folder, "step-*.pt")
    here = states.index(path)
    for old in states[: max(0, here + 1 - KEPT)] + states[here + 1 :]:
        old.unlink()
        old.with_suffix(".sha256").unlink(missing_ok=True)
    return path


def latest_state(folder: Path) -> dict[str, Any] | None:
    """The newest undamaged training state, or None; warns about each damaged one it passes."""
    for path in reversed(visible(folder, "step-*.pt")):
        checksum = path.with_suffix(".sha256")
        if checksum.is_file() and checksum.read_text().strip() == digest(path):
            return torch.load(path, map_location="cpu", weights_only=True)
        warnings.warn(f"{path} is damaged; going back to the state before it", stacklevel=2)
    return None


def _state_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pt"
