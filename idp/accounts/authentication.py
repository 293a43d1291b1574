"""Verifies the secrets of accounts, for every page that asks for one.

One statement reads the account and counts the try in the rate limits, with one counter for each account over all
pages. Then one hash is computed, also if the account does not exist. Then one transaction does what the right secret
allows. Neither the text nor the time of a refusal tells the reason.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar, get_args

from sqlalchemy.exc import SQLAlchemyError

from idp import opaque
from idp.accounts import account_state, directory, notices, school_notices
from idp.accounts.account_state import AccountState
from idp.accounts.models import Account
from idp.accounts.passwords import alarm
from idp.accounts.passwords.hasher import Hasher, HasherBusyError, fold_provisional, fold_username
from idp.audit import log
from idp.audit.events import SignInFailed, SignInThrottled
from idp.clock import now
from idp.config import Settings
from idp.db import unit_of_work
from idp.metrics.catalogue import SIGN_IN
from idp.throttle import guard, limits
from idp.web.errors import TooManyRequestsError
from idp.web.request_context import describe_device

Door = Literal["sign_in", "reauthentication", "letter", "link"]
Reason = Literal["unknown", "disabled", "closed", "no_secret", "expired", "wrong", "changed", "shut"]
SIGN_IN.allow(get_args(Reason))
Slots = tuple[tuple[limits.Limit, str], ...]
_T = TypeVar("_T")
_WITH_DEVICE = account_state.by_username(with_device=True)
_WITHOUT_DEVICE = account_state.by_username(with_device=False)


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
            own password alone, `link` too, for the link of a mail, `letter` the letter's alone.
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
        account: the account as it was read.
        slots: the limits in which the try was counted, with their subjects.
        stored: the hash that the secret was compared with.
        provisional: whether it is the letter's secret.
        rehashed: the hash of the same password under today's parameters, if it was stored under older ones.
    """

    account: AccountState
    slots: Slots
    stored: str
    provisional: bool
    rehashed: str | None

    @property
    def account_id(self) -> uuid.UUID:
        """The account's id."""
        return self.account.id

    @property
    def known_device(self) -> bool:
        """Whether it was typed in a browser that verified the present password before."""
        return self.account.known_device

    def is_secret_of(self, account: Account) -> bool:
        """Return whether the locked row still has the secret that was verified, and no credential changed since."""
        if account.disabled_at is not None or account.generation != self.account.generation:
            return False
        if self.provisional:
            return account.activated_at is None and account.provisional_hash == self.stored
        return account.password_hash == self.stored

    def still_holds(self, account: Account | None) -> bool:
        """Return whether the secret gives what it is for: it is that of the locked row, which is not closed to it."""
        if account is None or account.is_shut_at(now()) or not self.is_secret_of(account):
            return False
        return not self.provisional or not (_is_expired(account) or account.has_disputed_tie)


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

    account: AccountState | None
    stored: str | None
    typed: str
    reason: Reason
    provisional: bool = False

    @property
    def account_id(self) -> uuid.UUID | None:
        return self.account.id if self.account else None


def _never(_verified: VerifiedSecret) -> None:
    return None


def verify_secret(
    settings: Settings,
    hasher: Hasher,
    attempt: Attempt,
    admit: Callable[[VerifiedSecret], _T | None],
    at_once: Callable[[VerifiedSecret], _T | None] = _never,
) -> _T | Refused | Throttled:
    """Verify a secret; if it is right, call `at_once`, or else `admit`, and return the result.

    Args:
        settings: the settings.
        hasher: computes the hash.
        attempt: the try.
        admit: runs a unit of work of its own. It returns None, without any change, if the account changed since the
            secret was compared.
        at_once: does the same for the ordinary case and settles the counted try (`VerifiedSecret.slots`) in the same
            transaction. It returns None, without any change, in all other cases, for which `admit` decides.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    folded = fold_username(attempt.username)
    subject = folded or attempt.username
    refused = guard.cached_wait(*_counters(subject, attempt, attempt.device))
    if refused:  # before taking a place: a throttled request must not take one from others
        return Throttled(refused)
    with hasher.queue_slot("sign_in"):
        account, verdict, slots = _look_up_and_count(folded, subject, attempt)
        candidate = _candidate(account, attempt)
        if isinstance(verdict, guard.Wait):
            return _throttled(settings, attempt, candidate, verdict)
        return _try(settings, hasher, attempt, candidate, slots, verdict.count, admit, at_once)


def _look_up_and_count(
    folded: str | None, subject: str, attempt: Attempt
) -> tuple[AccountState | None, guard.Granted | guard.Wait, Slots]:
    """Read the account and count the try: in its device's counter if the account knows the device, else in the others.

    A device that the account does not know takes a second statement.
    """
    for device in (attempt.device, None) if attempt.device else (None,):
        slots = _counters(subject, attempt, device)
        values = {"username": folded, "device_since": device.since if device else None}
        lookup, only_if = (_WITH_DEVICE, "known_device") if device else (_WITHOUT_DEVICE, "")
        row, verdict = guard.look_up_and_take(lookup, values, *slots, only_if=only_if)
        if verdict is not None:
            return AccountState.of(row), verdict, slots
    raise AssertionError("without a device, nothing keeps the try from being counted")


def _counters(subject: str, attempt: Attempt, device: Device | None) -> Slots:
    """Return the counters of a try, the account's first; a known browser has one counter and no other.

    A known browser does not use the IP's counters: an attacker in the parent's own school or telephone network must not
    exhaust them.
    """
    if device:
        return ((limits.SIGN_IN_DEVICE, f"{subject} {device.number}"),)
    return (
        (limits.LINK_PASSWORD if attempt.door == "link" else limits.SIGN_IN_ACCOUNT, subject),
        (limits.SIGN_IN_REQUESTS, attempt.ip),
        (limits.SIGN_IN_IP, attempt.ip),
    )


def _throttled(settings: Settings, attempt: Attempt, candidate: _Candidate, refusal: guard.Wait) -> Throttled:
    if guard.is_first_refusal(refusal):
        digest = username_digest(settings, attempt.username)
        with unit_of_work():
            log.record(SignInThrottled(account_id=candidate.account_id, username_digest=digest, door=attempt.door))
    return Throttled(refusal.seconds)


def _try(
    settings: Settings,
    hasher: Hasher,
    attempt: Attempt,
    candidate: _Candidate,
    slots: Slots,
    count: int,
    admit: Callable[[VerifiedSecret], _T | None],
    at_once: Callable[[VerifiedSecret], _T | None],
) -> _T | Refused:
    shut = count > limits.SHUT_AT and not candidate.provisional
    with _slots_returned_on_failure(slots):
        is_right = hasher.verify(candidate.stored, candidate.typed, "sign_in")
        verified = _verified(hasher, candidate, slots) if is_right and not shut else None
        if verified and (admitted := at_once(verified)) is not None:
            return admitted
        admitted = admit(verified) if verified else None
    if admitted is not None:
        guard.settle_success(*slots)
        return admitted
    reason = "shut" if shut and is_right else "changed" if is_right else candidate.reason
    with unit_of_work():
        if candidate.account_id:
            _write_notices(candidate, candidate.account_id, count)
        log.record(
            SignInFailed(
                account_id=candidate.account_id,
                reason=reason,
                username_digest=username_digest(settings, attempt.username),
                door=attempt.door,
                device=describe_device(attempt.user_agent).code,
            )
        )
    alarm.count_failure(settings)
    return Refused()


@contextmanager
def _slots_returned_on_failure(slots: Slots) -> Iterator[None]:
    try:
        yield
    except (HasherBusyError, SQLAlchemyError, TooManyRequestsError):
        with suppress(SQLAlchemyError):  # a slot that is not returned expires by itself
            for limit, key in slots:
                guard.uncount(limit, key)
        raise


def username_digest(settings: Settings, typed: str) -> str:
    """Return the digest of a typed identifier for the journal: people type passwords into that field."""
    key = opaque.derive_key(settings.secrets[0], "audit")
    return opaque.keyed_digest(key, fold_username(typed) or typed).hex()


def _candidate(account: AccountState | None, attempt: Attempt) -> _Candidate:
    if account is None:
        return _Candidate(None, None, attempt.password, "unknown")
    explains = attempt.door == "sign_in"  # the right secret of a closed account says there what to do
    is_shut = account.is_shut_at(now()) and not explains
    if account.disabled_at is not None or is_shut:
        return _Candidate(account, None, attempt.password, "closed" if is_shut else "disabled")
    if account.activated_at is not None:
        stored = account.password_hash if attempt.door != "letter" else None
        return _Candidate(account, stored, attempt.password, "wrong")
    if account.provisional_hash is None or attempt.door in {"reauthentication", "link"}:
        return _Candidate(account, None, attempt.password, "no_secret", provisional=True)
    if _is_expired(account) and not (explains and account.is_barred):
        return _Candidate(account, None, attempt.password, "expired", provisional=True)
    return _Candidate(account, account.provisional_hash, fold_provisional(attempt.password), "wrong", provisional=True)


def _is_expired(account: Account | AccountState) -> bool:
    return account.provisional_expires_at is None or account.provisional_expires_at <= now()


def _verified(hasher: Hasher, candidate: _Candidate, slots: Slots) -> VerifiedSecret:
    if candidate.account is None or candidate.stored is None:
        raise AssertionError("a right secret has an account and a stored hash")
    rehashed = None
    if not candidate.provisional and hasher.needs_rehash(candidate.stored):
        try:
            rehashed = hasher.hash(candidate.typed, "sign_in")
        except HasherBusyError:  # the next sign-in computes it
            rehashed = None
    return VerifiedSecret(candidate.account, slots, candidate.stored, candidate.provisional, rehashed)


def _write_notices(candidate: _Candidate, account_id: uuid.UUID, count: int) -> None:
    if candidate.provisional:
        # No two tries have the same count, so exactly one of any number of concurrent tries writes.
        if candidate.stored is not None and count % limits.LETTER_NOTICE_AT == 0:
            _tell_schools_of_guesses(account_id)
    elif count == limits.SHUT_AT:
        notices.tell(notices.Notice.MANY_TRIES, account_id)


def _tell_schools_of_guesses(account_id: uuid.UUID) -> None:
    account = directory.get_for_change(account_id)
    if account is not None and account.activated_at is None:
        school_notices.add(
            school_notices.Kind.LETTER_GUESSED, account_id, [school.id for school in directory.schools(account)]
        )
