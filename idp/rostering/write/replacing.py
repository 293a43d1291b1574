"""Gives a key of the files to a new account when it names another person than the account's.

`reconcile.decide` says which person is another one. The new account has its own id, identifier and letter, and inherits
nothing (OpenID Connect Core, section 2: a `sub` is never reassigned). The former account loses the key and keeps
everything else. It is closed, unless it has another key, because its person joined two letters and only one key was
given to another person.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import cast

from sqlalchemy import Table, delete, func, select, update

from idp.accounts import directory, notices, one_time_links, school_notices
from idp.accounts.models import Account, Child, Guardianship, RosterAlias
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import Purpose
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import AccountChanged
from idp.audit.registry_events import AccountImported
from idp.clock import now
from idp.db import UtcDateTime, db, one_of
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Format
from idp.rostering.write import opening, statements
from idp.rostering.write.statements import Replacement
from idp.sessions import manager

_BY = "roster"


def replace(
    staging: Staging, format_: Format, schools: Mapping[str, uuid.UUID], batch: str, page: Sequence[str]
) -> None:
    """Open the new accounts of a page of former ones, which lose their keys in the same transaction."""
    rows = list(staging.rows(Replacement, statements.REPLACEMENTS, accounts=json.dumps(page)))
    keys, ids = [row.key for row in rows], [uuid.UUID(account) for account in page]
    db.session.execute(select(Account.id).where(one_of(Account.id, ids)).order_by(Account.id).with_for_update())
    keyless = _take_keys(keys, ids)
    opening.open_accounts(format_, [row.person() for row in rows])
    families_of = families(ids)
    closing: dict[uuid.UUID, tuple[str, str]] = {}
    for row in rows:
        account_id, school_id = uuid.UUID(row.former_id), schools.get(row.uai or "")
        closes = account_id in keyless
        concerned = dict(families_of.get(account_id, {})) if closes else {}
        if school_id is not None:
            concerned.setdefault(school_id, families_of.get(account_id, {}).get(school_id, []))
        school_notices.add(Kind.PERSON_REPLACED, account_id, concerned, other_account_id=uuid.UUID(row.account_id))
        log.record(AccountImported(account_id=account_id, batch=batch, change="replaced" if closes else "key_replaced"))
        if closes:
            closing.setdefault(account_id, (str(school_id or next(iter(concerned), "")), row.why))
    for account_id, (told_of, why) in closing.items():
        _close(account_id, told_of, why)


def _take_keys(keys: Sequence[str], ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Take the keys from their accounts, and return the accounts without a key.

    An account that has a second key continues under it.
    """
    accounts, aliases = cast("Table", Account.__table__), cast("Table", RosterAlias.__table__)
    moment = now()
    db.session.execute(
        update(accounts).where(one_of(accounts.c.roster_key, keys)).values(roster_key=None, updated_at=moment)
    )
    db.session.execute(delete(aliases).where(one_of(aliases.c.roster_key, keys)))
    others = (
        select(aliases.c.account_id, func.min(aliases.c.roster_key))
        .join(accounts, accounts.c.id == aliases.c.account_id)
        .where(one_of(aliases.c.account_id, ids), accounts.c.roster_key.is_(None))
        .group_by(aliases.c.account_id)
    )
    for account_id, key in db.session.execute(others).all():
        db.session.execute(delete(aliases).where(aliases.c.roster_key == key))
        db.session.execute(update(accounts).where(accounts.c.id == account_id).values(roster_key=key))
    keyless = select(accounts.c.id).where(one_of(accounts.c.id, ids), accounts.c.roster_key.is_(None))
    return set(db.session.scalars(keyless))


def families(ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, dict[uuid.UUID, list[uuid.UUID]]]:
    """Return the schools of the accounts, each with the account's children there."""
    rows = db.session.execute(
        select(Guardianship.account_id, Child.school_id, Child.id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(one_of(Guardianship.account_id, ids), directory.concerns_its_school())
        .order_by(Guardianship.rank, Child.id)
    ).all()
    by_account: dict[uuid.UUID, dict[uuid.UUID, list[uuid.UUID]]] = {}
    for account_id, school_id, child_id in rows:
        by_account.setdefault(account_id, {}).setdefault(school_id, []).append(child_id)
    return by_account


def _close(account_id: uuid.UUID, school_id: str, why: str) -> None:
    """Disable an account, end its sessions and links, and tell its confirmed mailbox. Nothing is erased."""
    accounts, moment = cast("Table", Account.__table__), now()
    one_time_links.revoke(account_id, *Purpose)
    db.session.execute(
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(
            disabled_at=func.coalesce(accounts.c.disabled_at, moment, type_=UtcDateTime()),
            left_at=None,  # so that no import reopens the account; an operator may
            generation=Account.next_generation(),
            updated_at=moment,
        )
    )
    log.record(AccountChanged(account_id=account_id, change="replaced"))
    manager.end_all(account_id, by=_BY)
    notices.tell(Notice.REPLACED, account_id, school=school_id, why=why)
