"""The entry of the journal for an account or a pupil that a person of the desk opened: one for a visit."""

import uuid
from datetime import timedelta

from sqlalchemy import ColumnElement, select

from idp.accounts.closings import Closing
from idp.accounts.models import Account
from idp.audit import log
from idp.audit.desk_events import PupilRead
from idp.audit.events import AccountRead
from idp.audit.kinds import Event
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk import access

VISIT = timedelta(minutes=30)
"""How long the pages about one account or pupil are one visit."""


def open_account(key: uuid.UUID) -> Account:
    """Return an account in scope, and journal that the person opened it, by a GET or a POST; refuse it otherwise."""
    account = access.account(key)
    note_account(account.id)
    return account


def open_to_read(key: uuid.UUID) -> Account:
    """Return an account whose page the post may read (`access.account_to_read`), and journal that it was opened."""
    account = access.account_to_read(key)
    note_account(account.id)
    return account


def open_decision(account_key: uuid.UUID, key: uuid.UUID) -> Closing:
    """Return a closing in scope, and journal that the person opened its account; refuse it otherwise."""
    row = access.decision(account_key, key)
    note_account(row.account_id)
    return row


def note_account(account_id: uuid.UUID) -> None:
    """Journal that the person read an account, for the school of the post if it has one."""
    school = access.post().school
    event = AccountRead(account_id=account_id, school=school.uai if school else "")
    _note_once(event, AuditEntry.account_id == account_id)


def note_pupil(child_id: uuid.UUID) -> None:
    """Journal that the person read the page of a pupil."""
    _note_once(PupilRead(child=str(child_id)), AuditEntry.details["child"].as_string() == str(child_id))


@unit_of_work()
def _note_once(event: Event, about: ColumnElement[bool]) -> None:
    """Journal a reading, once for a visit: one person, one post, one reason, and `VISIT` since the entry."""
    known = access.person()
    since, school = now() - VISIT, access.post().school
    if (given := known.session.reason_at) is not None:
        since = max(since, given)
    noted = select(AuditEntry.id).where(
        AuditEntry.staff_id == known.staff.id,
        AuditEntry.at > since,
        AuditEntry.kind == event.kind,
        AuditEntry.school_id == (school.id if school else None),
        about,
    )
    if db.session.scalar(noted.limit(1)) is None:
        log.record(event)
