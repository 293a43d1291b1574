"""Draws the secrets of letters, writes the letters, then commits the secrets to the database.

The letters are on the disk before the commit, so that no account has a secret that nobody can read. After an error
before the commit, no secret is valid and the letters are removed. After the commit they are the only copy and stay,
also when Ctrl-C interrupts the process or the database's answer to the commit is lost. While the database cannot be
asked, the part file stays, and the next print decides (`files.remove_leftovers`).

A new provisional password replaces all credentials of its account, which is then as it was after its import: it opens
an activation and nothing else. The owner is told at the confirmed email (security row K-05), so that nobody can take an
account over unnoticed by a letter.
"""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from idp.accounts import closing_acts, directory, notices, one_time_links, school_notices
from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, School
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import Purpose
from idp.accounts.school_notices import SETTLED_BY_LETTER
from idp.audit import log
from idp.audit.events import LetterDrawn, LetterReissued
from idp.clock import now
from idp.config import Settings
from idp.db import db, retry_unit_of_work
from idp.letters import provisional
from idp.letters.files import LetterFileError
from idp.letters.provisional import BatchHasher
from idp.letters.recipients import PrintError, Recipient, Refusal, Skip, Skipped, ents_of
from idp.letters.render.contents import Ents, compose
from idp.letters.render.pdf import Letter, LetterError, TooLongError, UnknownGlyphError
from idp.passkeys import keys
from idp.sessions import manager
from idp.throttle import guard

_CHANGED = "changed in the meantime, try again"


@dataclass(frozen=True)
class NewSecret:
    """The new provisional password of an account, with the account's generation when the letter was composed."""

    hashed: str
    generation: int
    school_id: uuid.UUID


@dataclass(frozen=True)
class DrawnLetter:
    """A letter and the rows it was composed from. Its secret is valid once `new_secret` is committed.

    After a rollback `account` is read again, which fails if the account was removed: `recipient` still says who it was.
    """

    recipient: Recipient
    account: Account
    school: School
    letter: Letter
    new_secret: NewSecret = field(repr=False)


class LetterOutput(Protocol):
    """Where letters are written."""

    def store(self, drawn: Sequence[DrawnLetter], expires_at: datetime) -> None:
        """Write the letters and sync them to the disk, in place of those of an earlier call."""

    def keep(self, drawn: Sequence[DrawnLetter], skipped: Sequence[Skipped]) -> None:
        """Store in the transaction of the secrets what belongs to it; called again when it is tried again."""

    def publish(self) -> None:
        """Make the letters available: their secrets are valid."""

    def discard(self) -> None:
        """Remove the letters: their secrets are not valid."""


def draw(
    settings: Settings,
    hasher: BatchHasher,
    people: Sequence[Recipient],
    output: LetterOutput,
    *,
    reason: str = "",
    all_or_none: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[DrawnLetter], list[Skipped]]:
    """Draw a letter for each of `people`, in one transaction; return the letters and the people who were skipped.

    Args:
        settings: the lifetime of secrets, and the texts that all letters have.
        hasher: hashes the secrets.
        people: the recipients, in the order of the pages; a few hundred at most, since all are in memory.
        output: writes the letters; called again without a person whose letter cannot be printed.
        reason: why an account that has been active gets a letter, for the journal.
        all_or_none: fail when one person has to be skipped.
        progress: called with the number of hashed secrets and of all; what it raises ends the print.

    Raises:
        PrintError: with `all_or_none`, an account changed after it was chosen; or a school has no ENT.
        LetterError: with `all_or_none`, a letter cannot be printed; or the batch cannot be typeset.
        HasherBusyError: the hasher had no free slot.
        BrokenProcessPool: a hashing or typesetting process was killed.
    """
    expires_at = now() + timedelta(days=settings.provisional_days)
    composed, skipped = _compose(settings, people, expires_at, all_or_none=all_or_none)
    hashes = hasher.hash([letter.provisional_password for *_, letter in composed], progress)
    drawn = [
        DrawnLetter(entry, account, school, letter, NewSecret(hashed, entry.generation, school.id))
        for (entry, account, school, letter), hashed in zip(composed, hashes, strict=True)
    ]

    def commit(new_secrets: Mapping[uuid.UUID, NewSecret]) -> None:
        output.keep(drawn, skipped)
        reset_accounts(settings, new_secrets, expires_at, reason)

    while drawn:
        faults = _write_and_commit(drawn, output, expires_at, commit, all_or_none=all_or_none)
        if faults is None:
            break
        skipped += _skipped(drawn, faults)
        drawn = [entry for entry in drawn if entry.recipient.account_id not in faults]
    for entry in drawn:
        guard.clear_account(entry.letter.username)
    return drawn, skipped


def _skipped(drawn: Sequence[DrawnLetter], faults: Mapping[uuid.UUID, tuple[str, Skip]]) -> list[Skipped]:
    people = [entry.recipient for entry in drawn if entry.recipient.account_id in faults]
    return [Skipped(person.username, *faults[person.account_id], person.account_id) for person in people]


def _compose(
    settings: Settings, people: Sequence[Recipient], expires_at: datetime, *, all_or_none: bool
) -> tuple[list[tuple[Recipient, Account, School, Letter]], list[Skipped]]:
    rows = db.session.scalars(
        select(Account)
        .where(Account.id.in_([entry.account_id for entry in people]))
        .options(selectinload(Account.guardianships))
        .execution_options(populate_existing=True)
    )
    accounts = {account.id: account for account in rows}
    ents: dict[tuple[uuid.UUID, frozenset[uuid.UUID]], Ents] = {}
    composed, skipped = [], []
    for entry in people:
        account = accounts.get(entry.account_id)
        schools = {school.id: school for school in directory.schools(account)} if account else {}
        school = schools.get(entry.school_id)
        if account is None or school is None or account.generation != entry.generation:
            skipped.append(Skipped(entry.username, _CHANGED, Skip.CHANGED, entry.account_id))
            continue
        key = school.id, frozenset(schools)
        if key not in ents:
            ents[key] = ents_of(school, schools.values())
        letter = compose(settings, account, school, ents[key], provisional.draw(), expires_at)
        composed.append((entry, account, school, letter))
    if skipped and all_or_none:
        raise PrintError(f"{skipped[0].username} {_CHANGED}", Refusal.CHANGED)
    return composed, skipped


def _write_and_commit(
    drawn: Sequence[DrawnLetter],
    output: LetterOutput,
    expires_at: datetime,
    commit: Callable[[Mapping[uuid.UUID, NewSecret]], None],
    *,
    all_or_none: bool,
) -> Mapping[uuid.UUID, tuple[str, Skip]] | None:
    new_secrets = {entry.recipient.account_id: entry.new_secret for entry in drawn}
    try:
        output.store(drawn, expires_at)
        retry_unit_of_work(lambda: commit(new_secrets))
    except BaseException as error:
        if are_stored(new_secrets):
            output.publish()
            if isinstance(error, Exception):
                return None
            raise LetterFileError("interrupted; the letters of this print are valid, and are in its files") from None
        output.discard()
        faults = _faults(error, drawn)
        if all_or_none and isinstance(error, AccountsChangedError):
            raise PrintError(
                "; ".join(
                    f"{entry.recipient.username} {_CHANGED}" for entry in drawn if entry.recipient.account_id in faults
                ),
                Refusal.CHANGED,
            ) from None
        if all_or_none or not faults:
            raise
        return faults
    output.publish()
    return None


def _faults(error: BaseException, drawn: Sequence[DrawnLetter]) -> dict[uuid.UUID, tuple[str, Skip]]:
    if isinstance(error, AccountsChangedError):
        return dict.fromkeys(error.ids, (_CHANGED, Skip.CHANGED))
    if isinstance(error, LetterError):
        if isinstance(error, TooLongError):
            why = "has no letter: a name or the postal address is too long for it", Skip.TOO_LONG
        elif isinstance(error, UnknownGlyphError):
            why = "has no letter: the fonts have no glyph for a character of a name or the address", Skip.UNKNOWN_GLYPH
        else:
            why = f"has no letter: {error}", Skip.FAULTY
        return {entry.recipient.account_id: why for entry in drawn if entry.letter.username in error.usernames}
    return {}


class AccountsChangedError(Exception):
    """The accounts `ids` changed after their letters were composed; nothing was written."""

    def __init__(self, ids: list[uuid.UUID]) -> None:
        super().__init__(ids)
        self.ids = ids


def reset_accounts(settings: Settings, fresh: Mapping[uuid.UUID, NewSecret], expires_at: datetime, reason: str) -> None:
    """Store the new secret of each account, in the caller's transaction: all, or none.

    Raises:
        AccountsChangedError: an account was activated, disabled, disputed or got another letter in the meantime.
    """
    locked = db.session.scalars(
        select(Account)
        .where(Account.id.in_(list(fresh)))
        .order_by(Account.id)  # always in this order, to avoid deadlocks
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    moment = now()
    same = {
        entry.id
        for entry in locked
        if entry.is_enabled_at(moment) and entry.generation == fresh[entry.id].generation and not entry.has_disputed_tie
    }
    if len(same) < len(fresh):
        raise AccountsChangedError([key for key in fresh if key not in same])
    for account in locked:
        if account.has_been_active:
            _close(settings, account, reason)
        account.letter_school_id = fresh[account.id].school_id
        account.provisional_hash, account.provisional_expires_at = fresh[account.id].hashed, expires_at
        account.credentials_changed()
        log.record(LetterDrawn(account_id=account.id))
    db.session.flush()  # once: a school has thousands of accounts, whose rows are locked until the commit
    _settle_notices([account.id for account in locked], reason)


def _settle_notices(account_ids: Collection[uuid.UUID], reason: str) -> None:
    """Settle the notices that a new letter settles: neither disputes nor doubts about the person's identity."""
    sentence = f"new letter: {reason}" if reason else "new letter"
    school_notices.settle_all(account_ids, by=log.current_origin().actor, sentence=sentence, kinds=SETTLED_BY_LETTER)


def are_stored(fresh: Mapping[uuid.UUID, NewSecret]) -> bool:
    """Return whether a transaction of `reset_accounts` with these secrets was committed."""
    stored = select(Account.id).where(
        Account.id.in_(list(fresh)), Account.provisional_hash.in_([secret.hashed for secret in fresh.values()])
    )
    return db.session.scalar(stored.limit(1)) is not None


def is_secret_valid(expires_at: datetime) -> bool:
    """Return whether the secret of a letter that expires at exactly `expires_at` is still valid."""
    valid = select(Account.id).where(
        Account.provisional_expires_at == expires_at, Account.provisional_hash.is_not(None)
    )
    return db.session.scalar(valid.limit(1)) is not None


def _close(settings: Settings, account: Account, reason: str) -> None:
    """Remove the credentials of an account that has been active, and tell its owner.

    A contested email stays contested until the letter is used: both mailboxes are told.
    """
    one_time_links.revoke(account.id, *Purpose)
    contest = closing_acts.contest_of(account.id)
    for email in filter(None, (account.email, contest.email if contest else None)):
        notices.tell_at(settings, Notice.LETTER_REISSUED, account, email)
    account.password_hash, account.password_state = None, PasswordState.USABLE
    account.email = account.email_confirmed_at = account.pending_email = None
    account.first_activated_at = account.first_activated_at or account.activated_at
    account.activated_at = account.activated_in = None
    account.known_use_at = account.created_at
    keys.remove_all(account.id, by="letter", mailed=False)  # the mail about the letter says so
    manager.end_all(account.id, by="letter")
    log.record(LetterReissued(account_id=account.id, reason=reason))
