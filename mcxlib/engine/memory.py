"""Memory of a process: kept between steps, and explained when it does not suffice."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

AUTOCAST = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Precision setting -> the type that autocast computes in, if any."""


class OutOfMemory(RuntimeError):
    """The device has too little memory; the message says for what, and what to change."""


@cache
def keep_freed() -> bool:
    """Let this process keep the memory it frees, for what it allocates next; whether it could.

    A network's activations are large, and by default the C library returns each to the system
    and asks for it again a moment later, every page of it to be cleared: on a CPU that takes up
    to a third of a step. Only glibc has these settings; elsewhere nothing changes.
    """
    mmap_max, trim_threshold, top_pad = -4, -1, -2  # names of malloc.h, M_MMAP_MAX and so on
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    wanted = ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 64 * 2**20))
    return all(mallopt(*setting) == 1 for setting in wanted)


@contextmanager
def explained(message: str) -> Iterator[None]:
    """Turn a device's or the host's "out of memory" into :class:`OutOfMemory` with ``message``."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise OutOfMemory(message) from error
        raise
