"""Counts the statements and commits of one request: runs each scenario's flow again, inside this process.

PostgreSQL: libpq's own trace of the sent messages; commits are the server's transaction numbers, since only a
transaction that writes gets one, and only such a commit waits for the disk. SQLite: its trace of the executed
statements, and whether a transaction had changed anything when it was committed. BEGIN, COMMIT and ROLLBACK are not
counted as statements.
"""

import sqlite3
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Protocol

import psycopg
from psycopg.pq import Trace
from sqlalchemy import Engine, event

from bench.population import Populated
from bench.scenarios import Scenario
from bench.transport import Answer, InProcess, Transport
from idp.app import create_app
from idp.clients import registry
from idp.config import Settings
from idp.db import db
from idp.services import services_of

_TIMES = 7
_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK")


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one request: statements, and commits of transactions that had written."""

    statements: int
    commits: int


class Counter(Protocol):
    """Traces every opened connection, and counts."""

    def attach(self, connection: Any) -> None:
        """Trace a driver's connection."""

    def so_far(self) -> Cost:
        """Return the count since the start."""


class SqliteCounter:
    """Counts with SQLite's trace (see the module)."""

    def __init__(self) -> None:
        self._statements = self._commits = 0

    def attach(self, connection: Any) -> None:
        """Trace the statements of a connection."""
        changes = [0]

        def trace(statement: str) -> None:
            control = statement.lstrip().upper().startswith(_CONTROL)
            self._statements += not control
            if control:
                if statement.upper().startswith("COMMIT"):
                    self._commits += connection.total_changes > changes[0]
                changes[0] = connection.total_changes

        if not isinstance(connection, sqlite3.Connection):
            raise TypeError(f"{type(connection)} is not a connection to SQLite")
        connection.set_trace_callback(trace)

    def so_far(self) -> Cost:
        """See `Counter`."""
        return Cost(self._statements, self._commits)


class PostgresqlCounter:
    """Counts with libpq's trace; `watcher` asks the server for its transaction number."""

    def __init__(self, watcher: "psycopg.Connection[tuple[int]]") -> None:
        self._watcher = watcher
        self._traces: list[IO[str]] = []

    def attach(self, connection: Any) -> None:
        """Trace the messages of a connection into a file of its own."""
        trace = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed with the counter
        connection.pgconn.trace(trace.fileno())
        connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        self._traces.append(trace)

    def so_far(self) -> Cost:
        """See `Counter`."""
        row = self._watcher.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
        return Cost(sum(_sent(trace) for trace in self._traces), row[0] if row else 0)


def _sent(trace: IO[str]) -> int:
    """Count the messages that make the server run a statement: Query and, of the extended protocol, Execute."""
    trace.seek(0)
    count = 0
    for line in trace:
        direction, _, rest = line.partition("\t")
        kind, _, argument = rest.partition("\t")[2].partition("\t")
        if direction == "F" and (
            kind == "Execute" or (kind == "Query" and not argument.strip(' "').startswith(_CONTROL))
        ):
            count += 1
    return count


class _Counted:
    """A transport that records the cost of each request."""

    def __init__(self, inner: Transport, counter: Counter) -> None:
        self._inner = inner
        self._counter = counter
        self.costs: list[Cost] = []

    async def send(self, method: str, target: str, headers: dict[str, str], form: dict[str, str] | None) -> Answer:
        """See `bench.transport.Transport`."""
        before = self._counter.so_far()
        answer = await self._inner.send(method, target, headers, form)
        after = self._counter.so_far()
        self.costs.append(Cost(after.statements - before.statements, after.commits - before.commits))
        return answer


async def count(settings: Settings, populated: Populated, scenarios: list[type[Scenario]]) -> dict[str, list[Cost]]:
    """Return the cost of each request of each scenario's flow, in order.

    The first flow warms up the process and is not counted. The result is the median of the following ones, so that
    other transactions on the same server do not count.
    """
    with _application(settings) as (transport, counter):
        costs = {}
        for kind in scenarios:
            counted = _Counted(transport, counter)
            client = kind(populated.party.twin(), counted, populated.one_after_the_other())
            await client.begin()
            await client.flow()
            counted.costs.clear()
            for _ in range(_TIMES):
                await client.flow()
            each = len(kind.requests)
            costs[kind.name] = [_median(counted.costs[position::each]) for position in range(each)]
        return costs


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median_low(cost.statements for cost in costs), statistics.median_low(cost.commits for cost in costs)
    )


@contextmanager
def _application(settings: Settings) -> Iterator[tuple[Transport, Counter]]:
    """Yield the application in this process, and the counter of all its connections."""
    registry.forget()
    with _counter(settings) as counter:

        def attach(connection: Any, _record: Any) -> None:
            counter.attach(connection)

        event.listen(Engine, "connect", attach)
        app = create_app(settings)
        try:
            yield InProcess(app), counter
        finally:
            event.remove(Engine, "connect", attach)
            with app.app_context():
                db.engine.dispose()
            services_of(app).close()


@contextmanager
def _counter(settings: Settings) -> Iterator[Counter]:
    if settings.database_url.startswith("sqlite"):
        yield SqliteCounter()
        return
    with psycopg.connect(settings.database_url, autocommit=True) as watcher:
        yield PostgresqlCounter(watcher)
