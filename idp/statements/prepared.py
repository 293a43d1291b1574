"""Prepared statements on PostgreSQL, run by psycopg's wrapper of libpq (`psycopg.pq`).

A psycopg cursor parses the statement and chooses the types of the parameters at each execution, and wakes for each step
of the protocol. That takes longer than the exchange with the server. Here the types are known from the annotations of
the request, each connection prepares a statement once, and psycopg converts the values, in binary format.

A wait ends as that of a cursor does: by the time limits of the server, of libpq, and of ours (`idp.pool`).
"""

import itertools
import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from types import NoneType
from typing import Any, get_args

import psycopg
from psycopg import generators
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult
from sqlalchemy import PoolProxiedConnection

from idp import pool

_PLACEHOLDER = re.compile(r"(?<!:):(\w+)")
_TYPES = {
    bool: "bool",
    bytes: "bytea",
    datetime: "timestamptz",
    int: "int4",
    str: "text",
    uuid.UUID: "uuid",
}
_UNUSABLE = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.FeatureNotSupported)
"""The server lost the statement (DISCARD, a pooler), or a migration changed the types of its result."""
_numbers = itertools.count()


class Statement:
    """A statement that returns one row or none.

    Args:
        text: The statement with placeholders `:name`.
        types: The type of each parameter, as its annotation in the request, or by its name in PostgreSQL.
    """

    def __init__(self, text: str, types: Mapping[str, Any]) -> None:
        names = list(dict.fromkeys(_PLACEHOLDER.findall(text)))
        self.text = text
        self.numbered = _PLACEHOLDER.sub(lambda match: f"${names.index(match[1]) + 1}", text).encode()
        self.types = [psycopg.adapters.types[_name_of(types[name])].oid for name in names]
        self._names = names

    def fetch_row(self, connection: PoolProxiedConnection, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Return the row, or None. A statement that the server cannot use any more is prepared again, once.

        Args:
            connection: An autocommitted connection.
            values: The parameters by name; others are ignored.

        Raises:
            psycopg.Error: The server refused the statement, or the connection is lost.
        """
        ordered = [values[name] for name in self._names]
        prepared: _Prepared = connection.info.get(self) or self._prepare(connection)
        try:
            return prepared.fetch_row(ordered)
        except _UNUSABLE:  # nothing was executed
            return self._prepare(connection).fetch_row(ordered)

    def _prepare(self, connection: PoolProxiedConnection) -> "_Prepared":
        driver_connection: Any = connection.driver_connection
        prepared = connection.info[self] = _Prepared(driver_connection, self)
        return prepared


class _Prepared:
    """A statement on one connection. Its name is new, because the server may still have the one before it.

    Behind a pooler, the next server does not have it: the text is sent each time.
    """

    def __init__(self, connection: psycopg.Connection, statement: Statement) -> None:
        self._connection, self._pgconn, self._statement = connection, connection.pgconn, statement
        self._transformer = Transformer(connection)
        self._transformer.set_dumper_types(statement.types, Format.BINARY)
        self._name = b"statement_%d" % next(_numbers) if pool.may_prepare(connection) else b""
        if not self._name:
            return
        self._pgconn.send_prepare(self._name, statement.numbered, statement.types)
        result = self._result()
        if result.status != ExecStatus.COMMAND_OK:
            raise _error(result)

    def fetch_row(self, values: list[Any]) -> tuple[Any, ...] | None:
        """Return the row, or None; there must be as many values as types. See `Statement.fetch_row`."""
        transformer = self._transformer
        parameters: Any = transformer.dump_sequence(values, ())
        if self._name:
            self._pgconn.send_query_prepared(self._name, parameters, transformer.formats, Format.BINARY)
        else:
            statement = self._statement
            self._pgconn.send_query_params(
                statement.numbered, parameters, statement.types, transformer.formats, Format.BINARY
            )
        result = self._result()
        if result.status != ExecStatus.TUPLES_OK:
            raise _error(result)
        if not result.ntuples:
            return None
        transformer.set_pgresult(result)
        row: tuple[Any, ...] = transformer.load_row(0, tuple)
        return row

    def _result(self) -> PGresult:
        results: list[PGresult] = self._connection.wait(generators.execute(self._pgconn))
        return results[-1]


def _name_of(annotation: Any) -> str:
    """Return the name in PostgreSQL of an annotation `type` or `type | None`; a name is returned as it is."""
    plain = next((part for part in get_args(annotation) if part is not NoneType), annotation)
    return plain if isinstance(plain, str) else _TYPES[plain]


def _error(result: PGresult) -> psycopg.Error:
    """Return the error of a result. An error without SQLSTATE is not the server's: the connection is lost."""
    error = psycopg.errors.error_from_result(result)
    return error if error.sqlstate else psycopg.OperationalError(str(error))
