"""A crowd of forked processes that start at one barrier, for programs that send requests at the same time."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

PATIENCE = 120.0
"""Seconds for all processes to reach the barrier."""

Wait = Callable[[], object]
"""Wait until all processes of the crowd wait."""


def gather(run: Callable[..., Any], orders: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call `run(wait, *order)` in one process for each order; return the results in the order of the orders.

    Raises:
        BrokenProcessPool: a process ended without a result.
        BrokenBarrierError: a process did not come to the barrier.
    """
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(orders))
    # with "fork" all processes start at the first call: each has one order, since all wait for each other
    with ProcessPoolExecutor(len(orders), context, _start, (run, barrier.wait)) as pool:
        return list(pool.map(_run, orders))


_task: list[Any] = []


def _start(run: Callable[..., Any], wait: Callable[[float], int]) -> None:
    _task[:] = [run, lambda: wait(PATIENCE)]


def _run(order: tuple[Any, ...]) -> Any:
    run, wait = _task
    return run(wait, *order)
