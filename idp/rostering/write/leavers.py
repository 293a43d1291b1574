"""Closes accounts whose children leave or whose key goes to another person, and reopens accounts whose children return.

`reconcile.decide` says which record of a key is another person's. That person gets a new account with its own id,
identifier and letter, and inherits nothing (OpenID Connect Core, section 2: a `sub` is never reassigned). The former
account loses the key and keeps everything else. It is closed, unless it has another key, because its person joined two
letters and only one key was given to another person.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, delete, func, select, update

from idp.accounts import directory, mailboxes, notices, one_time_links, school_notices
from idp.accounts.models import Account, Child, Guardianship, RosterAlias
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import Purpose
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import AccountChanged
from idp.audit.registry_events import AccountImported
from idp.clock import now
from idp.config import Settings
from idp.db import UtcDateTime, db, one_of
from idp.rostering.reconcile.schema import GUARDIAN_FIELDS
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Format
from idp.rostering.write import opening, ties
from idp.sessions import manager

_accounts = cast("Table", Account.__table__)
_children = cast("Table", Child.__table__)
_BY = "roster"

# A key that goes from an account to a new one; `uai` is the first school of the new account's pupils.
_REPLACEMENTS = (
    "SELECT r.account AS former_id, r.why AS why, (SELECT min(s.uai) FROM link l JOIN student s ON s.key = l.student "
    "WHERE l.guardian = g.key) AS uai, g.account_id AS account_id, g.key AS key, "
    f"{', '.join(f'g.{field} AS {field}' for field in GUARDIAN_FIELDS)} "
    "FROM replaced_key r JOIN guardian g ON g.key = r.key "
    "WHERE r.account IN (SELECT value FROM json_each(:accounts)) ORDER BY r.account, r.key"
)
_LEAVING_ACCOUNTS = (
    "SELECT account FROM leaving_account WHERE account IN (SELECT value FROM json_each(:accounts)) ORDER BY account"
)
LEFT_STUDENTS = (
    "SELECT id FROM absent_student UNION SELECT k.id FROM student s JOIN known_child k ON k.key = s.key "
    "WHERE s.fate = 'gone' AND NOT k.is_left ORDER BY 1"
)
# `both_stay` says that the pupil and the account of an ending link stay.
_ENDING_LINKS = (
    f"SELECT child, account, child NOT IN ({LEFT_STUDENTS}) AND account NOT IN (SELECT account FROM closing_account) "
    "AS both_stay FROM ending_link WHERE account IN (SELECT value FROM json_each(:accounts))"
)


def welcome_back(settings: Settings, batch: str, page: Sequence[Any]) -> None:
    """Reopen the accounts that closed with their last child; one whose key went to another person stays disabled.

    If a mailbox may serve one account only and serves another one now, the account opens without it. It does open,
    because the person has a child here and did nothing to lose the account.

    Lock all accounts before the first mailbox to avoid a deadlock: the confirmation of an email locks the account, then
    the mailbox.
    """
    these = one_of(Account.id, [uuid.UUID(row.account) for row in page])
    locking = select(Account).where(these).order_by(Account.id).with_for_update()
    for account in db.session.scalars(locking.execution_options(populate_existing=True)).all():
        if not account.has_left:
            continue
        account.disabled_at, account.has_left, account.removal_warning = None, False, None
        mailboxes.release_if_refused(settings, account)
        db.session.flush()  # the next account of the page must see this one's mailbox
        log.record(AccountChanged(account_id=account.id, change="returned"))
        log.record(AccountImported(account_id=account.id, batch=batch, change="returned"))


def end_links(staging: Staging, batch: str, moment: datetime, page: Sequence[Any]) -> None:
    """End links and disable the accounts that have none left, in one transaction."""
    page_accounts = [row.account for row in page]
    accounts = json.dumps(page_accounts)
    ties.lock_accounts(page_accounts)
    ending = list(staging.rows(_ENDING_LINKS, accounts=accounts))
    if ending:
        changes = [ties.parameters(link.account, link.child) | {"ended_at": moment} for link in ending]
        db.session.execute(ties.UPDATE_ONE, changes)
    for link in ending:
        account_id, change = uuid.UUID(link.account), "tie_ended" if link.both_stay else "child_ended"
        log.record(AccountImported(account_id=account_id, batch=batch, change=change, child=link.child))
    leaving = staging.values(_LEAVING_ACCOUNTS, accounts=accounts)
    for account_id in [uuid.UUID(account) for account in leaving]:
        if db.session.scalar(_disable(account_id, moment)) is None:
            continue  # the account has a new child, or is disabled already
        log.record(AccountChanged(account_id=account_id, change="left"))
        manager.end_all(account_id, by=_BY)


def _disable(account_id: uuid.UUID, moment: datetime) -> Any:
    holds = select(Guardianship.child_id).where(Guardianship.account_id == account_id, Guardianship.is_unended)
    return (
        update(_accounts)
        .where(
            _accounts.c.id == account_id,
            _accounts.c.disabled_at.is_(None),
            ~holds.exists(),
        )
        .values(
            has_left=True,
            disabled_at=moment,
            generation=Account.next_generation(),
            updated_at=moment,
        )
        .returning(_accounts.c.id)
    )


def mark_left(moment: datetime, page: Sequence[Any]) -> None:
    """Mark pupils as left, at the same instant at which their ties ended."""
    these = one_of(_children.c.id, [uuid.UUID(row.id) for row in page])
    db.session.execute(update(_children).where(these, _children.c.left_at.is_(None)).values(left_at=moment))


def disable_if_childless(account_id: uuid.UUID, moment: datetime) -> bool:
    """Disable the account if no tie to a child is left, in the caller's transaction; return whether it was done."""
    if db.session.scalar(_disable(account_id, moment)) is None:
        return False
    log.record(AccountChanged(account_id=account_id, change="left"))
    return True


def replace(
    staging: Staging, format_: Format, schools: Mapping[str, uuid.UUID], batch: str, page: Sequence[Any]
) -> None:
    """Open the new accounts of a page of former ones, which lose their keys in the same transaction."""
    rows = list(staging.rows(_REPLACEMENTS, accounts=json.dumps([row.account for row in page])))
    keys, ids = [row.key for row in rows], [uuid.UUID(row.account) for row in page]
    db.session.execute(select(Account.id).where(one_of(Account.id, ids)).order_by(Account.id).with_for_update())
    keyless = _take_keys(keys, ids)
    opening.open_accounts(format_, rows)
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
    aliases = cast("Table", RosterAlias.__table__)
    moment = now()
    db.session.execute(
        update(_accounts).where(one_of(_accounts.c.roster_key, keys)).values(roster_key=None, updated_at=moment)
    )
    db.session.execute(delete(aliases).where(one_of(aliases.c.roster_key, keys)))
    others = (
        select(aliases.c.account_id, func.min(aliases.c.roster_key))
        .join(_accounts, _accounts.c.id == aliases.c.account_id)
        .where(one_of(aliases.c.account_id, ids), _accounts.c.roster_key.is_(None))
        .group_by(aliases.c.account_id)
    )
    for account_id, key in db.session.execute(others).all():
        db.session.execute(delete(aliases).where(aliases.c.roster_key == key))
        db.session.execute(update(_accounts).where(_accounts.c.id == account_id).values(roster_key=key))
    keyless = select(_accounts.c.id).where(one_of(_accounts.c.id, ids), _accounts.c.roster_key.is_(None))
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
    moment = now()
    one_time_links.revoke(account_id, *Purpose)
    db.session.execute(
        update(_accounts)
        .where(_accounts.c.id == account_id)
        .values(
            disabled_at=func.coalesce(_accounts.c.disabled_at, moment, type_=UtcDateTime()),
            has_left=False,  # so that no import reopens the account; an operator may
            generation=Account.next_generation(),
            updated_at=moment,
        )
    )
    log.record(AccountChanged(account_id=account_id, change="replaced"))
    manager.end_all(account_id, by=_BY)
    notices.tell(Notice.REPLACED, account_id, school=school_id, why=why)
