"""A row in scope, by its id. A row outside the scope and a missing row are refused in the same way."""

import uuid
from typing import TypeVar

from sqlalchemy import Select, select

from idp.accounts.closings import Closing
from idp.accounts.models import Account, Child, School, SchoolNotice
from idp.clients.models import Client
from idp.db import db
from idp.desk.access import scope
from idp.desk.access.acting import post
from idp.desk.access.refusal import refuse

_Entity = TypeVar("_Entity")


def own_school() -> School:
    """Return the school of the post, for a view that only roles at a school may call."""
    chosen = post().school
    if chosen is None:
        refuse()
    return chosen


def child(key: uuid.UUID) -> Child:
    """Return a pupil in scope; refuse the page otherwise."""
    return _row(select(Child).where(Child.id == key, scope.children()), key)


def account(key: uuid.UUID) -> Account:
    """Return a guardian's account in scope; refuse the page otherwise."""
    return _row(select(Account).where(Account.id == key, scope.accounts()), key)


def account_to_read(key: uuid.UUID) -> Account:
    """Return a guardian's account whose page the post may read; refuse the page otherwise.

    That is an account in scope, or one that an import of the own school replaced by another one.
    """
    row = db.session.scalar(select(Account).where(Account.id == key, scope.accounts()))
    return row or _row(select(Account).where(Account.id == key, scope.replaced_accounts()), key)


def decision(account_key: uuid.UUID, key: uuid.UUID) -> Closing:
    """Return a decision in scope that closes an account or a tie of it; refuse the page otherwise.

    About a guardian who waits the head decides in « Signalements ».
    """
    of_account = select(Closing).join(Account, Account.id == Closing.account_id)
    chosen = Closing.id == key, Closing.account_id == account_key, Closing.is_decision
    return _row(of_account.where(*chosen, scope.decisions()), key)


def school(key: uuid.UUID) -> School:
    """Return a school in scope; refuse the page otherwise."""
    return _row(select(School).where(School.id == key, scope.schools()), key)


def client(key: uuid.UUID) -> Client:
    """Return an ENT in scope; refuse the page otherwise."""
    return _row(select(Client).where(Client.id == key, scope.clients()), key)


def notice(key: uuid.UUID) -> SchoolNotice:
    """Return a notice in scope; refuse the page otherwise."""
    return _row(select(SchoolNotice).where(SchoolNotice.id == key, scope.notices()), key)


def _row(statement: Select[_Entity], key: uuid.UUID) -> _Entity:
    row = db.session.scalar(statement)
    if row is None:
        refuse(str(key))
    return row
