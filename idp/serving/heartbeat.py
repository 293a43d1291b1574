"""How late the event loop is."""

import asyncio
import math
from collections.abc import Callable

_SECONDS = 0.1
"""Between two beats."""


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
