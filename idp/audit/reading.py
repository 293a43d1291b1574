"""Reads rows of the journal that somebody may have broken by SQL: an unreadable row does not hide the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import JSON, ColumnElement, Select
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.sql.elements import KeyedColumnElement

from idp.audit.models import AuditBeginning, AuditEntry, AuditSeal
from idp.db import UtcDateTime, db

_R = TypeVar("_R", AuditEntry, AuditSeal, AuditBeginning)
_UNREADABLE = (ValueError, TypeError, AttributeError, OverflowError, RecursionError, DataError)
"""The exceptions of drivers and column types for a value that the column's type does not allow."""


@dataclass(frozen=True)
class Page(Generic[_R]):
    """The readable rows of a page, and the ids of the others."""

    rows: Sequence[_R] = ()
    unreadable: Sequence[int] = field(default=())

    @property
    def ids(self) -> Sequence[int]:
        """Return the ids of all rows of the page."""
        return [*(row.id for row in self.rows), *self.unreadable]


def load(model: type[_R], statement: Select[_R]) -> Page[_R]:
    """Load the rows of `statement`, detached.

    SQLite keeps any value in any column, and both databases keep JSON that Python cannot read. If one row cannot be
    read, load each row alone.
    """
    rows = _load(model, statement)
    if rows is not None:
        return Page(rows)
    keys = db.session.scalars(statement.with_only_columns(model.id)).all()
    readable: list[_R] = []
    unreadable: list[int] = []
    for key in keys:
        row = _load(model, statement.where(model.id == key))
        if row is None:
            unreadable.append(key)
        else:
            readable.extend(row)
    return Page(readable, unreadable)


def _load(model: type[_R], statement: Select[_R]) -> Sequence[_R] | None:
    """Load rows; return None if one of them cannot be read."""
    try:
        rows = db.session.scalars(statement.execution_options(populate_existing=True)).all()
    except _UNREADABLE:
        return None
    except OperationalError as error:  # SQLite reports text that is not UTF-8 like an unavailable database
        if "decode" not in str(error.orig):
            raise
        return None
    finally:
        db.session.expunge_all()
    columns = [(column, _kind(column)) for column in model.__table__.columns]
    return rows if all(_fits(row, columns) for row in rows) else None


def _kind(column: ColumnElement[Any]) -> type:
    """Return the Python type of a column's values; `object` for JSON, which may be anything."""
    if isinstance(column.type, JSON):
        return object
    return datetime if isinstance(column.type, UtcDateTime) else column.type.python_type


def _fits(row: object, columns: Sequence[tuple[KeyedColumnElement[Any], type]]) -> bool:
    """Return whether all values of a row have their columns' types: SQLite returns some of them unchecked."""
    values = ((getattr(row, column.key), kind) for column, kind in columns)
    return all(value is None or isinstance(value, kind) for value, kind in values)
