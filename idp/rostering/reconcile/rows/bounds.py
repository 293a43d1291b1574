"""Declares the staging tables of what an import may not touch: people of other schools, and suspended people."""

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


@table("suspended_name", "PRIMARY KEY (uai, trace)")
class SuspendedNameRow(NamedTuple):
    """A trace of a person whose account, or a tie of whose account, is suspended (`same_person.name_traces`).

    `uai` is the school of the tie; empty for an account without ties, which no school may open again.
    """

    uai: str
    trace: str
