"""Measures one scenario at one provider, in one window of some seconds."""

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, cycle
from time import monotonic

from bench import machine
from bench.driver.closed_loop import ClosedLoop, Errors
from bench.driver.provider import Person, Provider
from bench.driver.relying_party import Attempt, Party, WrongAnswerError
from bench.driver.scenarios import Scenario, sign_in
from bench.driver.transport import Browser, Connection, runner

WARM_UP = 1.0
_AT_ONCE = 8
"""How many people are signed in at once, before a scenario that needs sessions."""


@dataclass(frozen=True)
class Processes:
    """The first processes of the server and of its database; None if the database is none of this machine's."""

    server: int
    database: int | None = None


@dataclass(frozen=True)
class Window:
    """The results of one window.

    Attributes:
        rate: flows per second.
        p50: median duration of a flow, in milliseconds; `p95` is the 95th percentile.
        cpu: processor time of the server for one flow, in milliseconds.
        server: processor time of the server, in cores; the same for `driver` and `database`.
        foreign: processor time of all other processes, in cores.
        memory: of each process of the server at the end, the oldest process first.
        verified: number of ID tokens that were verified.
    """

    rate: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    cpu: float = 0.0
    server: float = 0.0
    driver: float = 0.0
    database: float = 0.0
    foreign: float = 0.0
    memory: Sequence[machine.Memory] = field(default_factory=list)
    verified: int = 0
    errors: int = 0
    first_error: str = ""


@dataclass(frozen=True)
class _Usage:
    """Processor seconds so far, and the time when they were read."""

    moment: float
    server: float
    driver: float
    database: float
    busy: float

    @classmethod
    def read(cls, processes: Processes) -> "_Usage":
        return cls(
            monotonic(),
            machine.used_seconds(processes.server),
            machine.own_seconds(),
            machine.used_seconds(processes.database),
            machine.busy_seconds(),
        )

    def shares_since(self, earlier: "_Usage") -> dict[str, float]:
        """Return the shares of a window in cores."""
        elapsed = self.moment - earlier.moment
        server, driver, database, busy = (
            (getattr(self, name) - getattr(earlier, name)) / elapsed
            for name in ("server", "driver", "database", "busy")
        )
        foreign = max(0.0, busy - server - driver - database)
        return {"server": server, "driver": driver, "database": database, "foreign": foreign}


def measure(scenario: type[Scenario], provider: Provider, processes: Processes, clients: int, seconds: float) -> Window:
    """Run a scenario with a number of clients for `seconds`, after a warm-up, and verify the sampled ID tokens."""
    errors = Errors()
    result = Window()
    with runner() as loop:
        try:
            result = loop.run(_measure(scenario, provider, processes, clients, seconds, errors))
        except WrongAnswerError as error:
            errors.add(str(error))
        except (OSError, ValueError, LookupError) as error:
            errors.add(f"{type(error).__name__}: {error}")
    return replace(result, errors=errors.count, first_error=errors.first)


async def _measure(
    scenario: type[Scenario], provider: Provider, processes: Processes, clients: int, seconds: float, errors: Errors
) -> Window:
    connections = [Connection(provider.port) for _ in range(clients)]
    try:
        party = await Party.discover(provider, connections[0])
        people = await with_sessions(party) if scenario.needs_sessions else provider.people
        shared = cycle(people)
        gc.collect()
        gc.freeze()  # the populated accounts are no work for the collector
        async with ClosedLoop([scenario(party, each, shared) for each in connections], errors) as loop:
            await loop.window(WARM_UP)
            before = _Usage.read(processes)
            flows = await loop.window(seconds)
            shares = _Usage.read(processes).shares_since(before)
            memory = machine.memory(processes.server)
        verified, faults = await party.verify_samples(connections[0])
    finally:
        for connection in connections:
            connection.close()
    for fault in faults:
        errors.add(fault)
    if not flows.durations:
        errors.add("no flow was completed")
    return Window(
        rate=flows.rate,
        p50=flows.percentile(50),
        p95=flows.percentile(95),
        cpu=shares["server"] / flows.rate * 1000 if flows.durations else 0.0,
        memory=memory,
        verified=verified,
        server=shares["server"],
        driver=shares["driver"],
        database=shares["database"],
        foreign=shares["foreign"],
    )


def signed_in(provider: Provider) -> Sequence[Person]:
    """Sign all people in at a provider that keeps sessions for long; return them with their cookies.

    Raises:
        WrongAnswerError: a person could not sign in.
    """
    connection = Connection(provider.port)

    async def sign_all_in() -> Sequence[Person]:
        return await with_sessions(await Party.discover(provider, connection))

    try:
        with runner() as loop:
            return loop.run(sign_all_in())
    finally:
        connection.close()


async def with_sessions(party: Party) -> Sequence[Person]:
    """Return the provider's people with a session each; those without cookies are signed in.

    Raises:
        WrongAnswerError: a person could not sign in.
    """
    people = party.provider.people
    if all(person.cookies for person in people):
        return people
    waiting = iter(people)

    async def sign_in_some() -> list[Person]:
        connection = Connection(party.provider.port)
        signed_in = []
        for person in waiting:
            browser = Browser(connection)
            await sign_in(party, browser, person, Attempt())
            signed_in.append(Person(person.username, browser.cookies))
        connection.close()
        return signed_in

    return list(chain(*await asyncio.gather(*(sign_in_some() for _ in range(_AT_ONCE)))))
