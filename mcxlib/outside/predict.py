"""Scores of videos by somebody's ``predict(path) -> float``, each within a time limit.

The file runs in a process of its own, one video after the other. A video on which it fails, takes
too long or takes its process down has no score, and the reason is kept: never 0.5, which would look
like an answer.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as TooLate
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from pebble import ProcessExpired, ProcessPool

from mcxlib.outside import child
from mcxlib.outside.kept import Kept

START_SECONDS = 300.0
"""How long importing the file may take: weights are read and libraries loaded."""

REMEDY = "A model is a Python file with a function predict(path) -> float, a score in [0, 1]"


class Predicted(NamedTuple):
    """What became of one video."""

    score: float | None
    reason: str
    """Why there is no score; "" if there is one."""


def predictions(
    model: Path,
    videos: Sequence[Path],
    seconds: float = 60.0,
    progress: Callable[[int, int], None] | None = None,
    kept: Kept | None = None,
    names: Sequence[str] = (),
) -> list[Predicted]:
    """A score or a reason for each video, in their order.

    Args:
        model: a Python file with a function ``predict(path) -> float``; the path is a string, of a
            video file or a folder of frames.
        videos: what it is asked about.
        seconds: for one video, at most.
        progress: called with (videos done, videos).
        kept: scores of an earlier call, which are not asked for again, and to which those of this
            one are added as they come. A video without a score is asked about again.
        names: of each video, what ``kept`` knows it by.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a Python file, or importing it fails; no function ``predict``; it fails on
            every video.
    """
    model = Path(model)
    check(model, seconds)
    file, found = str(model.resolve()), []
    with _Process() as process:
        problem, answer = process.ask(START_SECONDS, child.load, file)
        if problem or answer:
            raise ValueError(f"{model} cannot be used: {problem or answer}. {REMEDY}")
        for number, video in enumerate(videos, 1):
            if kept and names[number - 1] in kept.scores:
                found.append(Predicted(kept.scores[names[number - 1]], ""))
            else:
                found.append(_asked(process, file, video, seconds))
                if kept and (score := found[-1].score) is not None:
                    kept.add(names[number - 1], score)
            if progress:
                progress(number, len(videos))
    if found and all(one.score is None for one in found):
        raise ValueError(
            f"{model} gave no score for any of {len(found)} videos; the first, {videos[0]}: "
            f"{found[0].reason}"
        )
    return found


def check(model: Path, seconds: float) -> None:
    """Refuse what cannot be asked, before anything is done; errors as :func:`predictions`."""
    if not model.is_file():
        raise FileNotFoundError(f"no file {model}. {REMEDY}")
    if model.suffix != ".py":
        raise ValueError(f"{model} does not end in .py. {REMEDY}")
    if not seconds > 0:
        raise ValueError(f"--seconds must be above 0, not {seconds:g}")


def _asked(process: _Process, file: str, video: Path, seconds: float) -> Predicted:
    if not process.running:  # a new one has to load the file again, in its own time
        process.ask(START_SECONDS, child.load, file)
    problem, answer = process.ask(seconds, child.predict, file, str(video))
    reason, score = (problem, None) if answer is None else answer
    return Predicted(None if reason else score, reason)


class _Process:
    """A process that answers one question after the other, and a new one after one that died."""

    def __init__(self) -> None:
        self._pool: ProcessPool | None = None

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def running(self) -> bool:
        return self._pool is not None

    def ask(self, limit: float, function: Callable, *given: str) -> tuple[str, Any]:
        """(why there is no answer or "", the answer or None), within ``limit`` seconds."""
        if self._pool is None:
            # Not fork: the file may load libraries whose threads a fork would lose.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPool(max_workers=1, initializer=child.quiet, context=context)
        try:
            return "", self._pool.schedule(function, args=list(given), timeout=limit).result()
        except TooLate:
            problem = f"it took more than {limit:g} s"
        except (ProcessExpired, BrokenProcessPool) as error:
            problem = _death(getattr(error, "exitcode", 0) or 0)
        self._end()
        return problem, None

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None


def _death(code: int) -> str:
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"status {code}"
    return f"its process died ({name})"
