"""The closed loop: some clients, each sending its next request as soon as it has the last answer."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Self

from bench.driver.relying_party import WrongAnswerError
from bench.driver.scenarios import Scenario

_MOST_ERRORS = 200
"""The number of errors after which the clients stop."""


@dataclass
class Errors:
    """The wrong answers of a run; a run with any of them is no result."""

    count: int = 0
    first: str = ""
    too_many: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, message: str) -> None:
        """Count an error."""
        self.count += 1
        self.first = self.first or message
        if self.count >= _MOST_ERRORS:
            self.too_many.set()

    async def guard(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Run `work` and return whether it succeeded; count an error, and continue."""
        try:
            await work()
        except WrongAnswerError as error:
            self.add(str(error))
            return False
        except (OSError, EOFError, ValueError, LookupError) as error:
            self.add(f"{type(error).__name__}: {error}")
            return False
        return True


@dataclass(frozen=True)
class Flows:
    """The flows that ended in a window.

    Attributes:
        seconds: length of the window.
        durations: of each flow, in seconds.
    """

    seconds: float
    durations: Sequence[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Flows per second."""
        return len(self.durations) / self.seconds

    def percentile(self, percent: int) -> float:
        """Return a percentile of the durations in milliseconds, a multiple of five; 0 without flows."""
        if len(self.durations) < 2:  # noqa: PLR2004 - quantiles need two values
            return sum(self.durations) * 1000
        return statistics.quantiles(self.durations, n=20)[percent // 5 - 1] * 1000


class ClosedLoop:
    """Clients that repeat their flows during an `async with` block; a flow in progress at its end is completed."""

    def __init__(self, clients: Sequence[Scenario], errors: Errors) -> None:
        self._clients = clients
        self._errors = errors
        self._durations: list[float] = []
        self._stopped = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Prepare each client, and start those that are ready."""
        ready = await asyncio.gather(*(self._errors.guard(client.begin) for client in self._clients))
        clients = (client for client, is_ready in zip(self._clients, ready, strict=True) if is_ready)
        self._tasks = [asyncio.create_task(self._repeat(client)) for client in clients]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the clients."""
        self._stopped = True
        await asyncio.gather(*self._tasks)

    async def window(self, seconds: float) -> Flows:
        """Return the flows that end within the next `seconds`; the window is shorter after too many errors."""
        self._durations = []
        began = monotonic()
        while not self._errors.too_many.is_set() and (left := began + seconds - monotonic()) > 0:
            with suppress(TimeoutError):  # the loop may wake a moment early
                await asyncio.wait_for(self._errors.too_many.wait(), left)
        return Flows(monotonic() - began, self._durations.copy())

    async def _repeat(self, client: Scenario) -> None:
        while not self._stopped and not self._errors.too_many.is_set():
            began = monotonic()
            if await self._errors.guard(client.flow):
                self._durations.append(monotonic() - began)
