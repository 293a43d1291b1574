"""Writes that belong together, as one statement.

A chain is a statement with a CTE for each step, committed by itself. PostgreSQL runs modifying CTEs in no
order of its own, and two statements that lock the same rows in different orders would deadlock. So each step has a
condition on the step before, which must have run: rows are locked in the order of the steps.

A chain is compiled once. `Connection.execute` of SQLAlchemy would compute the key of its cache from all parts of the
statement at each run, which takes longer than the statement. It is prepared too (`idp.statements`).
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    JSON,
    BigInteger,
    ColumnElement,
    Dialect,
    Integer,
    Row,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    literal_column as sql,
    select,
    true,
)
from sqlalchemy.exc import DataError
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import BindParameter

from idp.db import Base, autocommitted, db
from idp.services import services
from idp.statements import Statement

_NOT_A_NUMBER = "22P02"  # SQLSTATE of the text that is cast to a number in order to undo a chain
_UNDONE = "'a step of this statement met a row that another one changed; all is undone, and it will be decided again'"

Gates = tuple[ColumnElement[bool], ...]


@dataclass(frozen=True)
class Step:
    """One write of a chain, the CTE `name`.

    `build` returns an INSERT, UPDATE or DELETE with RETURNING that writes only if all given conditions hold. The whole
    chain writes nothing unless a step that is `required` returns a row.
    """

    name: str
    build: Callable[[Gates], UpdateBase]
    required: bool = False


class NewRow(NamedTuple):
    """A row to insert, by a chain or as an object of a session. Columns without a value get their default."""

    model: type[Base]
    values: dict[str, Any]

    def as_object(self) -> Base:
        """Return the row as an object, for `db.session.add`."""
        return self.model(**self.values)


class _Compiled:
    """A statement that is compiled and prepared once; it runs on a connection of its own."""

    def __init__(self, statement: Select[Any], dialect: Dialect) -> None:
        named: Any = type(dialect)
        compiled = statement.compile(dialect=named(paramstyle="named"))
        binds: dict[str, BindParameter[Any]] = {name: bind for bind, name in compiled.bind_names.items()}
        self._defaults: dict[str, Any] = dict(compiled.params)
        self._processors: dict[str, Callable[[Any], Any]] = {}
        for name, bind in binds.items():
            if process := bind.type.dialect_impl(compiled.dialect).bind_processor(compiled.dialect):
                self._processors[name] = process
        self._statement = Statement(str(compiled), {name: _type_of(bind) for name, bind in binds.items()})
        self._as_row = _rows_with(statement.selected_columns.keys())

    def run(self, values: Mapping[str, Any]) -> Any:
        parameters = {name: values.get(name, default) for name, default in self._defaults.items()}
        for name, process in self._processors.items():
            parameters[name] = process(parameters[name])
        with services().connections.lend() as connection:
            row = self._statement.fetch_row(connection, parameters)
        return self._as_row(row) if row else None


def _rows_with(names: Sequence[str]) -> Callable[[tuple[Any, ...]], Any]:
    named: Any = namedtuple("Row", names)  # type: ignore[misc] # noqa: PYI024 - the names are known at run time
    make: Callable[[tuple[Any, ...]], Any] = named._make
    return make


def _type_of(bind: BindParameter[Any]) -> type | str:
    if isinstance(bind.type, BigInteger):
        return "int8"
    if isinstance(bind.type, JSON):
        return "json"
    decorated: Any = getattr(bind.type, "impl_instance", bind.type)
    python_type: type = decorated.python_type
    return python_type


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

    def run(self, values: Mapping[str, Any]) -> tuple[Row[Any] | None, Any]:
        """Run the chain with the `values` of all bind parameters, in a transaction of its own.

        Returns:
            The row of the lookup (a row of NULLs if there is none), and the value of the step `answer`, which is None
            if nothing was written.

        Raises:
            RuntimeError: a unit of work is open.
        """
        try:
            row = self._statement.run(values)
        except DataError as error:
            can_be_undone = sum(step.required for step in self._steps) > 1
            if not can_be_undone or getattr(error.orig, "sqlstate", None) != _NOT_A_NUMBER:
                raise
            with autocommitted() as connection:
                lookup = connection.execute(self._lookup, values).first() if self._lookup is not None else None
            return lookup, None
        return row, row.chain_value if row else None

    @cached_property
    def _statement(self) -> _Compiled:
        return _Compiled(self._as_one(), db.engine.dialect)

    def _as_one(self) -> Select[Any]:
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
