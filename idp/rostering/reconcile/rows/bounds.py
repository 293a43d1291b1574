"""Declares the staging tables of people of other schools, suspended people, and people who look like others."""

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


@table("suspended_school", "PRIMARY KEY (uai)")
class SuspendedSchoolRow(NamedTuple):
    """A school in which somebody is suspended; empty for an account without ties, which no school may open again."""

    uai: str


@table("suspended_name", "PRIMARY KEY (name)")
class SuspendedNameRow(NamedTuple):
    """A name of a pupil with a new link, like that of a pupil to whom somebody's access is suspended, in any school."""

    name: str


@table("protected_child", "PRIMARY KEY (child)")
class ProtectedChildRow(NamedTuple):
    """A pupil to whom somebody's access is suspended."""

    child: str


@table("stopped_link", "PRIMARY KEY (student, guardian)")
class StoppedLinkRow(NamedTuple):
    """A new link of the files that gives no access for now; `why` is a `Wait`."""

    student: str
    guardian: str
    why: str


@table("corrected_link", "PRIMARY KEY (child, account)")
class CorrectedLinkRow(NamedTuple):
    """A tie of the database that waits for the head because of a corrected name; `why` is a `Wait`."""

    child: str
    account: str
    guardian: str
    why: str


@table("compared_link", "PRIMARY KEY (child, account)")
class ComparedLinkRow(NamedTuple):
    """A tie of an activated account that stays: the head compares a corrected name with a suspension."""

    child: str
    account: str


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
