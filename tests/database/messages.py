"""The messages that the driver sends to PostgreSQL, read from the trace of libpq."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask
from psycopg.pq import Trace
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.protocol.listening import fresh_connections


class Messages:
    def __init__(self, path: Path) -> None:
        self._path, self._start = path, 0

    def restart(self) -> None:
        self._start = self._path.stat().st_size

    def statements(self) -> list[str]:
        lines = self._path.read_bytes()[self._start :].decode(errors="replace").splitlines()
        return [line for line in lines if re.match(r"F\t\d+\t(Query|Execute)\b", line)]


@contextmanager
def traced(app: Flask, folder: Path) -> Iterator[Messages]:
    """Trace all new connections to PostgreSQL until the end of the block."""
    path = folder / "trace"
    with path.open("wb", buffering=0) as file:

        def connected(connection: psycopg.Connection[Any], _record: object) -> None:
            connection.pgconn.trace(file.fileno())
            connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)

        fresh_connections(app)
        event.listen(Engine, "connect", connected)
        try:
            yield Messages(path)
        finally:
            event.remove(Engine, "connect", connected)
            fresh_connections(app)
