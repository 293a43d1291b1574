"""Writes that belong together: one statement on PostgreSQL, a few in one transaction on SQLite.

On PostgreSQL a chain is a statement with a CTE for each step, committed by itself. PostgreSQL runs modifying CTEs in no
order of its own, and two statements that lock the same rows in different orders would deadlock. So each step has a
condition on the step before, which must have run: rows are locked in the order of the steps.

A chain is compiled once. `Connection.execute` of SQLAlchemy would compute the key of its cache from all parts of the
statement at each run, which takes longer than the statement.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CTE, ColumnElement, Dialect, Integer, Row, Select, and_, case, cast, exists, func, select, true
from sqlalchemy import literal_column as sql
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError
from sqlalchemy.sql.dml import UpdateBase

from idp.db import autocommitted, db, release_connection

_NOT_A_NUMBER = "22P02"
"""SQLSTATE of the text that is cast to a number in order to undo a chain."""
_UNDONE = "'a step of this statement met a row that another one changed; all is undone, and it will be decided again'"

Gates = tuple[ColumnElement[bool], ...]


@dataclass(frozen=True)
class Step:
    """One write of a chain.

    Attributes:
        name: the name of its CTE.
        build: returns an INSERT, UPDATE or DELETE with RETURNING that writes only if all given conditions hold.
        required: whether the whole chain writes nothing unless this step returns a row.
    """

    name: str
    build: Callable[[Gates], UpdateBase]
    required: bool = False


class Compiled:
    """A statement compiled for one database, run by the driver's cursor."""

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        self._is_numbered = dialect.name == "postgresql"
        numbering: Any = type(dialect)
        compiled = statement.compile(dialect=numbering(paramstyle="numeric_dollar") if self._is_numbered else dialect)
        self.text = str(compiled)
        self._defaults: dict[str, Any] = dict(compiled.params)
        self._order: Sequence[str] = compiled.positiontup
        processors = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect) for bind, name in compiled.bind_names.items()
        }
        self._processors = {name: process for name, process in processors.items() if process is not None}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Row[Any] | None:
        """Run the statement with the `values` of its bind parameters; return the first row."""
        parameters = {name: values.get(name, default) for name, default in self._defaults.items()}
        for name, process in self._processors.items():
            parameters[name] = process(parameters[name])
        given = tuple(parameters[name] for name in self._order)
        with _numbered(connection) if self._is_numbered else nullcontext():
            return connection.exec_driver_sql(self.text, given).first()


@contextmanager
def _numbered(connection: Connection) -> Iterator[None]:
    """Let psycopg send statements as they are, with the server's own placeholders ($1).

    For its other placeholders it would parse a statement of this length at each run, which takes 0.2 ms.
    """
    driver: Any = connection.connection.driver_connection
    psycopg: Any = connection.dialect.dbapi
    usual, driver.cursor_factory = driver.cursor_factory, psycopg.RawCursor
    try:
        yield
    finally:
        driver.cursor_factory = usual


class Chain:
    """Steps that are written together or not at all.

    Args:
        steps: the steps, in the order in which their rows are locked. If any is required, the first one is.
        lookup: a SELECT of at most one row, read along.
        only_if: the name of a boolean column of `lookup`; nothing is written unless it is true.
        answer: the name of the step that returns the chain's value, in its first column.
    """

    def __init__(
        self, steps: Sequence[Step], *, answer: str, lookup: Select[Any] | None = None, only_if: str = ""
    ) -> None:
        self._steps, self._answer, self._lookup, self._only_if = steps, answer, lookup, only_if
        self._compiled: dict[str, list[Compiled]] = {}

    def run(self, values: Mapping[str, Any]) -> tuple[Row[Any] | None, Any]:
        """Run the chain with the `values` of all bind parameters, in a transaction of its own.

        Returns:
            The row of the lookup (on PostgreSQL a row of NULLs if there is none), and the value of the step `answer`,
            which is None if nothing was written.

        Raises:
            RuntimeError: a unit of work is open.
        """
        if db.engine.dialect.name == "postgresql":
            return self._run_at_once(values)
        return self._run_in_turn(values)

    def _run_at_once(self, values: Mapping[str, Any]) -> tuple[Row[Any] | None, Any]:
        with autocommitted() as connection:
            try:
                row = self._statements()[0].run(connection, values)
            except DataError as error:
                if getattr(error.orig, "sqlstate", None) != _NOT_A_NUMBER or not self._can_be_undone:
                    raise
                return self._read(connection, values), None
        return row, row.chain_value if row else None

    def _run_in_turn(self, values: Mapping[str, Any]) -> tuple[Row[Any] | None, Any]:
        value = None
        release_connection()
        with db.engine.connect() as connection:
            row = self._read(connection, values)
            if self._only_if and not (row and getattr(row, self._only_if)):
                return row, None
            for step, statement in zip(self._steps, self._statements(), strict=True):
                returned = statement.run(connection, values)
                if returned is None and step.required:
                    connection.rollback()
                    return row, None
                if returned is not None and step.name == self._answer:
                    value = returned[0]
            connection.commit()
        return row, value

    def _read(self, connection: Connection, values: Mapping[str, Any]) -> Row[Any] | None:
        return connection.execute(self._lookup, values).first() if self._lookup is not None else None

    def _statements(self) -> list[Compiled]:
        """Return the statements for the database in use: one on PostgreSQL, one for each step on SQLite."""
        dialect = db.engine.dialect
        if dialect.name not in self._compiled:
            is_one = dialect.name == "postgresql"
            statements = [self._as_one()] if is_one else [step.build(()) for step in self._steps]
            self._compiled[dialect.name] = [Compiled(statement, dialect) for statement in statements]
        return self._compiled[dialect.name]

    @property
    def _can_be_undone(self) -> bool:
        return sum(step.required for step in self._steps) > 1

    def _as_one(self) -> Select[Any]:
        """Return the one statement: all steps, each after the one before."""
        lookup = self._lookup.cte("lookup").prefix_with("MATERIALIZED") if self._lookup is not None else None
        gates: Gates = ()
        if lookup is not None and self._only_if:
            gates = (exists(select(sql("1")).select_from(lookup).where(lookup.c[self._only_if])),)
        ran: list[tuple[Step, CTE]] = []
        for step in self._steps:
            ran.append((step, step.build(gates).cte(step.name)))
            gates = _after(ran)
        value = next(cte for step, cte in ran if step.name == self._answer)
        columns = [select(next(iter(value.c))).scalar_subquery().label("chain_value"), _end(ran)]
        single_row = select(sql("1")).subquery("single_row")
        if lookup is None:
            return select(*columns).select_from(single_row)
        return select(*lookup.c, *columns).select_from(single_row.outerjoin(lookup, true()))


def _after(ran: Sequence[tuple[Step, CTE]]) -> Gates:
    """Return the conditions of the next step: the required ones before it returned a row, and all of them ran."""
    required = [_returned(cte) for step, cte in ran if step.required][-1:]
    last, cte = ran[-1]
    return (*required,) if last.required else (*required, _number(cte) >= sql("0"))


def _end(ran: Sequence[tuple[Step, CTE]]) -> ColumnElement[Any]:
    """Return the column that runs the last step, and undoes all if some of the required ones alone returned a row."""
    required = [cte for step, cte in ran if step.required]
    last = _number(ran[-1][1])
    if len(required) <= 1:
        return last.label("ended")
    undo = cast(func.concat(sql(_UNDONE), last), Integer)
    return case((and_(_returned(required[0]), ~_returned(required[-1])), undo), else_=last).label("ended")


def _returned(step: CTE) -> ColumnElement[bool]:
    return exists(select(sql("1")).select_from(step))


def _number(step: CTE) -> ColumnElement[int]:
    return select(func.count()).select_from(step).scalar_subquery()
