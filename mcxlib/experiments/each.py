"""Many tasks that know nothing of one another, one after the other or in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, TypeVar

Task = TypeVar("Task", bound=tuple)
Result = TypeVar("Result")


def each(
    function: Callable[..., Result], tasks: Sequence[Task], workers: int, *more: Any
) -> Iterator[tuple[Task, Result]]:
    """(task, what ``function(*task, *more)`` returned) as they are done; with one worker in order.

    Processes begin anew (spawn), with one thread each: as many with all cores each would mostly
    wait for one another. Where one fails, or the caller is stopped, what has not begun is dropped.
    """
    if workers < 2 or len(tasks) < 2:
        yield from ((task, function(*task, *more)) for task in tasks)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        waiting = {pool.submit(_in_one_thread, function, *task, *more): task for task in tasks}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _in_one_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """The environment is too late for this, and may say otherwise: libraries read it when they are
    loaded, and ``function`` has come with its module."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)  # of NumPy's and SciPy's BLAS too
    return function(*arguments)
