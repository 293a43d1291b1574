"""The rules of a sign-in: brakes first, then one hash whoever is asked for, then one transaction."""

import uuid
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import update

from idp import opaque
from idp.accounts import directory
from idp.accounts.models import Account
from idp.accounts.passwords import Busy, Hasher, fold_provisional, fold_username
from idp.audit import log
from idp.audit.events import ActivationOpened, SignInFailed, SignInThrottled
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.sessions import manager
from idp.throttle import guard, limits

Reason = Literal["unknown", "disabled", "no_secret", "expired", "wrong", "changed"]


@dataclass(frozen=True)
class SignedIn:
    """The password was right; `cookie` is the new session's."""

    cookie: str


@dataclass(frozen=True)
class MayActivate:
    """The provisional password was right: this account may be activated, at this generation."""

    account_id: uuid.UUID
    generation: int


@dataclass(frozen=True)
class Refused:
    """Wrong, unknown, expired, already activated or disabled: the caller cannot tell which."""


@dataclass(frozen=True)
class Throttled:
    """Too many tries; the next is looked at in `seconds`."""

    seconds: int


Outcome = SignedIn | MayActivate | Refused | Throttled


@dataclass(frozen=True)
class _Candidate:
    """What the one hash is computed against; `stored` is None when no password can be right."""

    account_id: uuid.UUID | None
    stored: str | None
    typed: str
    provisional: bool
    reason: Reason


def sign_in(
    settings: Settings, hasher: Hasher, username: str, password: str, browser: manager.Browser, former: str | None
) -> Outcome:
    """Try `username` and `password`; `former` is the session cookie that the browser came with.

    Raises:
        Busy: the hash could not be computed in time; nothing was decided.
    """
    folded = fold_username(username)
    slots = (
        (limits.SIGN_IN_REQUESTS, browser.address),
        (limits.SIGN_IN_ADDRESS, browser.address),
        (limits.SIGN_IN_ACCOUNT, folded or username),
    )
    refused = guard.held(*slots)  # before the place: who is told to wait must not keep others from theirs
    if refused:
        return Throttled(refused)
    with hasher.place("sign_in"):
        return _sign_in(settings, hasher, folded, slots, password, browser, former)


def _sign_in(
    settings: Settings,
    hasher: Hasher,
    folded: str | None,
    slots: tuple[tuple[limits.Limit, str], ...],
    password: str,
    browser: manager.Browser,
    former: str | None,
) -> Outcome:
    subject = slots[-1][1]
    digest = opaque.keyed_digest(opaque.derive_key(settings.secrets[0], "audit"), subject).hex()
    verdict = guard.take_all(*reversed(slots))
    if isinstance(verdict, guard.Wait):
        log.record(SignInThrottled(username_digest=digest))
        db.session.commit()
        return Throttled(verdict.seconds)
    candidate = _candidate(folded, password)
    try:
        right = hasher.verify(candidate.stored, candidate.typed, "sign_in")
    except Busy:
        for limit, key in slots:
            guard.give_back(limit, key)
        raise
    outcome = _admit(hasher, candidate, browser, former) if right else Refused()
    if not isinstance(outcome, Refused):
        guard.forgive(*slots)
        return outcome
    if candidate.provisional and candidate.account_id and verdict.count >= limits.NEW_LETTER_AT:
        _burn(candidate.account_id)
    reason: Reason = "changed" if right else candidate.reason
    log.record(SignInFailed(account_id=candidate.account_id, reason=reason, username_digest=digest))
    db.session.commit()
    return outcome


def _candidate(username: str | None, password: str) -> _Candidate:
    account = directory.find_by_username(username) if username else None
    try:
        return _compare_with(account, password)
    finally:
        db.session.rollback()  # no transaction stays open while the hash is computed


def _compare_with(account: Account | None, password: str) -> _Candidate:
    if account is None:
        return _Candidate(None, None, password, provisional=False, reason="unknown")
    if account.disabled_at is not None:
        return _Candidate(account.id, None, password, provisional=False, reason="disabled")
    if account.activated_at is not None:
        return _Candidate(account.id, account.password_hash, password, provisional=False, reason="wrong")
    if account.provisional_hash is None:
        return _Candidate(account.id, None, password, provisional=True, reason="no_secret")
    if account.provisional_expires_at is None or account.provisional_expires_at <= now():
        return _Candidate(account.id, None, password, provisional=True, reason="expired")
    return _Candidate(
        account.id, account.provisional_hash, fold_provisional(password), provisional=True, reason="wrong"
    )


def _burn(account_id: uuid.UUID) -> None:
    """Kill a letter's secret that was guessed at too often, in the caller's transaction: a new letter is needed."""
    db.session.execute(
        update(Account)
        .where(Account.id == account_id, Account.activated_at.is_(None))
        .values(provisional_hash=None, provisional_expires_at=None)
    )


def _admit(hasher: Hasher, candidate: _Candidate, browser: manager.Browser, former: str | None) -> Outcome:
    """Decide in one transaction, on the account as it is now: it may have changed while the hash was computed."""
    rehashed = None if candidate.provisional else _rehash(hasher, candidate)
    account = directory.get_for_change(candidate.account_id) if candidate.account_id else None
    if account is None or account.disabled_at is not None:
        db.session.rollback()
        return Refused()
    stored = account.provisional_hash if candidate.provisional else account.password_hash
    if stored != candidate.stored or (candidate.provisional and account.activated_at is not None):
        db.session.rollback()
        return Refused()
    if candidate.provisional:
        if former:
            manager.end_former(former)  # whoever was signed in here leaves: two people must not share a browser's state
        log.record(ActivationOpened(account_id=account.id))
        outcome: Outcome = MayActivate(account.id, account.generation)
    else:
        if rehashed:
            account.password_hash = rehashed
        outcome = SignedIn(manager.open_session(account, ["pwd"], browser, former=former))
    db.session.commit()
    return outcome


def _rehash(hasher: Hasher, candidate: _Candidate) -> str | None:
    """Return a hash with today's parameters in place of an older one; it can wait until the next sign-in."""
    if not candidate.stored or not hasher.needs_rehash(candidate.stored):
        return None
    try:
        return hasher.hash(candidate.typed, "sign_in")
    except Busy:
        return None
