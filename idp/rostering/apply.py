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

from sqlalchemy import Table, bindparam, func, literal, select, update

from idp.accounts.directory import name_key
from idp.accounts.models import Account, Child, Degree, Guardianship, School
from idp.audit import log
from idp.audit.events import AccountChanged
from idp.clock import now
from idp.db import UtcDateTime, committed, db
from idp.rostering import bulk, usernames
from idp.rostering.records import Format
from idp.rostering.staging import GUARDIAN_FIELDS, Staging
from idp.sessions import manager

_PAGE = 500
_ACCOUNTS_THAT_LEAVE = 100
"""A page of these is small: each may have sessions, of which ENTs are told."""

_MANY = 10_000
"""Rows: after so many, what the database knows of the size of its tables is wrong until it looks again by itself."""

Tick = Callable[[int], None]

_accounts = cast("Table", Account.__table__)
_children = cast("Table", Child.__table__)
_links = cast("Table", Guardianship.__table__)


def apply(staging: Staging, format_: Format, tick: Tick) -> None:
    """Write everything; `tick` is called with the number of rows that each transaction wrote."""
    committed(partial(_write_schools, staging, format_))
    schools = dict(db.session.execute(select(School.uai, School.id)).all())
    db.session.commit()
    written = 0
    for statement, size, write in (
        (_NEW_ACCOUNTS, _PAGE, partial(_open_accounts, format_)),
        (_CHANGED_ACCOUNTS, _PAGE, _change_accounts),
        (_STUDENTS, _PAGE, partial(_write_students, staging, schools)),
        (_ENDING, _ACCOUNTS_THAT_LEAVE, partial(_end_links, staging)),
        (_LEFT, _PAGE, _mark_left),
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
            school = known[uai] = School(uai=uai, name=f"Établissement {uai}", degree=usual, address=[])
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


def _change_accounts(page: Sequence[tuple[Any, ...]]) -> None:
    moment = now()
    changed = [_account(row) | {"updated_at": moment} for row in page]
    for values in changed:
        values["this"] = values.pop("id")
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


def _write_students(staging: Staging, schools: dict[str, uuid.UUID], page: Sequence[tuple[Any, ...]]) -> None:
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
    _write_links(staging, [row[0] for row in page])


def _number(key: str) -> str:
    """Return a pupil's number where the file has none: the end of the key, which is the pupil's for ever."""
    return key.rpartition(":")[2][:16]


_ONE_LINK = update(_links).where(
    _links.c.account_id == bindparam("this_account"), _links.c.child_id == bindparam("this_child")
)


def _this(account: str, child: str) -> dict[str, Any]:
    return {"this_account": uuid.UUID(account), "this_child": uuid.UUID(child)}


def _write_links(staging: Staging, children: Sequence[str]) -> None:
    marks = ", ".join("?" * len(children))
    rows = staging.rows(
        "SELECT l.child, l.account, l.kinship, l.authority, k.child IS NOT NULL, a.is_left FROM live l "
        "JOIN student s ON s.child_id = l.child "
        "LEFT JOIN known_link k ON k.child = l.child AND k.account = l.account "
        "LEFT JOIN known_account a ON a.id = l.account "
        f"WHERE l.child IN ({marks}) AND (k.child IS NULL OR k.is_ended OR k.kinship IS NOT l.kinship "
        "OR k.authority IS NOT l.authority) ORDER BY l.account, s.rowid",
        *children,
    )
    new, changed, returning = [], [], set()
    for child, account, kinship, authority, is_known, is_left in rows:
        pair = {"account_id": uuid.UUID(account), "child_id": uuid.UUID(child)}
        if is_left:
            returning.add(pair["account_id"])
        if is_known:
            changed.append(_this(account, child) | {"kinship": kinship, "authority": authority, "ended_at": None})
        else:
            new.append(pair | {"kinship": kinship, "authority": authority})
    bulk.insert_rows(_links, _ranked(new))
    if changed:
        db.session.execute(_ONE_LINK, changed)
    _welcome_back(sorted(returning))


def _ranked(links: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put new children after those that their guardians have, in the file's order."""
    guardians = sorted({link["account_id"] for link in links})
    query = select(_links.c.account_id, func.max(_links.c.rank)).where(bulk.one_of(_links.c.account_id, guardians))
    last = dict(db.session.execute(query.group_by(_links.c.account_id)).all()) if guardians else {}
    ranked = []
    for link in links:
        last[link["account_id"]] = rank = last.get(link["account_id"], -1) + 1
        ranked.append(link | {"rank": rank})
    return ranked


def _welcome_back(accounts: Sequence[uuid.UUID]) -> None:
    """Open the accounts that a file had shut; one that an operator shut stays so."""
    for account_id in accounts:
        row = db.session.execute(
            select(_accounts.c.left_at, _accounts.c.disabled_at).where(_accounts.c.id == account_id).with_for_update()
        ).one_or_none()
        if row is None or row.left_at is None:
            continue
        opened = {"disabled_at": None} if row.disabled_at == row.left_at else {}
        db.session.execute(
            update(_accounts).where(_accounts.c.id == account_id).values(left_at=None, updated_at=now(), **opened)
        )
        log.record(AccountChanged(account_id=account_id, change="returned"))


_ENDING = "SELECT DISTINCT account FROM ending ORDER BY account"


def _end_links(staging: Staging, page: Sequence[tuple[str]]) -> None:
    """End links, and shut the accounts that have none left, in one transaction: no third state."""
    moment = now()
    accounts = [account for (account,) in page]
    marks = ", ".join("?" * len(accounts))
    ending = staging.rows(f"SELECT account, child FROM ending WHERE account IN ({marks})", *accounts)
    db.session.execute(_ONE_LINK, [_this(account, child) | {"ended_at": moment} for account, child in ending])
    leaving = staging.rows(f"SELECT account FROM leaving WHERE account IN ({marks}) ORDER BY account", *accounts)
    for account_id in [uuid.UUID(account) for (account,) in leaving]:
        shut = (
            update(_accounts)
            .where(_accounts.c.id == account_id, _accounts.c.left_at.is_(None), _accounts.c.merged_into_id.is_(None))
            .values(
                left_at=moment,
                disabled_at=func.coalesce(_accounts.c.disabled_at, literal(moment, UtcDateTime())),
                generation=_accounts.c.generation + 1,
                updated_at=moment,
            )
            .returning(_accounts.c.id)
        )
        if db.session.scalar(shut) is None:
            continue
        log.record(AccountChanged(account_id=account_id, change="left"))
        manager.end_all(account_id, by="roster")


_LEFT = (
    "SELECT id FROM absent UNION SELECT k.id FROM student s JOIN known_child k ON k.key = s.key "
    "WHERE s.fate = 'gone' AND NOT k.is_left ORDER BY 1"
)


def _mark_left(page: Sequence[tuple[str]]) -> None:
    these = bulk.one_of(_children.c.id, [uuid.UUID(child) for (child,) in page])
    db.session.execute(update(_children).where(these, _children.c.left_at.is_(None)).values(left_at=now()))
