"""Brings the database to what the plan says, in short transactions that may be interrupted anywhere.

What comes is written before what goes, so that no parent is locked out between two pages: schools, accounts, pupils
with their links, then links that end together with the accounts that they leave empty, then the pupils who left. After
a `kill -9`, the next import works the plan out again and writes what is missing. Nothing here writes an email that a
parent confirmed, a password or an identifier of an existing account.
"""

import json
import uuid
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import Any, cast

from sqlalchemy import Table, bindparam, select, update

from idp.accounts import school_notices
from idp.accounts.models import Account, Child, Degree, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.registry_events import AccountImported
from idp.clock import now
from idp.config import Settings
from idp.db import db, one_of, retry_unit_of_work
from idp.rostering import bulk
from idp.rostering.reconcile.schema import GUARDIAN_FIELDS
from idp.rostering.reconcile.staging import Staging, Tick
from idp.rostering.reconcile.statements import HERE, made_of_names, said_or_known, stem
from idp.rostering.records import Format
from idp.rostering.write import leavers, moving, opening, ties

_PAGE = 500
_SMALL_PAGE = 100  # for accounts that come back or leave: each may have sessions, and ENTs are told of their end
# After so many, the database's statistics about its tables are wrong until it refreshes them by itself.
_MANY_ROWS = 10_000

_SCHOOLS = (
    "SELECT key, uai, name, degree, address_lines, phone FROM school "
    "WHERE act <> 'delete' AND NOT differs AND uai IS NOT NULL"
)
_NEW_ACCOUNTS = (
    f"SELECT account_id, key, {', '.join(GUARDIAN_FIELDS)} FROM guardian "
    "WHERE fate = 'new' AND key NOT IN (SELECT key FROM replaced_key) ORDER BY key"
)
_MERGED = ", ".join(f"{said_or_known('g', 'k', field)} AS {field}" for field in GUARDIAN_FIELDS)
_CHANGED_ACCOUNTS = (
    f"SELECT k.id AS account_id, k.key AS key, {_MERGED}, "
    "iif(k.is_blank OR k.opened_as = coalesce(g.given_name, k.given_name), NULL, k.opened_as) AS first_given_name "
    "FROM changed_guardian c JOIN guardian g ON g.key = c.key JOIN known_account k ON k.key = c.key ORDER BY k.id"
)
_FORMER_ACCOUNTS = "SELECT DISTINCT account FROM replaced_key ORDER BY account"
_DOUBTED_ACCOUNTS = "SELECT account FROM doubted_account ORDER BY account"
# Whether the files name the person of an account, and no record of that person is in doubt.
_IS_ANSWERED = (
    "SELECT EXISTS (SELECT 1 FROM guardian WHERE fate = 'known' AND account_id = :account AND given_name IS NOT NULL) "
    "AND NOT EXISTS (SELECT 1 FROM doubted_account WHERE account = :account)"
)
# `own` says that more than the links of a pupil changes. A new pupil has another key than the file's if a namesake has
# that one. The number is not a digest of the birth date, which an ENT that knows the names would compute.
_STUDENTS = (
    f"SELECT s.child_id AS child_id, iif(k.id IS NULL AND {made_of_names('s.key')}, coalesce((SELECT {stem('s.key')} "
    f"|| substr(o.id, 1, 16) FROM known_child o WHERE {stem('o.stored')} = {stem('s.key')} AND o.stored = s.key), "
    "s.key), s.key) AS key, k.id AS known_id, coalesce(c.own, 1) AS own, s.uai AS uai, "
    f"coalesce(nullif(s.student_id, ''), k.student_id, iif(s.birth_date IS NOT NULL AND {made_of_names('s.key')}, "
    "substr(s.child_id, 1, 16), NULL)) AS student_id, "
    "coalesce(s.family_name, k.family_name) AS family_name, coalesce(s.given_name, k.given_name) AS given_name, "
    "coalesce(s.class_name, k.class_name) AS class_name, coalesce(s.birth_date, k.birth_date) AS birth_date "
    "FROM student s LEFT JOIN known_child k ON k.key = s.key "
    "LEFT JOIN changed_student c ON c.key = s.key "
    f"WHERE s.fate IN {HERE} AND (k.id IS NULL OR c.key IS NOT NULL) ORDER BY s.rowid"
)
_LIFTED_EXCLUSIONS = "SELECT child, account FROM lifted_exclusion ORDER BY child, account"
_RETURNING_ACCOUNTS = (
    "SELECT DISTINCT l.account FROM allowed_link l JOIN known_account a ON a.id = l.account WHERE a.is_left "
    "ORDER BY l.account"
)
_ENDING_ACCOUNTS = "SELECT account FROM ending_link UNION SELECT account FROM leaving_account ORDER BY account"


_accounts = cast("Table", Account.__table__)
_children = cast("Table", Child.__table__)
_MOVE = (
    update(_children)
    .where(_children.c.id == bindparam("changed_id"), _children.c.school_id != bindparam("new_school"))
    .values(moved_at=bindparam("arrived_at"))
)
_links = cast("Table", Guardianship.__table__)


def apply(settings: Settings, staging: Staging, format_: Format, batch: str, tick: Tick) -> None:
    """Write everything, and call `tick` with the number of rows of each transaction.

    The audit log names `batch`, the id of the import, for every known account that changes. New accounts are in the
    batch alone.
    """
    retry_unit_of_work(partial(_write_schools, staging, format_))
    schools = dict(db.session.execute(select(School.uai, School.id)).all())
    written = 0
    for statement, size, write in _phases(settings, staging, format_, schools, batch):
        for page in staging.pages(statement, size):
            retry_unit_of_work(partial(write, page))
            written += len(page)
            tick(len(page))
    retry_unit_of_work(partial(_settle_answered, staging))
    retry_unit_of_work(moving.follow_pupils)
    retry_unit_of_work(moving.tell_heirs)
    if written >= _MANY_ROWS:
        bulk.refresh_statistics(_accounts, _children, _links)


def _phases(
    settings: Settings, staging: Staging, format_: Format, schools: dict[str, uuid.UUID], batch: str
) -> tuple[tuple[str, int, Callable[[Sequence[Any]], None]], ...]:
    """Return the kinds of changes in their order: the statement, the rows of a transaction, and what writes them."""
    moment = now()
    return (
        (_NEW_ACCOUNTS, _PAGE, partial(opening.open_accounts, format_)),
        (_FORMER_ACCOUNTS, _SMALL_PAGE, partial(leavers.replace, staging, format_, schools, batch)),
        (_CHANGED_ACCOUNTS, _PAGE, partial(_change_accounts, batch)),
        (_DOUBTED_ACCOUNTS, _SMALL_PAGE, _tell_schools),
        (_STUDENTS, _PAGE, partial(_write_students, staging, schools, batch)),
        (_LIFTED_EXCLUSIONS, _PAGE, ties.lift_exclusions),
        (_RETURNING_ACCOUNTS, _SMALL_PAGE, partial(leavers.welcome_back, settings, batch)),
        (_ENDING_ACCOUNTS, _SMALL_PAGE, partial(leavers.end_links, staging, batch, moment)),
        (leavers.LEFT_STUDENTS, _PAGE, partial(leavers.mark_left, moment)),
    )


def _write_schools(staging: Staging, format_: Format) -> None:
    known = {school.uai: school for school in db.session.scalars(select(School))}
    for row in staging.rows(_SCHOOLS):
        school = known.get(row.uai)
        if school is None:
            name, degree = School.placeholder(row.uai), format_.facts.degree
            school = School(uai=row.uai, name=name, degree=degree, postal_address=[])
            known[row.uai] = school
            db.session.add(school)
        school.roster_key, school.source = row.key, format_.value
        school.name = row.name or school.name
        school.degree = Degree[row.degree] if row.degree else school.degree
        school.postal_address = json.loads(row.address_lines) if row.address_lines else school.postal_address
        school.phone = row.phone or school.phone


def _tell_schools(page: Sequence[Any]) -> None:
    ids = [uuid.UUID(row.account) for row in page]
    db.session.execute(select(Account.id).where(one_of(Account.id, ids)).order_by(Account.id).with_for_update())
    for account_id, schools in leavers.families(ids).items():
        school_notices.add(Kind.NAME_IN_DOUBT, account_id, schools)


def _settle_answered(staging: Staging) -> None:
    waiting = select(SchoolNotice.account_id).where(school_notices.is_open([Kind.NAME_IN_DOUBT])).distinct()
    for account_id in db.session.scalars(waiting.order_by(SchoolNotice.account_id)).all():
        if staging.value(_IS_ANSWERED, account=account_id.hex):
            school_notices.settle(
                account_id, by="import", sentence="the file names the same person", kinds=[Kind.NAME_IN_DOUBT]
            )


def _change_accounts(batch: str, page: Sequence[Any]) -> None:
    moment, changed = now(), []
    ids = [uuid.UUID(row.account_id) for row in page]
    named = select(_accounts.c.id, _accounts.c.username).where(one_of(_accounts.c.id, ids))
    usernames = dict(db.session.execute(named).all())
    for row in page:
        values = opening.columns_of(row)
        values["changed_id"] = values.pop("id")
        named_values = values | {"username": usernames.get(values["changed_id"], "")}
        values["search_text"] = Account.text_of(named_values)
        changed.append(values | {"first_given_name": row.first_given_name, "updated_at": moment})
        log.record(AccountImported(account_id=values["changed_id"], batch=batch, change="record"))
    db.session.execute(update(_accounts).where(_accounts.c.id == bindparam("changed_id")), changed)


def _write_students(staging: Staging, schools: dict[str, uuid.UUID], batch: str, page: Sequence[Any]) -> None:
    new, changed = [], []
    for pupil in page:
        values: dict[str, Any] = {
            "school_id": schools[pupil.uai],
            # without a number in the file: the end of the key, which never changes
            "student_id": pupil.student_id or pupil.key.rpartition(":")[2][:16],
            "family_name": pupil.family_name,
            "given_name": pupil.given_name,
            "class_name": pupil.class_name,
            "birth_date": pupil.birth_date and date.fromisoformat(pupil.birth_date),
            "left_at": None,
        }
        values["search_text"] = Child.text_of(values)
        if pupil.known_id is None:
            new.append({"id": uuid.UUID(pupil.child_id), "roster_key": pupil.key, **values})
        elif pupil.own:
            changed.append({"changed_id": uuid.UUID(pupil.child_id), **values})
    bulk.insert_rows(_children, new)
    if changed:
        moment = now()
        moves = [
            {"changed_id": row["changed_id"], "new_school": row["school_id"], "arrived_at": moment} for row in changed
        ]
        db.session.execute(_MOVE, moves)
        db.session.execute(update(_children).where(_children.c.id == bindparam("changed_id")), changed)
    ties.write(staging, batch, [pupil.child_id for pupil in page])
