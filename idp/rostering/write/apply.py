"""Brings the database to what the plan says, in short transactions in an order that may be cut anywhere.

What comes is written before what goes, so that nobody is shut out between two pages: schools, new and changed accounts,
pupils with their links, then links that end together with the accounts that they leave empty, then the pupils who left.
Run again after a `kill -9`, the plan is worked out anew and does what is missing. No mail address that a parent
confirmed, no password, no identifier is ever written here.
"""

import json
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from sqlalchemy import Table, bindparam, select, update

from idp.accounts.models import Account, Child, Degree, Guardianship, School
from idp.audit import log
from idp.audit.registry_events import AccountImported
from idp.clock import now
from idp.config import Settings
from idp.db import db, retry_unit_of_work
from idp.rostering import bulk
from idp.rostering.reconcile import persons, replaced_keys
from idp.rostering.reconcile.staging import GUARDIAN_FIELDS, Staging
from idp.rostering.records import Format
from idp.rostering.write import doubts, leavers, opening, replacing, ties

_PAGE = 500
_FEW = 100
"""A page of accounts that come back or leave: each may have sessions, of which ENTs are told."""

_MANY = 10_000
"""Rows: after so many, what the database knows of the size of its tables is wrong until it looks again by itself."""

Tick = Callable[[int], None]

_accounts = cast("Table", Account.__table__)
_children = cast("Table", Child.__table__)
_links = cast("Table", Guardianship.__table__)


def apply(settings: Settings, staging: Staging, format_: Format, batch: str, tick: Tick) -> None:
    """Write everything; `tick` is called with the number of rows that each transaction wrote.

    The journal names `batch` for every account that was there and is changed; whom a file brings is in the batch alone.
    """
    retry_unit_of_work(partial(_write_schools, staging, format_))
    schools = dict(db.session.execute(select(School.uai, School.id)).all())
    written, moment = 0, now()
    for statement, size, write in (
        (_NEW_ACCOUNTS, _PAGE, partial(opening.open_accounts, format_)),
        (replaced_keys.ACCOUNTS, _FEW, partial(replacing.replace, staging, format_, schools, batch)),
        (_CHANGED_ACCOUNTS, _PAGE, partial(_change_accounts, batch)),
        (persons.ACCOUNTS_IN_DOUBT, _FEW, doubts.tell_schools),
        (_STUDENTS, _PAGE, partial(_write_students, staging, schools, batch)),
        ("SELECT child, account FROM named_no_more ORDER BY child, account", _PAGE, ties.forget_exclusions),
        (_RETURNING, _FEW, partial(leavers.welcome_back, settings, batch)),
        (_ENDING, _FEW, partial(leavers.end_links, staging, batch, moment)),
        (_LEFT, _PAGE, partial(leavers.mark_left, moment)),
    ):
        for page in staging.pages(statement, size):
            retry_unit_of_work(partial(write, page))
            written += len(page)
            tick(len(page))
    retry_unit_of_work(partial(doubts.settle_answered, staging))
    if written >= _MANY:
        bulk.refresh_statistics(_accounts, _children, _links)


def _write_schools(staging: Staging, format_: Format) -> None:
    known = {school.uai: school for school in db.session.scalars(select(School))}
    rows = staging.rows(
        "SELECT key, uai, name, degree, address, phone FROM school WHERE act <> 'delete' AND NOT differs "
        "AND uai IS NOT NULL"
    )
    for key, uai, name, degree, address, phone in rows:
        school = known.get(uai)
        if school is None:
            usual = Degree.PRIMARY if format_ in {Format.AAF1D, Format.ONDE} else Degree.SECONDARY
            school = known[uai] = School(uai=uai, name=School.placeholder(uai), degree=usual, address=[])
            db.session.add(school)
        school.roster_key, school.source = key, format_.value
        school.name = name or school.name
        school.degree = Degree[degree] if degree else school.degree
        school.address = json.loads(address) if address else school.address
        school.phone = phone or school.phone


_NEW_ACCOUNTS = (
    f"SELECT account_id, key, {', '.join(GUARDIAN_FIELDS)} FROM guardian "
    "WHERE fate = 'new' AND key NOT IN (SELECT key FROM replaced) ORDER BY key"
)
_CHANGED_ACCOUNTS = (
    f"SELECT k.id, k.key, {', '.join(f'coalesce(g.{field}, k.{field})' for field in GUARDIAN_FIELDS)}, "
    "iif(k.is_blank OR k.opened_as = coalesce(g.given_name, k.given_name), NULL, k.opened_as) "
    "FROM changed_guardian c JOIN guardian g ON g.key = c.key JOIN known_account k ON k.key = c.key ORDER BY k.id"
)


def _change_accounts(batch: str, page: Sequence[tuple[Any, ...]]) -> None:
    moment = now()
    changed = [opening.columns_of(row[:-1]) | {"first_given_name": row[-1], "updated_at": moment} for row in page]
    for values in changed:
        values["this"] = values.pop("id")
        log.record(AccountImported(account_id=values["this"], batch=batch, change="record"))
    db.session.execute(update(_accounts).where(_accounts.c.id == bindparam("this")), changed)


_STUDENTS = (
    "SELECT s.child_id, s.key, k.id, coalesce(c.own, 1), s.uai, coalesce(nullif(s.student_id, ''), k.student_id), "
    "coalesce(s.family_name, k.family_name), coalesce(s.given_name, k.given_name), "
    "coalesce(s.class_name, k.class_name) FROM student s LEFT JOIN known_child k ON k.key = s.key "
    "LEFT JOIN changed_student c ON c.key = s.key "
    "WHERE s.fate IN ('open', 'kept') AND (k.id IS NULL OR c.key IS NOT NULL) ORDER BY s.rowid"
)


def _write_students(
    staging: Staging, schools: dict[str, uuid.UUID], batch: str, page: Sequence[tuple[Any, ...]]
) -> None:
    new, changed = [], []
    for child, key, known, own, uai, student_id, family, given, class_name in page:
        values = {
            "school_id": schools[uai],
            "student_id": student_id or _number(key),
            "family_name": family,
            "given_name": given,
            "class_name": class_name,
            "left_at": None,
        }
        if known is None:
            new.append({"id": uuid.UUID(child), "roster_key": key, **values})
        elif own:
            changed.append({"this": uuid.UUID(child), **values})
    bulk.insert_rows(_children, new)
    if changed:
        db.session.execute(update(_children).where(_children.c.id == bindparam("this")), changed)
    ties.write(staging, batch, [row[0] for row in page])


def _number(key: str) -> str:
    """Return a pupil's number where the file has none: the end of the key, which is the pupil's for ever."""
    return key.rpartition(":")[2][:16]


_RETURNING = (
    "SELECT DISTINCT l.account FROM live l JOIN known_account a ON a.id = l.account WHERE a.is_left ORDER BY l.account"
)
_ENDING = "SELECT account FROM ending UNION SELECT account FROM leaving ORDER BY account"
_LEFT = (
    "SELECT id FROM absent UNION SELECT k.id FROM student s JOIN known_child k ON k.key = s.key "
    "WHERE s.fate = 'gone' AND NOT k.is_left ORDER BY 1"
)
