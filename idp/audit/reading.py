"""Reads rows of the journal that somebody may have broken by SQL: an unreadable row does not hide the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.exc import DataError

from idp.audit.models import AuditBeginning, AuditEntry, AuditSeal
from idp.db import db

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

    The database keeps JSON that Python cannot read. If one row cannot be read, load each row alone.
    """
    rows = _load(statement)
    if rows is not None:
        return Page(rows)
    keys = db.session.scalars(statement.with_only_columns(model.id)).all()
    readable: list[_R] = []
    unreadable: list[int] = []
    for key in keys:
        row = _load(statement.where(model.id == key))
        if row is None:
            unreadable.append(key)
        else:
            readable.extend(row)
    return Page(readable, unreadable)


def _load(statement: Select[_R]) -> Sequence[_R] | None:
    """Load rows; return None if one of them cannot be read."""
    try:
        return db.session.scalars(statement.execution_options(populate_existing=True)).all()
    except _UNREADABLE:
        return None
    finally:
        db.session.expunge_all()
