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

from idp.accounts.directory import name_key
from idp.accounts.models import Account, Child, Degree, Guardianship, School
from idp.audit import log
from idp.audit.events import AccountImported
from idp.clock import now
from idp.db import committed, db
from idp.rostering import bulk, leaving, ties, usernames
from idp.rostering.records import Format
from idp.rostering.staging import GUARDIAN_FIELDS, Staging

_PAGE = 500
_FEW = 100
"""A page of accounts that come back or leave: each may have sessions, of which ENTs are told."""

_MANY = 10_000
"""Rows: after so many, what the database knows of the size of its tables is wrong until it looks again by itself."""

Tick = Callable[[int], None]

_accounts = cast("Table", Account.__table__)
_children = cast("Table", Child.__table__)
_links = cast("Table", Guardianship.__table__)


def apply(staging: Staging, format_: Format, batch: str, tick: Tick) -> None:
    """Write everything; `tick` is called with the number of rows that each transaction wrote.

    The journal names `batch` for every account that was there and is changed; whom a file brings is in the batch alone.
    """
    committed(partial(_write_schools, staging, format_))
    schools = dict(db.session.execute(select(School.uai, School.id)).all())
    db.session.commit()
    written, moment = 0, now()
    for statement, size, write in (
        (_NEW_ACCOUNTS, _PAGE, partial(_open_accounts, format_)),
        (_STARTING_AGAIN, _FEW, partial(leaving.begin_again, batch)),
        (_CHANGED_ACCOUNTS, _PAGE, partial(_change_accounts, batch)),
        (_STUDENTS, _PAGE, partial(_write_students, staging, schools, batch)),
        (_RETURNING, _FEW, partial(leaving.welcome_back, batch)),
        (_ENDING, _FEW, partial(leaving.end_links, staging, batch, moment)),
        (_LEFT, _PAGE, partial(leaving.mark_left, moment)),
    ):
        for page in staging.pages(statement, size):
            committed(partial(write, page))
            written += len(page)
            tick(len(page))
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


_NEW_ACCOUNTS = f"SELECT account_id, key, {', '.join(GUARDIAN_FIELDS)} FROM guardian WHERE fate = 'new' ORDER BY key"
_CHANGED_ACCOUNTS = (
    f"SELECT k.id, k.key, {', '.join(f'coalesce(g.{field}, k.{field})' for field in GUARDIAN_FIELDS)} "
    "FROM changed_guardian c JOIN guardian g ON g.key = c.key JOIN known_account k ON k.key = c.key ORDER BY k.id"
)


def _open_accounts(format_: Format, page: Sequence[tuple[Any, ...]]) -> None:
    """Open a page of accounts. An identifier that is taken is drawn again: the index decides, nobody looks before."""
    opened = {}
    for row in page:
        values = _account(row)
        values["roster_key"] = row[1]
        values["join_key"] = row[1].partition(":")[2] if format_ in {Format.AAF, Format.AAF1D} else None
        opened[values["id"]] = values
    for attempt in usernames.ATTEMPTS:
        wanted = {}
        for values in opened.values():
            begun = usernames.base(values["given_name"], values["family_name"])
            values["username"] = usernames.drawn(begun, attempt)
            wanted[values["username"]] = values  # of two that draw one number, the other draws again
        for key in bulk.insert_unless_taken(_accounts, "username", list(wanted.values())):
            del opened[key]
        if not opened:
            return
    raise RuntimeError("no free identifier of eight digits: this cannot be chance")


def _change_accounts(batch: str, page: Sequence[tuple[Any, ...]]) -> None:
    moment = now()
    changed = [_account(row) | {"updated_at": moment} for row in page]
    for values in changed:
        values["this"] = values.pop("id")
        log.record(AccountImported(account_id=values["this"], batch=batch, change="record"))
    db.session.execute(update(_accounts).where(_accounts.c.id == bindparam("this")), changed)


def _account(row: Sequence[Any]) -> dict[str, Any]:
    """Return the columns that a file decides. Names stay letter by letter as it has them."""
    account, _, civility, family, birth, given, address, postcode, city, country, mail, diffusion = row
    return {
        "id": uuid.UUID(account),
        "civility": civility,
        "family_name": family,
        "birth_name": birth,
        "given_name": given,
        "name_key": name_key(given, family),
        "address_lines": json.loads(address),
        "postcode": postcode,
        "city": city,
        "country": country,
        "school_email": mail or None,
        "address_diffusion": None if diffusion is None else bool(diffusion),
    }


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


_STARTING_AGAIN = "SELECT account_id FROM guardian WHERE starts_again AND fate = 'known' ORDER BY account_id"
_RETURNING = (
    "SELECT DISTINCT l.account FROM live l JOIN known_account a ON a.id = l.account WHERE a.is_left ORDER BY l.account"
)
_ENDING = "SELECT DISTINCT account FROM ending ORDER BY account"
_LEFT = (
    "SELECT id FROM absent UNION SELECT k.id FROM student s JOIN known_child k ON k.key = s.key "
    "WHERE s.fate = 'gone' AND NOT k.is_left ORDER BY 1"
)
