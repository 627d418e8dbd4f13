"""Many tasks that know nothing of one another, one after the other or in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

Task = TypeVar("Task", bound=tuple)
Result = TypeVar("Result")


def each(
    function: Callable[..., Result], tasks: Sequence[Task], workers: int, *more: Any
) -> Iterator[tuple[Task, Result]]:
    """(task, what ``function(*task, *more)`` returned) as they are done; with one worker in order.

    Processes begin anew (spawn). Where one fails, or the caller is stopped, what has not begun is
    dropped. A task that computes with torch calls :func:`one_thread` first.
    """
    if workers < 2 or len(tasks) < 2:
        yield from ((task, function(*task, *more)) for task in tasks)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        waiting = {pool.submit(function, *task, *more): task for task in tasks}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def one_thread() -> None:
    """In one of several processes, one thread of torch: as many processes with all cores each would
    mostly wait for one another. In the main process nothing changes.

    The environment is too late for this: OpenMP may have read it already.
    """
    if parent_process() is not None:
        import torch

        torch.set_num_threads(1)
