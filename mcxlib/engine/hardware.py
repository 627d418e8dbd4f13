"""On what a run is trained: nothing here decides what the method is.

Several processes, half precision on CUDA, SyncBatchNorm and ``deterministic`` are **experimental**
on GPUs: they are tested with two CPU processes and in bf16 as far as a CPU can, and no GPU has run
them yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

STATE_SECONDS = 600.0
"""Between two training states within an epoch; one is always written at an epoch's end."""


@dataclass(frozen=True)
class Hardware:
    """Devices and how they are used."""

    accelerator: str = "auto"
    """``"auto"``, ``"cpu"``, ``"cuda"`` or another of Fabric's."""
    devices: int | str = "auto"
    """Processes on each node; ``"auto"``: those that torchrun started, or one. More than one
    without torchrun starts the calling program again for each of the others."""
    num_nodes: int = 1
    """Machines, if not started by torchrun."""
    strategy: str = "auto"
    """``"auto"`` or ``"ddp"``."""
    loader_workers: int = 0
    """Processes that read ahead, for each training process."""
    compile: bool = False
    """Compile the backbone with ``torch.compile``, for the sizes it meets."""
    checkpoint_backbone: bool = False
    """See :func:`mcxlib.detectors.backbones.checkpoint_blocks`."""
    sync_batchnorm: bool = False
    """Normalise over the batches of all processes; on GPUs only."""
    deterministic: bool = False
    """Ask torch for algorithms that give the same bits each time, at some cost on GPUs; it warns
    of an operation that has none. CPUs give the same bits anyway."""
    state_seconds: float = STATE_SECONDS
    """Between two training states within an epoch."""

    def __post_init__(self) -> None:
        if self.compile and self.checkpoint_backbone:
            raise ValueError(
                "compile and checkpoint_backbone exclude each other: the compiler chooses by "
                "itself what to compute twice; leave one of them off"
            )

    @property
    def several(self) -> bool:
        """Whether more than one process is asked for here (torchrun's come on top)."""
        return self.devices not in (1, "auto")


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Deterministic algorithms inside the block, if wanted; the settings before it after it."""
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.deterministic = before[2]
