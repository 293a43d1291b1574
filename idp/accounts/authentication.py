"""The one door: whoever types a secret of an account, on whatever page, passes here.

Brakes first, by one counter for each account whatever the page; then one hash, whoever is asked for; then what the
right secret allows, in one transaction. What is wrong cannot be told from outside, in text or in time.
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
from idp.accounts.passwords.hasher import Busy, Hasher, fold_provisional, fold_username
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
    """A browser that the account signed in on before: its number in its own cookie, since when it is known by it.

    `first` is when the account first signed in on it, however often it did so since.
    """

    number: str
    since: datetime
    first: datetime

    def proved_since(self, moment: datetime | None) -> bool:
        """Return if the account's password was proved on it after `moment`, when that was last changed or doubted."""
        return moment is None or self.since > moment


@dataclass(frozen=True)
class Attempt:
    """One try: what was typed, from where, and at which door.

    `door` says what the secret is for: `sign_in` takes the account's own password or the letter's, `reauthentication`
    the own one alone, `letter` the letter's alone.
    """

    username: str
    password: str
    address: str
    user_agent: str
    device: Device | None = None
    door: Door = "sign_in"


@dataclass(frozen=True)
class Proven:
    """The secret was right, for the account as it was read; whoever acts on it locks the row and asks `still_holds`."""

    account_id: uuid.UUID
    stored: str
    provisional: bool
    rehashed: str | None
    """The same password under today's parameters, when it was stored under older ones."""
    known_device: bool = False
    """Whether it was typed in a browser that proved the present password before."""

    def still_holds(self, account: Account | None) -> bool:
        """Return whether the locked row still has the secret that was proved: it may have changed meanwhile."""
        if account is None or account.disabled_at is not None:
            return False
        if self.provisional:
            is_same = account.activated_at is None and account.provisional_hash == self.stored
            return is_same and not disputes.is_disputed(account.id)
        return account.password_hash == self.stored


@dataclass(frozen=True)
class Refused:
    """Wrong, unknown, expired, already activated, disabled or shut: the caller cannot tell which."""


@dataclass(frozen=True)
class Throttled:
    """Too many tries; the next is looked at in `seconds`."""

    seconds: int


@dataclass(frozen=True)
class _Candidate:
    """What the one hash is computed against; `stored` is None when no secret can be right."""

    account_id: uuid.UUID | None
    stored: str | None
    typed: str
    reason: Reason
    provisional: bool = False
    known_device: bool = False


def prove(
    settings: Settings, hasher: Hasher, attempt: Attempt, admit: Callable[[Proven], _T | None]
) -> _T | Refused | Throttled:
    """Try a secret; when it is right, return what `admit` makes of it.

    `admit` runs a unit of work of its own. It changes nothing and returns None if the account changed since the secret
    was compared.

    Raises:
        Busy: the hash could not be computed in time; nothing was decided.
    """
    folded = fold_username(attempt.username)
    subject = folded or attempt.username
    refused = guard.held(*_lines(subject, attempt.address, attempt.device))
    if refused:  # before the place: who is told to wait must not keep others from theirs
        return Throttled(refused)
    with hasher.place("sign_in"):
        candidate = _candidate(folded, attempt)
        slots = _lines(subject, attempt.address, attempt.device if candidate.known_device else None)
        return _try(settings, hasher, attempt, candidate, slots, admit)


def _lines(subject: str, address: str, device: Device | None) -> tuple[tuple[limits.Limit, str], ...]:
    """Return the counters of a try, the account's first; a browser that is the account's own has one and no other.

    Not even the network address's: whoever guesses from the parent's own school or telephone network must not close it.
    """
    if device:
        return ((limits.SIGN_IN_DEVICE, f"{subject} {device.number}"),)
    return (
        (limits.SIGN_IN_ACCOUNT, subject),
        (limits.SIGN_IN_REQUESTS, address),
        (limits.SIGN_IN_ADDRESS, address),
    )


def _try(
    settings: Settings,
    hasher: Hasher,
    attempt: Attempt,
    candidate: _Candidate,
    slots: tuple[tuple[limits.Limit, str], ...],
    admit: Callable[[Proven], _T | None],
) -> _T | Refused | Throttled:
    digest = username_digest(settings, attempt.username)
    verdict = guard.take_all(*slots)
    if isinstance(verdict, guard.Wait):
        if guard.is_first_refusal(verdict):
            with unit_of_work():
                log.record(SignInThrottled(account_id=candidate.account_id, username_digest=digest, door=attempt.door))
        return Throttled(verdict.seconds)
    shut = verdict.count > limits.SHUT_AT and not candidate.provisional
    with _given_back(slots):
        right = hasher.verify(candidate.stored, candidate.typed, "sign_in")
        admitted = admit(_proven(hasher, candidate)) if right and not shut else None
    if admitted is not None:
        guard.forgive(*slots)
        return admitted
    reason = "shut" if shut and right else "changed" if right else candidate.reason
    with unit_of_work():
        if candidate.account_id:
            _react(candidate, candidate.account_id, verdict.count)
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
def _given_back(slots: tuple[tuple[limits.Limit, str], ...]) -> Iterator[None]:
    """Give the slots of a try back when it could not be decided: no turn for the hash, or no database."""
    try:
        yield
    except (Busy, SQLAlchemyError):
        with suppress(SQLAlchemyError):  # what could not be given back is forgotten in time
            for limit, key in slots:
                guard.give_back(limit, key)
        raise


def username_digest(settings: Settings, typed: str) -> str:
    """Return what the journal keeps of an identifier that may be nobody's: people type passwords there."""
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
    """Return whether the device proved the present password: what was known before a reset is a stranger again.

    So is what was known before an operator forgave the account: its own line may be closed.
    """
    return device.proved_since(account.password_changed_at) and device.proved_since(account.tries_forgotten_at)


def _proven(hasher: Hasher, candidate: _Candidate) -> Proven:
    if candidate.account_id is None or candidate.stored is None:
        raise AssertionError("only a stored secret can be right")
    rehashed = None
    if not candidate.provisional and hasher.needs_rehash(candidate.stored):
        try:
            rehashed = hasher.hash(candidate.typed, "sign_in")
        except Busy:  # it can wait until the next sign-in
            rehashed = None
    return Proven(candidate.account_id, candidate.stored, candidate.provisional, rehashed, candidate.known_device)


def _react(candidate: _Candidate, account_id: uuid.UUID, count: int) -> None:
    """Do what a number of failures in a row asks for, in the caller's transaction."""
    if candidate.provisional:
        # No two tries have the same count: exactly one of them writes, however many come at once.
        if candidate.stored is not None and count % limits.LETTER_NOTICE_AT == 0:
            _tell_schools_of_guesses(account_id)
    elif count == limits.SHUT_AT:
        notices.tell(Notice.MANY_TRIES, account_id)


def _tell_schools_of_guesses(account_id: uuid.UUID) -> None:
    """Tell the schools that somebody guesses at the letter's secret; one open notice is enough."""
    account = directory.get_for_change(account_id)
    if account is not None and account.activated_at is None:
        school_notices.add(Kind.LETTER_GUESSED, account_id, [school.id for school in directory.schools(account)])
