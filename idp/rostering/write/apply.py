"""Brings the database to what the plan says, in short transactions that may be interrupted anywhere.

What comes is written before what goes, so that no parent is locked out between two pages: schools, accounts, pupils
with their links, then links that end together with the accounts that they leave empty, then the pupils who left. After
a `kill -9`, the next import works the plan out again and writes what is missing. Nothing here writes an email that a
parent confirmed, a password or an identifier of an existing account.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from typing import Any, NamedTuple, cast

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
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Format
from idp.rostering.write import leavers, moving, opening, replacing, statements, ties
from idp.rostering.write.statements import ChangedPerson, ChildAccount, Person, Pupil, SchoolOfFile


def _tell_schools(page: Sequence[str]) -> None:
    """Write the notices about a page of accounts, in the caller's transaction."""
    ids = [uuid.UUID(account) for account in page]
    db.session.execute(select(Account.id).where(one_of(Account.id, ids)).order_by(Account.id).with_for_update())
    for account_id, schools in replacing.families(ids).items():
        school_notices.add(Kind.NAME_IN_DOUBT, account_id, schools)


def _settle_answered(staging: Staging) -> None:
    """Settle the notices about accounts whose person the files name again, in the caller's transaction."""
    waiting = select(SchoolNotice.account_id).where(school_notices.is_open([Kind.NAME_IN_DOUBT])).distinct()
    for account_id in db.session.scalars(waiting.order_by(SchoolNotice.account_id)).all():
        if staging.value(statements.IS_ANSWERED, account=account_id.hex):
            school_notices.settle(
                account_id, by="import", sentence="the file names the same person", kinds=[Kind.NAME_IN_DOUBT]
            )


_PAGE = 500
_SMALL_PAGE = 100
"""For accounts that come back or leave: each may have sessions, and ENTs are told of their end."""
_MANY_ROWS = 10_000
"""After so many, the database's statistics about its tables are wrong until it refreshes them by itself."""

Tick = Callable[[int], None]
Write = Callable[[Any], None]

_accounts = cast("Table", Account.__table__)
_children = cast("Table", Child.__table__)
_MOVE = (
    update(_children)
    .where(_children.c.id == bindparam("changed_id"), _children.c.school_id != bindparam("new_school"))
    .values(moved_at=bindparam("arrived_at"))
)
_links = cast("Table", Guardianship.__table__)


class Phase(NamedTuple):
    """A kind of change: what is selected from the staging database, and the function that writes a page of it.

    `row` is the class of the selected rows; None for a statement that selects one column.
    """

    statement: str
    row: type[tuple[Any, ...]] | None
    size: int
    write: Write

    def pages(self, staging: Staging) -> Iterator[Sequence[Any]]:
        """Yield what is to be written, a page for each transaction."""
        if self.row is None:
            return staging.value_pages(self.statement, self.size)
        return staging.pages(self.row, self.statement, self.size)


def apply(settings: Settings, staging: Staging, format_: Format, batch: str, tick: Tick) -> None:
    """Write everything, and call `tick` with the number of rows of each transaction.

    The audit log names `batch`, the id of the import, for every known account that changes. New accounts are in the
    batch alone.
    """
    retry_unit_of_work(partial(_write_schools, staging, format_))
    schools = dict(db.session.execute(select(School.uai, School.id)).all())
    written = 0
    for phase in _phases(settings, staging, format_, schools, batch):
        for page in phase.pages(staging):
            retry_unit_of_work(partial(phase.write, page))
            written += len(page)
            tick(len(page))
    retry_unit_of_work(partial(_settle_answered, staging))
    retry_unit_of_work(moving.follow_pupils)
    retry_unit_of_work(moving.tell_heirs)
    if written >= _MANY_ROWS:
        bulk.refresh_statistics(_accounts, _children, _links)


def _phases(
    settings: Settings, staging: Staging, format_: Format, schools: dict[str, uuid.UUID], batch: str
) -> tuple[Phase, ...]:
    moment = now()
    replace = partial(replacing.replace, staging, format_, schools, batch)
    write_students = partial(_write_students, staging, schools, batch)
    welcome_back = partial(leavers.welcome_back, settings, batch)
    end_links = partial(leavers.end_links, staging, batch, moment)
    return (
        Phase(statements.NEW_ACCOUNTS, Person, _PAGE, partial(opening.open_accounts, format_)),
        Phase(statements.FORMER_ACCOUNTS, None, _SMALL_PAGE, replace),
        Phase(statements.CHANGED_ACCOUNTS, ChangedPerson, _PAGE, partial(_change_accounts, batch)),
        Phase(statements.DOUBTED_ACCOUNTS, None, _SMALL_PAGE, _tell_schools),
        Phase(statements.STUDENTS, Pupil, _PAGE, write_students),
        Phase(statements.LIFTED_EXCLUSIONS, ChildAccount, _PAGE, ties.lift_exclusions),
        Phase(statements.RETURNING_ACCOUNTS, None, _SMALL_PAGE, welcome_back),
        Phase(statements.ENDING_ACCOUNTS, None, _SMALL_PAGE, end_links),
        Phase(statements.LEFT_STUDENTS, None, _PAGE, partial(leavers.mark_left, moment)),
    )


def _write_schools(staging: Staging, format_: Format) -> None:
    known = {school.uai: school for school in db.session.scalars(select(School))}
    for row in staging.rows(SchoolOfFile, statements.SCHOOLS):
        school = known.get(row.uai)
        if school is None:
            usual = Degree.PRIMARY if format_ in {Format.AAF1D, Format.ONDE} else Degree.SECONDARY
            school = School(uai=row.uai, name=School.placeholder(row.uai), degree=usual, postal_address=[])
            known[row.uai] = school
            db.session.add(school)
        school.roster_key, school.source = row.key, format_.value
        school.name = row.name or school.name
        school.degree = Degree[row.degree] if row.degree else school.degree
        school.postal_address = json.loads(row.address_lines) if row.address_lines else school.postal_address
        school.phone = row.phone or school.phone


def _change_accounts(batch: str, page: Sequence[ChangedPerson]) -> None:
    moment, changed = now(), []
    ids = [uuid.UUID(row.account_id) for row in page]
    named = select(_accounts.c.id, _accounts.c.username).where(one_of(_accounts.c.id, ids))
    usernames = dict(db.session.execute(named).all())
    for row in page:
        values = opening.columns_of(row.person())
        values["changed_id"] = values.pop("id")
        named_values = values | {"username": usernames.get(values["changed_id"], "")}
        values["search_text"] = Account.text_of(named_values)
        changed.append(values | {"first_given_name": row.first_given_name, "updated_at": moment})
        log.record(AccountImported(account_id=values["changed_id"], batch=batch, change="record"))
    db.session.execute(update(_accounts).where(_accounts.c.id == bindparam("changed_id")), changed)


def _write_students(staging: Staging, schools: dict[str, uuid.UUID], batch: str, page: Sequence[Pupil]) -> None:
    new, changed = [], []
    for pupil in page:
        values: dict[str, Any] = {
            "school_id": schools[pupil.uai],
            "student_id": pupil.student_id or _number(pupil.key),
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


def _number(key: str) -> str:
    """Return a pupil's number where the file has none: the end of the key, which never changes."""
    return key.rpartition(":")[2][:16]
