"""Requests that wait for one of the threads of a worker, first come, first served."""

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any, NamedTuple

import structlog

from idp.metrics.catalogue import REQUEST_WAIT_SECONDS, REQUESTS_WAITING

log = structlog.get_logger()


class Late(NamedTuple):
    """What a thread does instead of a work that has waited for more than `seconds`."""

    seconds: float
    instead: Callable[[], Any]


class _Task(NamedTuple):
    work: Callable[[], Any]
    late: Late | None
    result: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop
    since: float
    groups: tuple[str, ...]


class Queue:
    """`threads` threads, and what waits for them. It is made in the worker's process."""

    def __init__(self, threads: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._waiting: Counter[str] = Counter()
        self._lock = threading.Lock()
        for _ in range(threads):
            threading.Thread(target=self._work, name="request", daemon=True).start()

    async def run(self, work: Callable[[], Any], late: Late | None = None, groups: tuple[str, ...] = ()) -> Any:
        """Return the result of work that a thread does, or of `late`; None if it raised an error.

        The work counts in each of its groups (`has_room`) until a thread takes it.
        """
        loop = asyncio.get_running_loop()
        awaited: asyncio.Future[Any] = loop.create_future()
        REQUESTS_WAITING.change(1)
        with self._lock:
            self._waiting.update(groups)
        self._tasks.put(_Task(work, late, awaited, loop, self._clock(), groups))
        return await awaited

    @property
    def waiting(self) -> int:
        """How many works no thread has taken yet."""
        return self._tasks.qsize()

    def has_room(self, shares: Mapping[str, int]) -> bool:
        """Return whether fewer works of each group wait than its share."""
        return all(self._waiting[group] < most for group, most in shares.items())

    def _work(self) -> None:
        while True:
            self._do(self._tasks.get())

    def _do(self, task: _Task) -> None:
        """Do the work. No reference to it stays: granian closes a connection when nobody can read from it."""
        REQUESTS_WAITING.change(-1)
        with self._lock:
            self._waiting -= Counter(task.groups)  # which drops a group without works
        waited = self._clock() - task.since
        REQUEST_WAIT_SECONDS.observe(waited)
        try:
            result = task.late.instead() if task.late and waited > task.late.seconds else task.work()
        except BaseException:  # whatever it is, the thread has other requests to answer
            log.exception("work for a request failed in the server")
            result = None
        task.loop.call_soon_threadsafe(_give, task.result, result)


def _give(awaited: "asyncio.Future[Any]", result: Any) -> None:
    if not awaited.done():
        awaited.set_result(result)


_SECONDS = 0.1  # between two beats


class Heartbeat:
    """A call that is due every 100 ms in an event loop. Whatever holds the loop back makes it late."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lag, self._due = 0.0, math.inf

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Beat in `loop` until it ends."""
        self._due = self._clock()
        self._beat(loop)

    @property
    def lag(self) -> float:
        """The seconds by which the last beat was late, or by which the next one is already."""
        return max(self._lag, self._clock() - self._due)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        moment = self._clock()
        self._lag, self._due = max(0.0, moment - self._due), moment + _SECONDS
        loop.call_later(_SECONDS, self._beat, loop)
