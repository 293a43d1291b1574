"""Issues as a person reads them: whom and which pupils they speak of, and what follows from what."""

from collections.abc import Iterator
from typing import NamedTuple

from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Issue

OF_CHILD = "coalesce(s.given_name, c.given_name, '') || ' ' || coalesce(s.family_name, c.family_name, '') AS child"
"""The name of a pupil whom the file (`s`) or the database (`c`) knows."""


class Person(NamedTuple):
    """A person's name and class in the files; the class of a guardian is empty."""

    family_name: str
    given_name: str
    class_name: str


WAITS = "guardian_waits"
_LONGEST = 410  # characters of the names that are stored with an issue
# A pupil and a guardian may have one number: the line says who is meant.
_NAMED = (
    "SELECT family_name, given_name, class_name FROM (SELECT family_name, given_name, coalesce(class_name, '') AS "
    "class_name, line FROM student WHERE key = :key UNION ALL SELECT family_name, given_name, '', line FROM guardian "
    "WHERE key = :key) ORDER BY line <> :line"
)
CAUSES = frozenset({"student_left", "student_without_class"})
"""The issues of a pupil from which `_FOLLOWING` follows for the guardians."""
_FOLLOWING = "no_open_student"
_CAUSED = (
    "SELECT guardian, min(student) AS student FROM link WHERE student IN (SELECT key FROM issue WHERE code IN "
    f"({', '.join(repr(code) for code in sorted(CAUSES))})) "
    f"AND guardian IN (SELECT key FROM issue WHERE code = '{_FOLLOWING}') GROUP BY guardian"
)
_OF_TIE = (
    f"SELECT DISTINCT {OF_CHILD} FROM link l JOIN student s ON s.key = l.student LEFT JOIN known_child c "
    "ON c.id = s.child_id LEFT JOIN guardian g ON g.key = l.guardian LEFT JOIN known_alias a ON a.key = l.guardian "
    "LEFT JOIN known_account k ON k.key = l.guardian JOIN {links} d ON d.child = s.child_id "
    "AND d.account = coalesce(g.account_id, a.account, k.id) WHERE l.guardian = :key AND {state} ORDER BY 1"
)
_IS_STILL_EXCLUDED = "(d.child, d.account) IN (SELECT child, account FROM excluded_link)"
# The statements of the pupils whom an issue of a guardian is about, by the code of the issue.
_PUPILS_OF = {
    WAITS: _OF_TIE.format(links="allowed_link", state="d.wait <> ''"),
    "tie_disputed": _OF_TIE.format(links="known_link", state="d.closed = 'disputed'"),
    "tie_excluded": _OF_TIE.format(links="known_link", state=_IS_STILL_EXCLUDED),
}
TOLD_BY_NAME = frozenset({"guardian_left"})  # the issues that are lines of another kind


def named(staging: Staging, issue: Issue) -> tuple[str, str]:
    """Return the name and the class that the files give to the key of an issue; empty if they name nobody with it."""
    person = next(staging.rows(_NAMED, key=issue.key, line=issue.place.line), Person("", "", ""))
    return whole_name(person.family_name, person.given_name), person.class_name


def stored_name(staging: Staging, issue: Issue) -> str:
    """Return the name of the person of an issue as it is stored, with the pupils whom the issue is about."""
    name, pupils = named(staging, issue)[0], pupils_of(staging, issue)
    return f"{name} (élève : {pupils})"[:_LONGEST] if name and pupils else name


def causes(staging: Staging) -> dict[tuple[str, str], str]:
    """Return the keys and codes of issues that follow from the issue of a pupil, each with the key of the pupil."""
    return {(caused.guardian, _FOLLOWING): caused.student for caused in staging.rows(_CAUSED)}


def about_pupils(staging: Staging, issue: Issue) -> str:
    """Return the sentence that names the pupils whose tie to a person an issue is about; empty for another issue."""
    pupils = pupils_of(staging, issue)
    return f" Élève : {pupils}." if pupils else ""


def pupils_of(staging: Staging, issue: Issue) -> str:
    """Return the names of the pupils whose tie to a person an issue is about, or an empty text."""
    statement = _PUPILS_OF.get(issue.code)
    return ", ".join(staging.values(statement, key=issue.key)) if statement else ""


def issues(staging: Staging) -> Iterator[Issue]:
    """Yield the issues that are no lines of another kind, those that stopped the import first, each once."""
    yield from (issue for issue in dict.fromkeys([*staging.fatal, *staging.issues()]) if issue.code not in TOLD_BY_NAME)


def sentence_of(issue: Issue) -> str:
    """Return an issue in words, with its place in the files."""
    return f"{issue.place.file}, ligne {issue.place.line} : {issue.message}" if issue.place.file else issue.message


def whole_name(family_name: str | None, given_name: str | None) -> str:
    """Return a name as lists have it, family name first."""
    return f"{family_name or ''} {given_name or ''}".strip()
