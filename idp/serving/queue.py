"""Requests that wait for one of the threads of a worker, first come, first served, and how long that will take."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple

import structlog

from idp.metrics.catalogue import REQUEST_WAIT_SECONDS, REQUESTS_WAITING

_REMEMBERED = 32
"""How many works the mean durations are about: the newest counts as one of so many."""
_ROUNDS = 4
"""How often the event loop turns to a request: at its beginning, for its body, with its result, for its sending."""
_FRESH_SECONDS = 1.0
"""How long the measured pace of the event loop is believed without a new result."""

log = structlog.get_logger()


class Late(NamedTuple):
    """What a thread does instead of a work that has waited for more than `seconds`."""

    seconds: float
    instead: Callable[[], Any]


class _Task(NamedTuple):
    """Work for a thread, and where its result is awaited."""

    work: Callable[[], Any]
    late: Late | None
    result: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop
    since: float
    group: str


class Queue:
    """`threads` threads, and what waits for them. It is made in the worker's process."""

    def __init__(self, threads: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._threads, self._clock = threads, clock
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._open: Counter[str] = Counter()
        self._all_open = 0
        self._mean = self._round = self._measured = 0.0
        for _ in range(threads):
            threading.Thread(target=self._work, name="request", daemon=True).start()

    async def run(self, work: Callable[[], Any], late: Late | None = None, *, group: str = "") -> Any:
        """Return the result of work that may wait for the database, or of `late`; None if it raised an error.

        Args:
            work: what a thread does.
            late: what it does instead, if the work has waited for too long.
            group: with which works it counts in `wait_of` until it has its result; empty if with none.
        """
        loop = asyncio.get_running_loop()
        awaited: asyncio.Future[Any] = loop.create_future()
        REQUESTS_WAITING.change(1)
        self._open[group] += 1
        self._all_open += 1
        self._tasks.put(_Task(work, late, awaited, loop, self._clock(), group))
        result, done = await awaited
        self._measured = self._clock()
        self._round += (self._measured - done - self._round) / _REMEMBERED
        return result

    @property
    def waiting(self) -> int:
        """How many works no thread has taken yet."""
        return self._tasks.qsize()

    @property
    def expected_wait(self) -> float:
        """The seconds that what arrives now will wait: for a thread (Little's law), and for the event loop.

        The loop shares the interpreter with the threads. If all of them compute, most waiting is for the loop.
        """
        is_fresh = self._clock() - self._measured < _FRESH_SECONDS
        return self.waiting * self._mean / self._threads + (_ROUNDS * self._round if is_fresh else 0.0)

    def wait_of(self, group: str) -> float:
        """Return the part of the expected wait that the works of a group cause which have no result yet, in seconds."""
        works = self._open.get(group, 0)
        return self.expected_wait * works / self._all_open if works else 0.0

    def _work(self) -> None:
        while True:
            self._do(self._tasks.get())

    def _do(self, task: _Task) -> None:
        """Do the work. No reference to it stays: granian closes a connection when nobody can read from it."""
        REQUESTS_WAITING.change(-1)
        taken = self._clock()
        REQUEST_WAIT_SECONDS.observe(taken - task.since)
        is_late = task.late is not None and taken - task.since > task.late.seconds
        try:
            result = task.late.instead() if task.late and is_late else task.work()
        except BaseException:  # whatever it is, the thread has other requests to answer
            log.exception("work for a request failed in the server")
            result = None
        if not is_late:  # threads may overwrite each other's change, which does no harm to a mean
            self._mean += (self._clock() - taken - self._mean) / _REMEMBERED
        task.loop.call_soon_threadsafe(self._end, task.group, task.result, (result, self._clock()))

    def _end(self, group: str, awaited: "asyncio.Future[Any]", result: Any) -> None:
        """Note a result, in the event loop."""
        self._all_open -= 1
        self._open[group] -= 1
        if not self._open[group]:
            del self._open[group]
        if not awaited.done():
            awaited.set_result(result)
