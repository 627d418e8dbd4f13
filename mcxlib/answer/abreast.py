"""Several items at a time, each by one thread of torch's, and what comes out in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def abreast(
    function: Callable[[T], R], items: Iterable[T], threads: int
) -> Iterator[tuple[T, Future[R]]]:
    """Each item with ``function`` of it, done; an error is raised where its result is asked for.

    At most ``threads`` items are held, and the one that was given out last. A small network gains
    little from several threads at work on one picture; on one picture each, it takes them all.
    With one thread, everything happens in the thread that asks, with torch's threads as they are.
    """
    if threads < 2:
        for item in items:
            done: Future[R] = Future()
            try:
                done.set_result(function(item))
            except Exception as error:
                done.set_exception(error)
            yield item, done
        return
    waiting: deque[tuple[T, Future[R]]] = deque()
    # The number of threads is a setting of the thread that sets it.
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            del item  # else it would be held while the next one is read
            if len(waiting) == threads:
                yield _first(waiting)
        while waiting:
            yield _first(waiting)


def _first(waiting: deque[tuple[T, Future[R]]]) -> tuple[T, Future[R]]:
    waiting[0][1].exception()  # waits
    return waiting.popleft()
