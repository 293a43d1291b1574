"""Declares a table of the staging database as a typed row, and those of other schools, closed people and namesakes."""

import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

Row = TypeVar("Row", bound=tuple[Any, ...])


@dataclass(frozen=True, slots=True)
class Column:
    """A column and the Python types of its values."""

    name: str
    types: frozenset[type]
    default: int | None

    @property
    def is_text(self) -> bool:
        """Whether the values are texts; otherwise they are integers."""
        return str in self.types

    @property
    def is_nullable(self) -> bool:
        """Whether the column may be NULL."""
        return types.NoneType in self.types

    def definition(self) -> str:
        """Return the column's definition for CREATE TABLE."""
        default = "" if self.default is None else f" DEFAULT {int(self.default)}"
        return f"{self.name} {'TEXT' if self.is_text else 'INTEGER'}{'' if self.is_nullable else ' NOT NULL'}{default}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the staging database."""

    name: str
    columns: tuple[Column, ...]
    constraints: tuple[str, ...]
    has_rowid: bool

    def definition(self) -> str:
        """Return the CREATE TABLE statement."""
        parts = (*(column.definition() for column in self.columns), *self.constraints)
        return f"CREATE TABLE {self.name} ({', '.join(parts)}){'' if self.has_rowid else ' WITHOUT ROWID'}"

    def insert(self) -> str:
        """Return the statement that inserts a whole row and skips a row whose key is there already."""
        marks = ", ".join("?" * len(self.columns))
        return f"INSERT INTO {self.name} VALUES ({marks}) ON CONFLICT DO NOTHING"


TABLES: dict[type, Table] = {}
"""The tables by row class, in the order of their declaration."""


def table(name: str, *constraints: str, has_rowid: bool = False) -> Callable[[type[Row]], type[Row]]:
    """Declare a row class as a table. A table has a rowid where the order of insertion counts."""

    def declare(row: type[Row]) -> type[Row]:
        defaults: dict[str, int] = row._field_defaults  # type: ignore[attr-defined]
        columns = tuple(
            Column(field, frozenset(typing.get_args(hint) or (hint,)), defaults.get(field))
            for field, hint in typing.get_type_hints(row).items()
        )
        TABLES[row] = Table(name, columns, constraints, has_rowid)
        return row

    return declare


@table("outside_student", "PRIMARY KEY (key)")
class OutsideStudentRow(NamedTuple):
    """A key of the files that is a pupil's of another school."""

    key: str


@table("outside_guardian", "PRIMARY KEY (key)")
class OutsideGuardianRow(NamedTuple):
    """A key of the files whose account belongs to other schools alone."""

    key: str


@table("outside_account", "PRIMARY KEY (account)")
class OutsideAccountRow(NamedTuple):
    """An account that belongs to other schools alone."""

    account: str


@table("shared_account", "PRIMARY KEY (account)")
class SharedAccountRow(NamedTuple):
    """An account that has a child in this school and one in another."""

    account: str


@table("protected_child", "PRIMARY KEY (child)")
class ProtectedChildRow(NamedTuple):
    """A pupil to whom somebody's access is closed, with the school and the names."""

    child: str
    uai: str
    name_key: str


@table("closed_person", "PRIMARY KEY (uai, name_key, is_excluded)")
class ClosedPersonRow(NamedTuple):
    """The names of a person whose access a school closed, or whom it excluded from a pupil."""

    uai: str
    name_key: str
    is_excluded: bool


@table("new_person", has_rowid=True)
class NewPersonRow(NamedTuple):
    """A new guardian, as near duplicates are looked for."""

    key: str
    name_key: str
    postcode: str | None


@table("near_duplicate", "PRIMARY KEY (key)")
class NearDuplicateRow(NamedTuple):
    """A new guardian who looks like somebody under another key."""

    key: str
