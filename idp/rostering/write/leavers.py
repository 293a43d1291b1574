"""Closes and reopens accounts whose children leave or come back."""

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, func, literal, select, update

from idp.accounts import mailboxes
from idp.accounts.closings import Merge
from idp.accounts.models import Account, Child, Guardianship
from idp.audit import log
from idp.audit.events import AccountChanged
from idp.audit.registry_events import AccountImported
from idp.config import Settings
from idp.db import UtcDateTime, db, one_of
from idp.rostering.reconcile.staging import Staging
from idp.rostering.write import statements, ties
from idp.rostering.write.statements import EndingLink
from idp.sessions import manager

_accounts = cast("Table", Account.__table__)
_children = cast("Table", Child.__table__)
_BY = "roster"


def welcome_back(settings: Settings, batch: str, page: Sequence[str]) -> None:
    """Reopen the accounts that an import disabled; an account that an operator disabled stays disabled.

    If a mailbox may serve one account only and serves another one now, the account opens without it. It does open,
    because the person has a child here and did nothing to lose the account.

    Lock all accounts before the first mailbox to avoid a deadlock: the confirmation of an email locks the account, then
    the mailbox.
    """
    these = one_of(Account.id, [uuid.UUID(account) for account in page])
    locking = select(Account).where(these).order_by(Account.id).with_for_update()
    for account in db.session.scalars(locking.execution_options(populate_existing=True)).all():
        if account.left_at is None:
            continue
        if account.is_disabled_by_departure:
            account.disabled_at = None
            mailboxes.release_if_refused(settings, account)
        account.left_at = account.removal_warning = None
        db.session.flush()  # the next account of the page must see this one's mailbox
        log.record(AccountChanged(account_id=account.id, change="returned"))
        log.record(AccountImported(account_id=account.id, batch=batch, change="returned"))


def end_links(staging: Staging, batch: str, moment: datetime, page: Sequence[str]) -> None:
    """End links and disable the accounts that have none left, in one transaction."""
    accounts = json.dumps(page)
    ties.lock_accounts(page)
    ending = list(staging.rows(EndingLink, statements.ENDING_LINKS, accounts=accounts))
    if ending:
        changes = [ties.parameters(link.account, link.child) | {"ended_at": moment} for link in ending]
        db.session.execute(ties.UPDATE_ONE, changes)
    for link in ending:
        account_id, change = uuid.UUID(link.account), "tie_ended" if link.both_stay else "child_ended"
        log.record(AccountImported(account_id=account_id, batch=batch, change=change, child=link.child))
    leaving = staging.values(statements.LEAVING_ACCOUNTS, accounts=accounts)
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
            _accounts.c.left_at.is_(None),
            ~select(Merge.account_id).where(Merge.account_id == account_id).exists(),
            ~holds.exists(),
        )
        .values(
            left_at=moment,
            disabled_at=func.coalesce(_accounts.c.disabled_at, literal(moment, UtcDateTime())),
            generation=Account.next_generation(),
            updated_at=moment,
        )
        .returning(_accounts.c.id)
    )


def mark_left(moment: datetime, page: Sequence[str]) -> None:
    """Mark pupils as left, at the same instant at which their ties ended."""
    these = one_of(_children.c.id, [uuid.UUID(child) for child in page])
    db.session.execute(update(_children).where(these, _children.c.left_at.is_(None)).values(left_at=moment))


def disable_if_childless(account_id: uuid.UUID, moment: datetime) -> bool:
    """Disable the account if no tie to a child is left, in the caller's transaction; return whether it was done."""
    if db.session.scalar(_disable(account_id, moment)) is None:
        return False
    log.record(AccountChanged(account_id=account_id, change="left"))
    return True
