"""What a training run has to tell: losses, learning rates, speed, validation; and its event files.

Losses stay on the device until :meth:`History.flush`, so that no step waits for the one before.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mcxlib.engine.processes import Crew

TAGS = {
    "lr": "learning_rate/head",
    "lr_backbone": "learning_rate/backbone",
    "images_per_second": "speed/images_per_second",
    "self_minus_other": "gates/self_minus_other",
    "val_auc": "validation/auc",
    "val_bosc": "validation/bosc",
}
"""Column of the history -> tag in the event files; every other column is a loss."""

_COUNTS = {"step", "epoch", "selected"}


class Diverged(RuntimeError):
    """The loss became NaN or infinite; the message says when and what to change."""


class History:
    """Rows, one a step; ``rows`` is what a stored table is made of.

    Args:
        rows: of an earlier part of the run.
        crew: whose losses are averaged.
        events: folder for TensorBoard event files, or None; only rank 0 writes. What an
            interrupted run wrote there about steps that are done again is marked as void.
        name: begins an error's message.
        advice: ends it.
    """

    def __init__(
        self,
        rows: list[dict[str, float]],
        crew: Crew,
        events: Path | None = None,
        name: str = "",
        advice: str = "",
    ) -> None:
        self.rows = rows
        self._crew = crew
        self._name, self._advice = name, advice
        self._waiting: list[dict[str, float]] = []
        self._losses: list[Tensor] = []
        self._names: tuple[str, ...] = ()
        self._images = 0
        self._clock = time.monotonic()
        self._events: Any = None
        if events is not None and crew.rank == 0:
            # Imported here: it takes a while, and only training needs it.
            from torch.utils.tensorboard import SummaryWriter

            if not rows:
                shutil.rmtree(events, ignore_errors=True)
            self._events = SummaryWriter(str(events), purge_step=len(rows) + 1 if rows else None)

    def add(self, row: dict[str, float], losses: Mapping[str, Tensor], images: int) -> None:
        """Note a step; ``losses``, scalars by name, "total" among them, are not looked at yet.
        ``images``: of this process."""
        self._waiting.append(row)
        self._names = tuple(losses)
        self._losses.append(torch.stack([part.detach().float() for part in losses.values()]))
        self._images += images * self._crew.size

    def restart_clock(self) -> None:
        """Leave what was done since the last flush out of the speed."""
        self._clock = time.monotonic()

    def flush(self) -> None:
        """Fetch the losses of the steps since the last call, of all processes.

        Raises:
            Diverged: a loss is not finite, on any process; all raise.
        """
        if not self._waiting:
            return
        losses = self._crew.mean(torch.stack(self._losses).cpu()).tolist()
        speed = self._images / max(time.monotonic() - self._clock, 1e-9)
        rows = self._waiting
        self._waiting, self._losses, self._images = [], [], 0
        for row, values in zip(rows, losses, strict=True):
            parts = dict(zip(self._names, values, strict=True))
            total = parts["total"]
            if not math.isfinite(total):
                raise Diverged(
                    f"{self._name}the loss is {total} at step {int(row['step'])} (epoch "
                    f"{int(row['epoch'])}). {self._advice}"
                )
            row |= parts
            row["images_per_second"] = speed
            self.rows.append(row)
            self._write(row)
        self._clock = time.monotonic()

    def validated(self, **values: float) -> None:
        """Add the validation's metrics to the last step's row."""
        self.rows[-1] |= values
        self._write({"step": self.rows[-1]["step"]} | values)

    def _write(self, row: dict[str, float]) -> None:
        if self._events is not None:
            for column, value in row.items():
                if column not in _COUNTS:
                    tag = TAGS.get(column, f"loss/{column}")
                    self._events.add_scalar(tag, value, int(row["step"]))

    def write_events(self) -> None:
        """Bring the event files up to date on disk."""
        if self._events is not None:
            self._events.flush()

    def close(self) -> None:
        """Close the event files."""
        if self._events is not None:
            self._events.close()
