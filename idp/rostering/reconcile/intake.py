"""Stores what the readers yield in the staging database."""

import json
import unicodedata
from typing import Any

from idp.person_names import foreign_letter
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Act, Guardian, Issue, Link, Record, School, Severity, Student, StudentLink

_NO_RANK = 9
"""The rank of a guardian without authority: the highest number, so that a link given twice keeps the other rank."""
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_UNSEEN = frozenset(("Cc", "Cs", "Co"))


def add(staging: Staging, record: Record) -> None:
    """Store a record or an issue. A row that a reader refused is counted, so that no row is lost."""
    match record:
        case Student() | Guardian() if refused := _foreign(record):
            _add_issue(staging, refused)
        case Student():
            _add_student(staging, record)
        case Guardian():
            _add_guardian(staging, record)
        case StudentLink():
            born = record.birth_date.isoformat() if record.birth_date else None
            place = staging.place(record.place)
            staging.put("link", (record.student, *_link(record.link), _clean(record.class_name), born, 0, *place))
        case School():
            _add_school(staging, record)
        case Issue():
            _add_issue(staging, record)


def _foreign(record: Student | Guardian) -> Issue | None:
    """Return the refusal of a person whose name has a letter that may stand for a Latin one."""
    birth_name = record.birth_name if isinstance(record, Guardian) else None
    names = (record.given_name, record.family_name, birth_name)
    letter = next(filter(None, (foreign_letter(name) for name in names if name)), "")
    if not letter:
        return None
    message = (
        f"La lettre « {letter} » de ce nom n’est pas une lettre latine courante, même si elle y ressemble : la ligne "
        "n’est pas prise. Tapez le nom de nouveau."
    )
    kind = "guardian" if isinstance(record, Guardian) else "student"
    return Issue(Severity.ERROR, record.place, record.key, "foreign_letter", message, refuses=kind)


def _add_issue(staging: Staging, issue: Issue) -> None:
    if issue.refuses or issue.code == "bad_link":
        staging.put("unread", (issue.refuses or "link", issue.key))
    if issue.refuses:
        staging.read[issue.refuses] += 1
        staging.refused[issue.refuses] += 1
    elif issue.severity is Severity.ERROR:
        staging.fatal.append(issue)
    staging.tell(issue)


def _add_school(staging: Staging, record: School) -> None:
    """Store a school. An empty field of a partial record is not said."""
    staging.acts.add(record.act)
    degree = record.degree.name if record.degree else None
    lines = json.dumps(record.address_lines, ensure_ascii=False) if record.address_lines else ""
    values: tuple[str | None, ...] = (record.uai, record.name, degree, lines, record.phone)
    if record.act is not Act.PUT:
        values = tuple(value or None for value in values)
    staging.put("school", (record.key, record.act.value, *values, *staging.place(record.place)))


def _add_student(staging: Staging, record: Student) -> None:
    staging.read["student"] += 1
    staging.acts.add(record.act)
    place, number = staging.place(record.place), staging.read["student"]
    left_on, birth_date = (day.isoformat() if day else None for day in (record.left_on, record.birth_date))
    names = map(_clean, (record.family_name, record.given_name, record.class_name))
    values = (record.school, record.student_id, *names, left_on, birth_date)
    # the links of the last record of a pupil replace those of an earlier one: phase `drop_former_links`
    listed = (None, None) if record.links is None else (1, number)
    staging.put("student", (record.key, record.act.value, *values, *listed, record.is_second_hand, *place))
    for link in record.links or ():
        staging.put("link", (record.key, *_link(link), "", None, number, *place))


def _add_guardian(staging: Staging, record: Guardian) -> None:
    staging.read["guardian"] += 1
    staging.acts.add(record.act)
    lines = (
        None if record.address_lines is None else json.dumps([*map(_clean, record.address_lines)], ensure_ascii=False)
    )
    values: tuple[Any, ...] = (
        *map(_clean, (record.civility, record.family_name, record.birth_name, record.given_name)),
        lines,
        *map(_clean, (record.postcode, record.city, record.country, record.email)),
        record.address_diffusion,
    )
    staging.put("guardian", (record.key, record.act.value, *values, *staging.place(record.place)))


def _link(link: Link) -> tuple[str, str, int]:
    return link.guardian, link.kinship, link.authority or _NO_RANK


def _clean(text: str | None) -> str | None:
    """Return a text on one line and in its own direction, without control characters."""
    if text is None or text.isprintable():
        return text
    shown = "".join(" " if c in "\t\r\n\u2028\u2029" else c for c in text if c not in _DIRECTIONS)
    return "".join(c for c in shown if unicodedata.category(c) not in _UNSEEN).strip()
