"""Verifies the secrets of accounts, for every page that asks for one.

The rate limits come first, with one counter for each account over all pages. Then one hash is computed, also if the
account does not exist. Then one transaction does what the right secret allows. Neither the text nor the time of a
refusal tells the reason.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from idp import opaque
from idp.accounts import alarm, directory, disputes, notices, school_notices
from idp.accounts.models import Account
from idp.accounts.notices import Notice
from idp.accounts.passwords.hasher import Hasher, HasherBusyError, fold_provisional, fold_username
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import SignInFailed, SignInThrottled
from idp.clock import now
from idp.config import Settings
from idp.db import unit_of_work
from idp.throttle import guard, limits
from idp.web.user_agent import describe

Door = Literal["sign_in", "reauthentication", "letter"]
Reason = Literal["unknown", "disabled", "no_secret", "expired", "wrong", "changed", "shut"]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Device:
    """A browser that the account has signed in on: its number in its own cookie.

    Attributes:
        number: the browser's number for this account.
        since: the last sign-in of the account on this browser.
        first: the first one.
    """

    number: str
    since: datetime
    first: datetime

    def proved_since(self, moment: datetime | None) -> bool:
        """Return whether the account's password was verified on this browser after `moment`."""
        return moment is None or self.since > moment


@dataclass(frozen=True)
class Attempt:
    """One try of a secret.

    Attributes:
        username: the identifier, as it was typed.
        password: the secret, as it was typed.
        ip: the IP that the request came from.
        user_agent: the browser's name for itself.
        device: the browser, if the account knows it.
        door: what the secret is for. `sign_in` takes the account's own password or the letter's, `reauthentication` the
            own password alone, `letter` the letter's alone.
    """

    username: str
    password: str
    ip: str
    user_agent: str
    device: Device | None = None
    door: Door = "sign_in"


@dataclass(frozen=True)
class VerifiedSecret:
    """A right secret, for the account as it was read. Before acting on it, lock the row and check `still_holds`.

    Attributes:
        account_id: the account.
        stored: the hash that the secret was compared with.
        provisional: whether it is the letter's secret.
        rehashed: the hash of the same password under today's parameters, if it was stored under older ones.
        known_device: whether it was typed in a browser that verified the present password before.
    """

    account_id: uuid.UUID
    stored: str
    provisional: bool
    rehashed: str | None
    known_device: bool = False

    def still_holds(self, account: Account | None) -> bool:
        """Return whether the locked row still has the secret that was verified."""
        if account is None or account.disabled_at is not None:
            return False
        if self.provisional:
            is_same = account.activated_at is None and account.provisional_hash == self.stored
            return is_same and not disputes.is_disputed(account.id)
        return account.password_hash == self.stored


@dataclass(frozen=True)
class Refused:
    """The secret is wrong, or the account is unknown, disabled, shut or activated; callers cannot tell which."""


@dataclass(frozen=True)
class Throttled:
    """There were too many tries. The next one is possible in `seconds`."""

    seconds: int


@dataclass(frozen=True)
class _Candidate:
    """The stored hash that the typed secret is compared with; `stored` is None if no secret can be right."""

    account_id: uuid.UUID | None
    stored: str | None
    typed: str
    reason: Reason
    provisional: bool = False
    known_device: bool = False


def verify_secret(
    settings: Settings, hasher: Hasher, attempt: Attempt, admit: Callable[[VerifiedSecret], _T | None]
) -> _T | Refused | Throttled:
    """Verify a secret; if it is right, call `admit` and return its result.

    `admit` runs a unit of work of its own. It returns None, without any change, if the account changed since the secret
    was compared.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    folded = fold_username(attempt.username)
    subject = folded or attempt.username
    refused = guard.cached_wait(*_counters(subject, attempt.ip, attempt.device))
    if refused:  # before taking a place: a throttled request must not take one from others
        return Throttled(refused)
    with hasher.place("sign_in"):
        candidate = _candidate(folded, attempt)
        slots = _counters(subject, attempt.ip, attempt.device if candidate.known_device else None)
        return _try(settings, hasher, attempt, candidate, slots, admit)


def _counters(subject: str, ip: str, device: Device | None) -> tuple[tuple[limits.Limit, str], ...]:
    """Return the counters of a try, the account's first; a known browser has one counter and no other.

    A known browser does not use the IP's counters: an attacker in the parent's own school or telephone network must not
    exhaust them.
    """
    if device:
        return ((limits.SIGN_IN_DEVICE, f"{subject} {device.number}"),)
    return (
        (limits.SIGN_IN_ACCOUNT, subject),
        (limits.SIGN_IN_REQUESTS, ip),
        (limits.SIGN_IN_IP, ip),
    )


def _try(
    settings: Settings,
    hasher: Hasher,
    attempt: Attempt,
    candidate: _Candidate,
    slots: tuple[tuple[limits.Limit, str], ...],
    admit: Callable[[VerifiedSecret], _T | None],
) -> _T | Refused | Throttled:
    digest = username_digest(settings, attempt.username)
    verdict = guard.take_all(*slots)
    if isinstance(verdict, guard.Wait):
        if guard.is_first_refusal(verdict):
            with unit_of_work():
                log.record(SignInThrottled(account_id=candidate.account_id, username_digest=digest, door=attempt.door))
        return Throttled(verdict.seconds)
    shut = verdict.count > limits.SHUT_AT and not candidate.provisional
    with _slots_returned_on_failure(slots):
        is_right = hasher.verify(candidate.stored, candidate.typed, "sign_in")
        admitted = admit(_verified(hasher, candidate)) if is_right and not shut else None
    if admitted is not None:
        guard.settle_success(*slots)
        return admitted
    reason = "shut" if shut and is_right else "changed" if is_right else candidate.reason
    with unit_of_work():
        if candidate.account_id:
            _write_notices(candidate, candidate.account_id, verdict.count)
        log.record(
            SignInFailed(
                account_id=candidate.account_id,
                reason=reason,
                username_digest=digest,
                door=attempt.door,
                device=describe(attempt.user_agent).code,
            )
        )
    alarm.count_failure(settings)
    return Refused()


@contextmanager
def _slots_returned_on_failure(slots: tuple[tuple[limits.Limit, str], ...]) -> Iterator[None]:
    """Return the slots of a try if it could not be decided, because the hasher is busy or the database failed."""
    try:
        yield
    except (HasherBusyError, SQLAlchemyError):
        with suppress(SQLAlchemyError):  # a slot that is not returned expires by itself
            for limit, key in slots:
                guard.uncount(limit, key)
        raise


def username_digest(settings: Settings, typed: str) -> str:
    """Return the digest of a typed identifier for the journal: people type passwords into that field."""
    key = opaque.derive_key(settings.secrets[0], "audit")
    return opaque.keyed_digest(key, fold_username(typed) or typed).hex()


def _candidate(username: str | None, attempt: Attempt) -> _Candidate:
    account = directory.find_by_username(username) if username else None
    if account is None:
        return _Candidate(None, None, attempt.password, "unknown")
    if account.disabled_at is not None:
        return _Candidate(account.id, None, attempt.password, "disabled")
    known = attempt.device is not None and _is_known(account, attempt.device)
    if account.activated_at is not None:
        stored = account.password_hash if attempt.door != "letter" else None
        return _Candidate(account.id, stored, attempt.password, "wrong", known_device=known)
    if account.provisional_hash is None or attempt.door == "reauthentication":
        return _Candidate(account.id, None, attempt.password, "no_secret", provisional=True)
    if account.provisional_expires_at is None or account.provisional_expires_at <= now():
        return _Candidate(account.id, None, attempt.password, "expired", provisional=True)
    return _Candidate(account.id, account.provisional_hash, fold_provisional(attempt.password), "wrong", True)


def _is_known(account: Account, device: Device) -> bool:
    """Return whether the password was verified on the device since it last changed.

    The device is also unknown if an operator has reset the account's tries since: the device's own counter may be full.
    """
    return device.proved_since(account.password_changed_at) and device.proved_since(account.tries_forgotten_at)


def _verified(hasher: Hasher, candidate: _Candidate) -> VerifiedSecret:
    if candidate.account_id is None or candidate.stored is None:
        raise AssertionError("a right secret has an account and a stored hash")
    rehashed = None
    if not candidate.provisional and hasher.needs_rehash(candidate.stored):
        try:
            rehashed = hasher.hash(candidate.typed, "sign_in")
        except HasherBusyError:  # the next sign-in computes it
            rehashed = None
    return VerifiedSecret(
        candidate.account_id, candidate.stored, candidate.provisional, rehashed, candidate.known_device
    )


def _write_notices(candidate: _Candidate, account_id: uuid.UUID, count: int) -> None:
    """Write the notices that a number of failures in a row asks for, in the caller's transaction."""
    if candidate.provisional:
        # No two tries have the same count, so exactly one of any number of concurrent tries writes.
        if candidate.stored is not None and count % limits.LETTER_NOTICE_AT == 0:
            _tell_schools_of_guesses(account_id)
    elif count == limits.SHUT_AT:
        notices.tell(Notice.MANY_TRIES, account_id)


def _tell_schools_of_guesses(account_id: uuid.UUID) -> None:
    """Tell the schools that somebody guesses the letter's secret; one open notice is enough."""
    account = directory.get_for_change(account_id)
    if account is not None and account.activated_at is None:
        school_notices.add(Kind.LETTER_GUESSED, account_id, [school.id for school in directory.schools(account)])
