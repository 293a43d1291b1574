"""The entry of the journal for an account that a person of the desk opened."""

import uuid

from idp.accounts.models import Account
from idp.accounts.suspensions.models import Suspension
from idp.audit import log
from idp.audit.events import AccountRead
from idp.db import unit_of_work
from idp.desk import access


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


def open_decision(account_key: uuid.UUID, key: uuid.UUID) -> Suspension:
    """Return a suspension in scope, and journal that the person opened its account; refuse it otherwise."""
    row = access.decision(account_key, key)
    note_account(row.account_id)
    return row


@unit_of_work()
def note_account(account_id: uuid.UUID) -> None:
    """Journal that the person read an account, for the school of the post if it has one."""
    school = access.post().school
    log.record(AccountRead(account_id=account_id, school=school.uai if school else ""))
