"""The cost of a request in messages to the database, and how a flow's requests are told apart."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import cycle
from typing import Protocol

from bench.driver.provider import Provider
from bench.driver.relying_party import Party
from bench.driver.scenarios import Scenario
from bench.driver.transport import Answer, Connection, Transport, path_of, runner
from bench.driver.window import with_sessions

_TIMES = 5
_SETTLE = 0.01
"""Seconds after a response, in which the server may still send a ROLLBACK."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request costs.

    Attributes:
        statements: executed statements, without transaction control and pings.
        commits: transactions that had written; each waits for the disk.
        control: BEGIN, COMMIT, ROLLBACK and their like.
        pings: statements that only try a pooled connection.
    """

    statements: int = 0
    commits: int = 0
    control: int = 0
    pings: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a flow: the method and path, and its cost."""

    name: str
    cost: Cost


class Counter(Protocol):
    """Counts what goes to the database."""

    def so_far(self) -> Cost:
        """Return the count since the start."""


def total(requests: Sequence[Request]) -> Cost:
    """Return the cost of a flow."""
    return sum((request.cost for request in requests), Cost())


def kind_of(statement: str) -> str:
    """Return the field of `Cost` that counts a statement."""
    words = statement.strip(" ;\t\r\n").upper().split()
    if not words or words == ["SELECT", "1"]:
        return "pings"
    is_control = words[0] in {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"}
    return "control" if is_control else "statements"


class _Counted:
    """A transport that records the cost of each request."""

    def __init__(self, inner: Transport, counter: Counter) -> None:
        self._inner = inner
        self._counter = counter
        self.requests: list[Request] = []

    async def send(self, method: str, target: str, headers: dict[str, str], form: dict[str, str] | None) -> Answer:
        """See `bench.driver.transport.Transport`."""
        before = self._counter.so_far()
        answer = await self._inner.send(method, target, headers, form)
        await asyncio.sleep(_SETTLE)
        self.requests.append(Request(f"{method} {path_of(target)}", self._counter.so_far() - before))
        return answer


async def count(
    provider: Provider, transport: Transport, counter: Counter, scenarios: Sequence[type[Scenario]]
) -> dict[str, list[Request]]:
    """Return the requests of each scenario's flow, in order.

    The first flow fills the caches of the process and is not counted. The result is the median of the following flows,
    so that other transactions on the same server do not count.

    Raises:
        WrongAnswerError: the provider gave a wrong answer.
    """
    party = await Party.discover(provider, transport)
    people = cycle(await with_sessions(party))
    costs = {}
    for kind in scenarios:
        if kind.name in provider.left_out:
            continue
        counted = _Counted(transport, counter)
        client = kind(party, counted, people)
        await client.begin()
        await client.flow()
        flows = []
        for _ in range(_TIMES):
            counted.requests = []
            await client.flow()
            flows.append(counted.requests)
        costs[kind.name] = [_median(requests) for requests in zip(*flows, strict=True)]
    return costs


def count_over_http(
    provider: Provider, counter: Counter, scenarios: Sequence[type[Scenario]]
) -> dict[str, list[Request]]:
    """Do the same at a provider whose server runs."""
    connection = Connection(provider.port)
    try:
        with runner() as loop:
            return loop.run(count(provider, connection, counter, scenarios))
    finally:
        connection.close()


def _median(requests: Sequence[Request]) -> Request:
    values = zip(*(astuple(request.cost) for request in requests), strict=True)
    return Request(requests[0].name, Cost(*(statistics.median_low(each) for each in values)))
