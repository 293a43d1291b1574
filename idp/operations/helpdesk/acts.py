"""An operator's acts on an account: each is one transaction with its journal entry.

No act sets or shows a password: a new one comes by mail or by letter (security row K-03). Each act locks the account's
row first, as a sign-in does: after the act has committed, no earlier session is alive (Z-05).
"""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, select, update

from idp.accounts import directory, disputes, emails, mailboxes, school_notices
from idp.accounts.emails import NothingToConfirm, Sent, TooSoon
from idp.accounts.models import Account, School, SchoolNotice
from idp.audit import log
from idp.audit.events import AccountChanged, AccountRead
from idp.clock import now
from idp.config import Settings
from idp.db import db, retry_unit_of_work, unit_of_work
from idp.oidc.claims import standard
from idp.operations.batches import account_ranges
from idp.passkeys import keys
from idp.sessions import liveness, manager
from idp.sessions.models import Session
from idp.throttle import guard

OPERATOR = "operator"


class RefusedError(Exception):
    """The act is not possible for this account; the message is the sentence to show, and nothing was done.

    `code` names the reason for pages in French, where one of them has to tell the reasons apart.
    """

    def __init__(self, sentence: str = "", code: str = "") -> None:
        super().__init__(sentence)
        self.code = code


def unlock(account_id: uuid.UUID) -> list[tuple[uuid.UUID, str]]:
    """Reset the account's wrong tries; return the ids and kinds of the notices that this settled.

    Raises:
        RefusedError: the account is in dispute: the school settles that first.
    """
    with unit_of_work():
        account = _locked(account_id)
        if disputes.is_closed(account):
            name = account.username
            raise RefusedError(f"{name} is closed by a dispute: settle it with `idp account disputes {name}`")
        account.tries_forgotten_at = now()  # its browsers become unknown: their counters cannot be reset here
        by = log.current_origin().actor
        settled = school_notices.settle(account.id, by=by, sentence="unlocked", kinds=school_notices.SETTLED_BY_UNLOCK)
        _note(account, "unlocked")
    guard.clear_account(account.username)
    return settled


def resend(settings: Settings, account_id: uuid.UUID) -> None:
    """Send the link again that confirms the address of an account; the rate limits of parents apply.

    Raises:
        RefusedError: no address waits for confirmation, or a mail was sent too recently.
    """
    match emails.resend(settings, account_id, ip=log.current_origin().actor, client_id=None):
        case TooSoon() as wait:
            raise RefusedError(f"mails were sent too recently: the next one is possible in {wait.seconds} seconds")
        case NothingToConfirm():
            raise RefusedError("no address waits for confirmation")
        case Sent():
            return


@unit_of_work()
def remove_passkeys(reason: str, account_id: uuid.UUID) -> int:
    """Remove all passkeys of an account, end its sessions, and tell the person by mail; return the number of passkeys.

    Somebody who signed in by a passkey that is no longer trusted must not stay signed in.

    Raises:
        RefusedError: it has none.
    """
    account = _locked(account_id)
    removed = keys.remove_all(account.id, by=OPERATOR, reason=reason)
    if not removed:
        raise RefusedError(f"{account.username} has no passkey")
    manager.end_all(account.id, by=OPERATOR)
    return removed


@unit_of_work()
def void_letter(notice_id: uuid.UUID, sentence: str) -> None:
    """Settle the notice that somebody guessed at a letter, and void the letter: others may hold it.

    An account that was activated meanwhile keeps its password. A new letter settles such notices, so the letter of an
    open one is the letter that it is about.

    Raises:
        RefusedError: there is no such notice, or somebody else has settled it (`settled`).
    """
    notice = db.session.get(SchoolNotice, notice_id)
    if notice is None:
        raise RefusedError("there is no such notice")
    account = _locked(notice.account_id)
    refusal = school_notices.settle_one(notice_id, by=log.current_origin().actor, sentence=sentence)
    if refusal is not None:
        raise RefusedError("the notice cannot be settled", refusal.value)
    if account.activated_at is None and account.provisional_hash is not None:
        disputes.revoke_credentials([account.id])
        account.provisional_hash = account.provisional_expires_at = None
        manager.end_all(account.id, by=OPERATOR)
        _note(account, "letter_voided")


@unit_of_work()
def disable(account_id: uuid.UUID) -> int:
    """Disable an account, and refuse all that was issued for it for ever; return the number of ended sessions.

    If a school's file disabled the account, the operator disables it from now on: no file enables it again.
    """
    account = _locked(account_id)
    if account.disabled_at is not None and not account.is_disabled_by_departure:
        raise RefusedError(f"{account.username} is disabled already")
    account.disabled_at = now()
    account.credentials_changed()  # earlier links, codes and tokens stay invalid when the account is enabled again
    _note(account, "disabled")
    return manager.end_all(account.id, by=OPERATOR)


@unit_of_work()
def enable(settings: Settings, account_id: uuid.UUID) -> None:
    """Enable a disabled account, with the password that it had.

    Raises:
        RefusedError: it is not disabled, or another account has confirmed its mailbox meanwhile, which may serve only
            one.
    """
    account = _locked(account_id)
    if account.merged_into_id is not None:
        raise RefusedError(f"{account.username} was merged into another account, which has its children")
    if account.disabled_at is None:
        raise RefusedError(f"{account.username} is not disabled")
    if account.email is not None and mailboxes.is_refused(settings, account, account.email):
        raise RefusedError(
            f"{account.username} stays disabled: another account has confirmed its mailbox meanwhile, and "
            "IDP_SHARED_MAILBOX=refuse; one of the two needs another mailbox"
        )
    account.disabled_at = None
    _note(account, "enabled")


@unit_of_work()
def end_sessions(account_id: uuid.UUID) -> int:
    """End all sessions of the account and have the ENTs told; return their number."""
    account = _locked(account_id)
    return manager.end_all(account.id, by=OPERATOR)


@unit_of_work()
def change_claims(
    account_id: uuid.UUID, changes: Mapping[str, str], removed: Collection[str], school: School | None
) -> dict[str, Any]:
    """Set and remove standard claims that no school file has; return all that the account then has.

    The journal stores the names, never the values. Without a change, it records that the operator of `school` read
    them.

    Raises:
        ClaimError: a name or a value is not allowed; nothing was changed.
    """
    account = _locked(account_id)
    before = dict(account.more_claims)
    after = standard.with_changes(before, changes, removed)
    if after != before:
        account.more_claims = after
    if changes or removed:
        _note(account, " ".join(("claims", *(f"+{name}" for name in changes), *(f"-{name}" for name in removed))))
    else:
        log.record(AccountRead(account_id=account.id, school=school.uai if school else ""))
    return after


@dataclass
class Blocked:
    """The result of blocking passwords.

    Attributes:
        blocked: the passwords that are refused from now on.
        sessions_ended: the sessions that ended with them.
        without_address: the accounts without a confirmed address: they need a new letter.
        untouched: the accounts that were never activated, or blocked already.
    """

    blocked: int = 0
    sessions_ended: int = 0
    without_address: int = 0
    untouched: int = 0

    def __add__(self, other: "Blocked") -> "Blocked":
        """Return the sum of two results."""
        return Blocked(
            self.blocked + other.blocked,
            self.sessions_ended + other.sessions_ended,
            self.without_address + other.without_address,
            self.untouched + other.untouched,
        )


def _note_nothing(_: Blocked) -> None:
    """Store nothing with a batch."""


def block_passwords(
    accounts: list[uuid.UUID] | School | None, note: Callable[[Blocked], None] = _note_nothing
) -> Iterator[Blocked]:
    """Block the passwords of some accounts, of a school's, or of all (None); yield after each committed batch.

    The right password then opens no session: its owner gets a mail that leads to a new one. Passkeys are removed: who
    knew the password may have added one. An interrupted run is continued by the next one.

    Args:
        accounts: whose passwords are blocked.
        note: is called with the numbers of each batch in its transaction, again if the transaction is tried again.
    """
    if isinstance(accounts, list):
        yield retry_unit_of_work(partial(_block, Account.id.in_(accounts), note))
        return
    for some in account_ranges(accounts):
        yield retry_unit_of_work(partial(_block, some, note))


def _block(some: ColumnElement[bool], note: Callable[[Blocked], None]) -> Blocked:
    """Block one batch in the caller's transaction; rows are locked in one order, to avoid deadlocks."""
    moment = now()
    rows = db.session.execute(
        select(Account.id, Account.email, Account.activated_at, Account.password_blocked_at)
        .where(some)
        .order_by(Account.id)
        .with_for_update()
    ).all()
    active = [row for row in rows if row.activated_at is not None and row.password_blocked_at is None]
    ids = [row.id for row in active]
    db.session.execute(
        update(Account)
        .where(Account.id.in_(ids))
        .values(password_blocked_at=moment, generation=Account.next_generation(), updated_at=Account.updated_at)
        .execution_options(synchronize_session=False)
    )
    signed_in = select(Session.account_id).where(Session.account_id.in_(ids), liveness.unended()).distinct()
    ended = sum(manager.end_all(key, by=OPERATOR) for key in db.session.scalars(signed_in).all())
    for holder in keys.holders(ids):
        keys.remove_all(holder, by="renewal")
    for account_id in ids:
        log.record(AccountChanged(account_id=account_id, change="password_blocked"))
    blocked = Blocked(len(ids), ended, sum(row.email is None for row in active), len(rows) - len(active))
    note(blocked)
    return blocked


def _locked(account_id: uuid.UUID) -> Account:
    account = directory.get_for_change(account_id)
    if account is None:
        raise RefusedError("the account was removed meanwhile")
    return account


def _note(account: Account, change: str) -> None:
    log.record(AccountChanged(account_id=account.id, change=change))
