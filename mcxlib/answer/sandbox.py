"""A process of its own for what reads files: what goes wrong in there ends that process only.

Decoders and parsers meet whatever somebody made. They get memory, computing time, time and space
for what they write, and no more; and the files they may open are few. That guards against files
that crash, hang or blow up a decoder; it is no guard against one that takes the decoder over, which
would then have the rights of the user.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from concurrent.futures import TimeoutError as TooLate
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pebble import ProcessExpired, ProcessPool

from mcxlib import sockets

T = TypeVar("T")

START_METHOD = "forkserver"
"""Not fork: the process that asks has torch's threads."""


class Refused(Exception):
    """A file was not read; the message says why, in one line."""


@dataclass(frozen=True)
class Limits:
    """What one task may take."""

    memory: int = 1 << 30
    """Bytes beside what the process has when it starts."""
    computing: int = 120
    """Seconds of one core."""
    seconds: float = 180.0
    written: int = 300 << 20
    """Bytes of a file."""
    tasks: int = 50
    """After which the process is replaced: a slow leak goes with it."""


class Sandbox:
    """One process, started anew whenever it has ended; use it in a ``with`` statement."""

    def __init__(self, limits: Limits = Limits()):
        self.limits = limits
        sockets.make_room()
        context = multiprocessing.get_context(START_METHOD)
        if START_METHOD == "forkserver":
            context.set_forkserver_preload(["mcxlib.answer.look"])
        self._pool = ProcessPool(
            max_workers=1,
            max_tasks=limits.tasks,
            initializer=_confine,
            initargs=[limits],
            context=context,
        )

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.stop()
        self._pool.join()

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """``function(*arguments)``, computed in the process.

        Raises:
            Refused: it failed, took more than it may, or its process died.
        """
        limits = self.limits
        task = self._pool.schedule(
            _guarded, args=[limits, function, *arguments], timeout=limits.seconds
        )
        try:
            problem, result = task.result()
        except TooLate:
            raise Refused(f"reading it took more than {limits.seconds:g} s") from None
        except (ProcessExpired, BrokenProcessPool) as error:
            raise Refused(_death(getattr(error, "exitcode", 0) or 0, limits)) from None
        if problem:
            raise Refused(problem)
        return cast(T, result)


def _confine(limits: Limits) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # Libraries that meet a broken file say so on standard error, a page of it.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    import mcxlib.answer.look  # noqa: F401  its memory is the program's, not a file's

    gc.freeze()  # what is there now is there for good, and need not be looked through each time
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, limits.written)
    _limit(resource.RLIMIT_NOFILE, 64)
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + limits.memory)


def _limit(what: int, value: int) -> None:
    _, most = resource.getrlimit(what)
    if most != resource.RLIM_INFINITY:
        value = min(value, most)
    resource.setrlimit(what, (value, value))


def _guarded(limits: Limits, function: Callable[..., T], *arguments: Any) -> tuple[str, T | None]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    computing = int(used.ru_utime + used.ru_stime) + 1 + limits.computing
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (computing, most))
    try:
        return "", function(*arguments)
    except MemoryError:
        return _memory(limits), None
    except Exception as error:
        # Whatever it is, it is this file's; an exception object need not survive the way back.
        lines = str(error).strip().splitlines()
        return lines[0][:500] if lines else type(error).__name__, None
    finally:
        gc.collect()  # decoders lie in reference cycles, with all the frames they hold


def _memory(limits: Limits) -> str:
    return f"reading it needs more than the {limits.memory / 2**30:.2g} GiB of memory it may take"


def _death(code: int, limits: Limits) -> str:
    if code == -signal.SIGXCPU:
        return f"reading it took more than {limits.computing} s of computing"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"status {code}"
    return f"the process that read it died ({name})"
