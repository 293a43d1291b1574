"""Declares the staging tables of people of other schools, closed people, and people who look like others."""

from typing import NamedTuple

from idp.rostering.reconcile.tables import table


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
