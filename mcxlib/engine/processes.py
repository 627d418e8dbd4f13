"""Several processes that train one run: agreeing, exchanging, stopping together.

With one process every function here does what it says at no cost.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins.environments import LightningEnvironment
from torch import Tensor, nn

from mcxlib.detectors.distributed import gather, world

__all__ = ["Crew", "Signals", "expected", "gather", "is_first", "launch", "world"]


def launch(
    precision: str,
    accelerator: str = "auto",
    devices: int | str = "auto",
    num_nodes: int = 1,
    strategy: str = "auto",
) -> Fabric:
    """Start Fabric: by torchrun with the processes it made, else with ``devices`` (auto: one).

    Raises:
        ValueError: for a strategy other than ``"auto"`` and ``"ddp"``.
    """
    if strategy not in ("auto", "ddp"):
        raise ValueError(
            f"strategy must be 'auto' or 'ddp', not {strategy!r}: the network is small, and its "
            "states are written whole"
        )
    if devices == "auto":
        if dist.is_available() and dist.is_torchelastic_launched():
            devices = int(os.environ["LOCAL_WORLD_SIZE"])
            num_nodes = int(os.environ["WORLD_SIZE"]) // devices
        else:
            devices = 1  # a plain call starts no further processes unless it is told to
    gpu = torch.accelerator.is_available()
    plugins: list[Any] = []
    if devices == 1 and num_nodes == 1 and expected() == 1:
        # Else Fabric takes the tasks and nodes of a SLURM job around this for its own.
        plugins = [LightningEnvironment()]
    wanted: Any = precision
    if precision == "16-mixed" and (accelerator == "cpu" or (accelerator == "auto" and not gpu)):
        # Fabric would take bf16 in its place, which is another arithmetic than was asked for.
        plugins, wanted = [*plugins, MixedPrecision("16-mixed", "cpu")], None
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        precision=wanted,
        plugins=plugins,
    )
    fabric.launch()
    return fabric


def expected() -> int:
    """How many processes torchrun started together with this one; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the first of those that torchrun or Fabric started together.

    Known from the start, before they are connected, for what one of them alone may do then.
    """
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


class Crew:
    """The processes of one run. What they exchange here goes from host to host and never makes
    one wait for its device."""

    GO_ON, SAVE, STOP, FAIL = range(4)

    def __init__(self) -> None:
        self.rank, self.size = world()
        self._group: Any = dist.new_group(backend="gloo") if self.size > 1 else None

    def agree(self, wish: int) -> int:
        """The strongest wish of any process; all get the same answer."""
        if self.size == 1:
            return wish
        strongest = torch.tensor(wish)
        dist.all_reduce(strongest, dist.ReduceOp.MAX, group=self._group)
        return int(strongest)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes; NaN if it is NaN anywhere."""
        if self.size == 1:
            return values
        total = values.to("cpu", torch.float64, copy=True)
        dist.all_reduce(total, group=self._group)
        return total / self.size

    def share(self, value: Any) -> Any:
        """Rank 0's ``value``, for all."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def collect(self, value: Any) -> list[Any]:
        """Every process's ``value``, in the order of the ranks, for all."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self._group)
        return values

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process rank 0's buffers: BatchNorm's running statistics are each
        process's own until the next step takes them from rank 0."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)


class Signals:
    """While it is entered, Ctrl-C and SIGTERM are noted in ``received`` and end nothing.

    A second Ctrl-C ends the process at once, unless torchrun started it: torchrun passes on the
    Ctrl-C that its processes have already got. Only a main thread can receive signals; entered in
    another one, this does nothing.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received and number == signal.SIGINT and not dist.is_torchelastic_launched():
            raise KeyboardInterrupt
        self.received = number
