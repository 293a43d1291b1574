"""The closed loop: eight clients, each sending its next request after the last answer, for some seconds."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bench import machine
from bench.population import Populated
from bench.relying_party import WrongAnswerError
from bench.scenarios import Scenario
from bench.service import Service
from bench.transport import Connection

CLIENTS = 8
WARM_UP = 1.0
_MOST_ERRORS = 200
"""The number of errors after which the run stops."""


@dataclass
class Tally:
    """The results of the clients: each flow's duration in seconds, and the errors."""

    durations: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""

    def wrong(self, message: str) -> None:
        """Count an error."""
        self.errors += 1
        self.first_error = self.first_error or message


@dataclass(frozen=True)
class Figures:
    """The results of a scenario; times in milliseconds, None if the machine does not tell.

    Attributes:
        cpu: processor time of the server for one flow.
        foreign: share of the server's core that other processes used.
    """

    rate: float
    p50: float
    p95: float
    cpu: float | None
    foreign: float | None
    errors: int
    first_error: str


async def run(
    scenario: type[Scenario], populated: Populated, service: Service, *, seconds: float, core: int | None
) -> Figures:
    """Run a scenario for `seconds`, after a second of warm-up, and verify the sampled ID tokens."""
    connections = [Connection(service.port) for _ in range(CLIENTS)]
    parents = populated.one_after_the_other()
    clients = [scenario(populated.party, connection, parents) for connection in connections]
    tally = Tally()
    await _together(tally, [client.begin for client in clients])
    await _loop(clients, Tally(), WARM_UP)
    used, busy, began = service.cpu_seconds(), machine.busy_seconds(core), time.monotonic()
    await _loop(clients, tally, seconds)
    elapsed = time.monotonic() - began
    used, busy = _since(used, service.cpu_seconds()), _since(busy, machine.busy_seconds(core))
    for fault in await populated.party.verify_samples(connections[0]):
        tally.wrong(fault)
    for connection in connections:
        connection.close()
    return _figures(tally, elapsed, used, busy)


async def _loop(clients: list[Scenario], tally: Tally, seconds: float) -> None:
    until = time.monotonic() + seconds

    async def client_loop(client: Scenario) -> None:
        while (began := time.monotonic()) < until and tally.errors < _MOST_ERRORS:
            if await _tried(tally, client.flow):
                tally.durations.append(time.monotonic() - began)

    await asyncio.gather(*(client_loop(client) for client in clients))


async def _together(tally: Tally, works: list[Callable[[], Awaitable[None]]]) -> None:
    await asyncio.gather(*(_tried(tally, work) for work in works))


async def _tried(tally: Tally, work: Callable[[], Awaitable[None]]) -> bool:
    """Run `work` and return whether it succeeded; count an error, and continue."""
    try:
        await work()
    except (WrongAnswerError, OSError, EOFError, ValueError, LookupError) as error:
        tally.wrong(f"{type(error).__name__}: {error}" if not isinstance(error, WrongAnswerError) else str(error))
        return False
    return True


def _since(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _figures(tally: Tally, elapsed: float, used: float | None, busy: float | None) -> Figures:
    count = len(tally.durations)
    if not count:
        tally.wrong("no flow was completed")
    spread = statistics.quantiles(tally.durations, n=20) if count > 1 else [0.0] * 19
    return Figures(
        rate=count / elapsed,
        p50=spread[9] * 1000,
        p95=spread[18] * 1000,
        cpu=used / count * 1000 if used is not None and count else None,
        foreign=max(0.0, busy - used) / elapsed if busy is not None and used is not None else None,
        errors=tally.errors,
        first_error=tally.first_error,
    )
