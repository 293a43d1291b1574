"""Acts on an account: unlock and enable it, rename it, remove its passkeys, void its letter, change its claims.

No act sets or shows a password: a new one comes by mail or by letter (security row K-03).
"""

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import select

from idp.accounts import directory, mailboxes, school_notices
from idp.accounts.models import Account, School, SchoolNotice
from idp.accounts.school_notices import Kind, Refusal
from idp.audit import log
from idp.audit.data_events import AccountRenamed
from idp.audit.events import AccountChanged, AccountRead
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.families.refusals import Code, RefusedError
from idp.oidc.claims import standard
from idp.passkeys import keys
from idp.sessions import closing, manager
from idp.throttle import guard

OPERATOR = "operator"


def unlock(account_id: uuid.UUID) -> None:
    """Reset the account's wrong tries, and settle the notices about them.

    Raises:
        RefusedError: the account is in dispute: the school settles that first.
    """
    with unit_of_work():
        account = _locked(account_id)
        if account.is_barred:
            raise RefusedError(Code.CLOSED_BY_DISPUTE)
        account.tries_counted_since = now()  # its browsers become unknown: their counters cannot be reset here
        by = log.current_origin().actor
        school_notices.settle(account.id, by=by, sentence="unlocked", kinds=school_notices.SETTLED_BY_UNLOCK)
        _note(account, "unlocked")
    guard.clear_account(account.username)


@unit_of_work()
def remove_passkeys(account_id: uuid.UUID, reason: str) -> None:
    """Remove all passkeys of an account, end its sessions, and tell the person by mail.

    Somebody who signed in by a passkey that is no longer trusted must not stay signed in.

    Raises:
        RefusedError: it has none.
    """
    account = _locked(account_id)
    if not keys.remove_all(account.id, by=OPERATOR, reason=reason):
        raise RefusedError(Code.NO_PASSKEY)
    manager.end_all(account.id, by=OPERATOR)


def settle_notice(notice_id: uuid.UUID, sentence: str) -> None:
    """Settle a notice that no other act settles, in the caller's transaction.

    Raises:
        RefusedError: there is no such notice, another act settles it, or somebody else has settled it (`SETTLED`).
    """
    refusal = school_notices.settle_one(notice_id, by=log.current_origin().actor, sentence=sentence)
    if refusal is not None:
        raise RefusedError(Code.SETTLED if refusal is Refusal.SETTLED else Code.CHANGED)


@unit_of_work()
def void_letter(notice_id: uuid.UUID, sentence: str) -> None:
    """Settle the notice that somebody guessed at a letter, and void the letter: others may hold it.

    An account that was activated meanwhile keeps its password. A new letter settles such notices, so the letter of an
    open one is the letter that it is about.

    Raises:
        RefusedError: there is no such notice, or somebody else has settled it (`SETTLED`).
    """
    notice = db.session.get(SchoolNotice, notice_id)
    if notice is None:
        raise RefusedError(Code.CHANGED)
    account = _locked(notice.account_id)
    settle_notice(notice_id, sentence)
    if account.activated_at is None and account.provisional_hash is not None:
        closing.revoke_credentials([account.id])
        account.provisional_hash = account.provisional_expires_at = None
        manager.end_all(account.id, by=OPERATOR)
        _note(account, "letter_voided")


@unit_of_work()
def enable(settings: Settings, account_id: uuid.UUID) -> None:
    """Enable a disabled account, with the password that it had.

    Raises:
        RefusedError: it is not disabled, or another account has confirmed its mailbox meanwhile, which may serve only
            one.
    """
    account = _locked(account_id)
    if account.merge is not None:
        raise RefusedError(Code.MERGED, name=account.username, other=account.merge.into.username)
    if account.disabled_at is None:
        raise RefusedError(Code.NOT_DISABLED, name=account.username)
    if account.email is not None and mailboxes.is_refused(settings, account, account.email):
        raise RefusedError(Code.MAILBOX_OF_OTHER, name=account.username)
    account.disabled_at, account.has_left = None, False
    _note(account, "enabled")


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


def _locked(account_id: uuid.UUID) -> Account:
    account = directory.get_for_change(account_id)
    if account is None:
        raise RefusedError(Code.GONE)
    return account


def _note(account: Account, change: str) -> None:
    log.record(AccountChanged(account_id=account.id, change=change))


@unit_of_work()
def rename(account_id: uuid.UUID, names: dict[str, str], reason: str, notice_id: uuid.UUID) -> None:
    """Change an account's names, and settle the notices that asked about them, in one transaction.

    Args:
        account_id: the account.
        names: the new values of `civility`, `given_name` and `family_name`; omitted names stay.
        reason: the school's reason.
        notice_id: the notice that is answered: of two people who answer it at once, one succeeds.

    Raises:
        RefusedError: the account is gone, or has these names already, or the notice is settled.
    """
    account = directory.get_for_change(account_id)
    if account is None:
        raise RefusedError(Code.GONE)
    is_open = select(SchoolNotice.id).where(SchoolNotice.id == notice_id, SchoolNotice.settled_at.is_(None))
    if db.session.scalar(is_open) is None:
        raise RefusedError(Code.SETTLED)
    changed = [name for name, value in names.items() if getattr(account, name) != value]
    if not changed:
        raise RefusedError(Code.SAME_NAMES)
    for name in changed:
        setattr(account, name, names[name])
    account.name_key = directory.name_key(account.given_name, account.family_name)
    account.first_given_name = None
    school_notices.settle(account.id, by=log.current_origin().actor, sentence=reason, kinds=[Kind.NAME_IN_DOUBT])
    log.record(AccountRenamed(account_id=account.id, changed=changed, reason=reason))
