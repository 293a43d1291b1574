"""Mailboxes that serve several accounts, and mailboxes that the school's file names.

A person who reads a mailbox can choose a new password for each of its accounts: `IDP_SHARED_MAILBOX` says what is
allowed. Only people who proved that they read a mailbox are told that it serves another account. Notices and mails are
written in the caller's transaction, which has locked the account's row.
"""

import hashlib
import uuid
from collections.abc import Iterator

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import selectinload

from idp.accounts import directory, notices, one_time_links, school_notices
from idp.accounts.merging import same_person
from idp.accounts.models import Account, FormerMailbox, Merge, SchoolNotice
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import OneTimeLink, Purpose
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import AccountChanged
from idp.config import Settings
from idp.db import db
from idp.mail.emails import fold_email

_MOST = 20  # the most accounts of one mailbox that are compared with a new one


def tell_file_mailbox(settings: Settings, account: Account, email: str | None) -> None:
    """Tell the mailbox of the school's file that the account was activated with another address, or with none.

    A letter may have been intercepted. The mailbox is told once for each activation, also if the address is corrected
    before it was confirmed: an intruder may first type the file's address and then another one.
    """
    mailbox, lifetime = directory.email_of_file(account), settings.lifetime("contest_link_lifetime")
    if mailbox is None or (email is not None and fold_email(email) == fold_email(mailbox)):
        return
    if account.activated_at is None or account.email is not None:
        return
    earlier_mail = select(OneTimeLink.id).where(
        OneTimeLink.account_id == account.id,
        OneTimeLink.purpose == Purpose.REPORT_ACTIVATION.value,
        OneTimeLink.created_at >= account.activated_at,
    )
    if db.session.scalar(earlier_mail.limit(1)) is not None:
        return
    link = one_time_links.issue(settings, Purpose.REPORT_ACTIVATION, account, email=mailbox, lifetime=lifetime)
    notices.tell(Notice.ACTIVATED_ELSEWHERE, account.id, link=link)


def note_sharing(account: Account) -> None:
    """Write a notice for each other person of the account's schools who has confirmed the same mailbox.

    One notice for a pair, as long as the notice is kept, also after the school has settled it: two parents may share a
    mailbox, and the school knows it. `idp purge` removes a settled notice after `audit_days`. If one of the two
    confirms the mailbox again after that, the school is told again: it has no record of its decision any more, and a
    family may have separated meanwhile.
    """
    if account.mailbox is None:
        return
    _lock_mailbox(account.mailbox)
    others = db.session.scalars(
        select(Account)
        .where(Account.mailbox == account.mailbox, Account.id != account.id, Account.disabled_at.is_(None))
        .order_by(Account.email_confirmed_at)
        .limit(_MOST)
        .options(selectinload(Account.guardianships))
    ).all()
    known = _known_pairs(account) if others else set()
    mine = [school.id for school in directory.schools(account)]
    for other in others:
        theirs = {school.id for school in directory.schools(other)}
        common = [school_id for school_id in mine if school_id in theirs]
        if common and not same_person(account, other) and other.id not in known:
            school_notices.add(Kind.SHARED_MAILBOX, account.id, common, other_account_id=other.id)


def serves_another(account: Account, email: str) -> bool:
    """Return whether another account that is in use has confirmed the mailbox of `email`."""
    conditions = [
        Account.mailbox == fold_email(email),
        Account.id != account.id,
        Account.disabled_at.is_(None),
    ]
    return bool(db.session.scalar(select(exists().where(*conditions))))


def is_refused(settings: Settings, account: Account, email: str) -> bool:
    """Return whether `email` must not become the account's; called in the transaction that would confirm it.

    Of two transactions that confirm one mailbox, the second waits for the first.
    """
    if settings.shared_mailbox != "refuse":
        return False
    _lock_mailbox(fold_email(email))
    return serves_another(account, email)


def release_if_refused(settings: Settings, account: Account) -> None:
    """Remove the mailbox of an account that is enabled again, if another account has confirmed the mailbox.

    Only if a mailbox may serve one account only (`is_refused`). The account is then asked for another address at the
    next sign-in; until another one is confirmed, no mail leads to a new password. The schools that both people have in
    common get a notice. A contested address stays: it gives no access before the school's decision, which checks the
    same condition (`idp.families.disputes`).

    The caller has locked the account's row, and flushes.
    """
    if account.usable_email is None or not is_refused(settings, account, account.usable_email):
        return
    note_sharing(account)
    account.email = account.email_confirmed_at = None
    log.record(AccountChanged(account_id=account.id, change="mailbox_released"))


def reset_needs_letter(settings: Settings, account: Account, *, known_device: bool) -> bool:
    """Return whether no mail may lead to a new password of the account, since another person may read the mail.

    Disabled accounts count, and accounts that had this mailbox before: their people may still read it. This holds until
    the account itself confirms another address. `known_device` says whether the request came from a browser that proved
    the account's present password.
    """
    if settings.shared_mailbox != "known-device" or known_device or account.email is None:
        return False
    return is_read_by_others(account, account.email)


def is_read_by_others(account: Account, email: str) -> bool:
    """Return whether the mailbox of `email` is, or was, also that of another account, not merged into this one."""
    return next(_others_at(account, email), None) is not None


def is_read_by_another_person(account: Account, email: str) -> bool:
    """Return the same, without the accounts that bear the person's own name (`same_person`)."""
    return any(not same_person(account, other) for other in _others_at(account, email))


def _others_at(account: Account, email: str) -> Iterator[Account]:
    mailbox = fold_email(email)
    former = select(FormerMailbox.account_id).where(FormerMailbox.mailbox == mailbox)
    now_or_before = or_(Account.mailbox == mailbox, Account.id.in_(former))  # a merged account has no mailbox
    not_merged_here = ~Account.merge.has(Merge.into_id == account.id)
    yield from db.session.scalars(select(Account).where(Account.id != account.id, now_or_before, not_merged_here))


def _known_pairs(account: Account) -> set[uuid.UUID | None]:
    notice = SchoolNotice
    pairs = db.session.execute(
        select(notice.account_id, notice.other_account_id).where(
            notice.kind == Kind.SHARED_MAILBOX.value,
            or_(notice.account_id == account.id, notice.other_account_id == account.id),
        )
    )
    return {key for pair in pairs for key in pair}


def _lock_mailbox(mailbox: str) -> None:
    """Lock the mailbox until the end of the transaction, so that a second transaction sees what the first confirmed.

    Lock all rows of accounts before, to avoid deadlocks.
    """
    digest = hashlib.blake2b(f"mailbox {mailbox}".encode(), digest_size=8).digest()
    # `connection` is refused outside a unit of work, where autocommit would end the lock at once
    db.session.connection().execute(select(func.pg_advisory_xact_lock(int.from_bytes(digest, signed=True))))
