"""Issues as a person reads them: whom and which pupils they speak of, and what follows from what."""

from collections.abc import Iterator
from typing import NamedTuple

from idp.rostering.reconcile.staging import Staging
from idp.rostering.reconcile.statements import is_told
from idp.rostering.records import Issue, Severity

OF_CHILD = "coalesce(s.given_name, c.given_name, '') || ' ' || coalesce(s.family_name, c.family_name, '') AS child"
"""The name of a pupil whom the file (`s`) or the database (`c`) knows."""


class Person(NamedTuple):
    """A person's name and class in the files; the class of a guardian is empty."""

    family_name: str
    given_name: str
    class_name: str


class _Caused(NamedTuple):
    guardian: str
    student: str


_NAMED = (
    "SELECT family_name, given_name, class_name FROM (SELECT family_name, given_name, coalesce(class_name, '') AS "
    "class_name, line FROM student WHERE key = :key UNION ALL SELECT family_name, given_name, '', line FROM guardian "
    "WHERE key = :key) ORDER BY line <> :line"
)
"""A pupil and a guardian may have one number: the line says who is meant."""
CAUSES = frozenset({"student_left", "student_without_class"})
"""The issues of a pupil from which `_FOLLOWING` follows for the guardians."""
_FOLLOWING = "no_open_student"
_CAUSED = (
    "SELECT guardian, min(student) AS student FROM link WHERE student IN (SELECT key FROM issue WHERE code IN "
    f"({', '.join(repr(code) for code in sorted(CAUSES))})) "
    f"AND guardian IN (SELECT key FROM issue WHERE code = '{_FOLLOWING}') GROUP BY guardian"
)
_STOPPED_FOR = (
    f"SELECT DISTINCT {OF_CHILD} FROM stopped_link w JOIN student s ON s.key = w.student "
    "LEFT JOIN known_child c ON c.id = s.child_id WHERE w.guardian = :key "
    f"AND {is_told('w.why')} ORDER BY 1"
)
_STOPPED = frozenset({"suspended", "guardian_waits"})
TOLD_BY_NAME = frozenset({"guardian_left"})
"""The issues that are lines of another kind."""


def named(staging: Staging, issue: Issue) -> tuple[str, str]:
    """Return the name and the class that the files give to the key of an issue; empty if they name nobody with it."""
    person = next(staging.rows(Person, _NAMED, key=issue.key, line=issue.place.line), Person("", "", ""))
    return whole_name(person.family_name, person.given_name), person.class_name


def causes(staging: Staging) -> dict[tuple[str, str], str]:
    """Return the keys and codes of issues that follow from the issue of a pupil, each with the key of the pupil."""
    return {(caused.guardian, _FOLLOWING): caused.student for caused in staging.rows(_Caused, _CAUSED)}


def stopped_for(staging: Staging, issue: Issue) -> str:
    """Return the sentence that names the pupils whom a person gets no access to; empty for an issue of another kind."""
    pupils = ", ".join(staging.values(_STOPPED_FOR, key=issue.key)) if issue.code in _STOPPED else ""
    return f" Élève : {pupils}." if pupils else ""


def issues(staging: Staging) -> Iterator[Issue]:
    """Yield the issues that are no lines of another kind, those that stopped the import first, each once."""
    yield from (issue for issue in dict.fromkeys([*staging.fatal, *staging.issues()]) if issue.code not in TOLD_BY_NAME)


def sentence_of(issue: Issue) -> str:
    """Return an issue in words, with its place in the files."""
    place = f"{issue.place.file}, ligne {issue.place.line} : " if issue.place.file else ""
    warning = "" if issue.severity is Severity.ERROR else "À vérifier. "
    return f"{place}{warning}{issue.message}"


def whole_name(family_name: str | None, given_name: str | None) -> str:
    """Return a name as lists have it, family name first."""
    return f"{family_name or ''} {given_name or ''}".strip()
