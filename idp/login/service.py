"""Sign-in: the account's password opens a session, the letter's secret an activation, a blocked password a mail."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from sqlalchemy import update

from idp.accounts import account_state, authentication, directory, mailboxes, notices
from idp.accounts.account_state import AccountState
from idp.accounts.authentication import Attempt, Refused, Throttled, VerifiedSecret
from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, School
from idp.accounts.notices import Notice
from idp.accounts.passwords.breached import BreachedPasswords
from idp.accounts.passwords.hasher import Hasher
from idp.audit import log
from idp.audit.credential_events import PasswordBreached, ResetRequested
from idp.audit.events import ActivationOpened
from idp.chained import NewRow
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.login import admission
from idp.metrics.catalogue import SIGN_INS
from idp.passkeys import keys
from idp.sessions import devices, listed, manager, staying
from idp.sessions.models import METHODS, PASSWORD, PASSWORD_ON_KNOWN_DEVICE
from idp.throttle import guard, limits
from idp.web.request_context import describe_device

_AMR = METHODS[PASSWORD]


@dataclass(frozen=True)
class SignedIn:
    """A session of an account was opened; `device_cookie` is that of the device session that was begun, if one was."""

    cookie: str
    account_id: uuid.UUID
    username: str
    device_cookie: str = ""


@dataclass(frozen=True)
class MayActivate:
    """The provisional password was right: the account may be activated while its generation is the same."""

    account_id: uuid.UUID
    generation: int


@dataclass(frozen=True)
class MustRenew:
    """The password was right, but it is blocked.

    A mail with a link to choose another one is sent to the confirmed address, if there is one.

    Attributes:
        has_email: whether there is a confirmed address.
        breached: the password is in a list of stolen ones.
        by_letter: the mail carries no link, since other people read the mailbox and this browser is unknown.
        wait: the seconds until another mail may be asked for; 0 if one was asked for now.
    """

    has_email: bool
    breached: bool = False
    by_letter: bool = False
    wait: int = 0


@dataclass(frozen=True)
class Closed:
    """The secret was right, but a dispute or a decision closes the account: why, and the schools to go to."""

    why: Literal["closed", "contested", "disputed", "letter_reported"]
    schools: Sequence[School]
    closing: account_state.PublicClosing | None = None


@dataclass(frozen=True)
class NeedsSlot:
    """Nothing was decided: the sign-in would write rows, and takes a slot of the rate limit `demand` before."""

    demand: tuple[limits.Limit, str]


_Admitted = SignedIn | MayActivate | MustRenew | Closed
Outcome = _Admitted | Refused | Throttled


def sign_in(
    settings: Settings,
    hasher: Hasher,
    breached: BreachedPasswords,
    attempt: Attempt,
    former: str | None,
    *,
    stays: bool = False,
) -> Outcome:
    """Sign in with an identifier and a secret.

    `former` is the session cookie that the browser sent. `stays` says that the person stays signed in on this device.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
        TooManyRequestsError: the secret is right, and the account signed in too often; see `listed.check_room`.
    """

    @cache
    def is_stolen() -> bool:
        # outside of any transaction, since reading the list for the first time may take seconds
        return breached.holds(attempt.password)

    def at_once(verified: VerifiedSecret) -> SignedIn | None:
        account = verified.account
        closed = account.is_barred or account.is_shut_at(now())
        if stays or verified.provisional or is_refused(account, closed=closed) or is_stolen():
            return None  # the ordinary way decides
        return _admit_at_once(settings, verified, attempt, former)

    def admit(verified: VerifiedSecret) -> _Admitted | None:
        stolen = not verified.provisional and is_stolen()
        outcome: _Admitted | None = with_slot(
            lambda wait: _admit(settings, verified, attempt, former, stolen=stolen, wait=wait, stays=stays)
        )
        return outcome

    outcome: Outcome = authentication.verify_secret(settings, hasher, attempt, admit, at_once)
    if isinstance(outcome, Throttled):
        SIGN_INS.count("password", "throttled")
    return outcome


def with_slot(admit: Callable[[int | None], Any]) -> Any:
    """Return what `admit` decides, after taking the slot that it needs; it gets the seconds to wait for the slot."""
    outcome = admit(None)
    while isinstance(outcome, NeedsSlot):
        outcome = admit(guard.take_or_wait(outcome.demand))
    return outcome


@unit_of_work()
def _admit(
    settings: Settings,
    verified: VerifiedSecret,
    attempt: Attempt,
    former: str | None,
    *,
    stolen: bool,
    wait: int | None,
    stays: bool,
) -> _Admitted | NeedsSlot | None:
    """Decide in one transaction, by the account's present state: it may have changed while the hash was computed.

    `wait` is 0 if this sign-in took a slot for a mail and its journal entry; None if it has not asked for one yet.
    """
    account, closed = directory.get_for_sign_in(verified.account_id)
    if account is None or not verified.is_secret_of(account):
        return None
    if verified.provisional:  # a letter ends a contest
        closed = not verified.still_holds(account)
    refused = closed or (not verified.provisional and (stolen or is_refused(account, closed=closed)))
    if refused and wait is None:
        return slot_of_refusal(account, closed=closed)
    if verified.provisional and not refused:
        manager.end_former(former)  # two people must not share the state of one browser
        log.record(ActivationOpened(account_id=account.id))
        return MayActivate(account.id, account.generation)
    if stolen and not closed and account.password_state is not PasswordState.BREACHED:
        _close_breached(account)
        closed = account.is_barred
    if refused:
        return refuse(settings, account, closed=closed, known_device=verified.known_device, wait=wait or 0)
    listed.check_room(account.id)
    cookie = manager.open_session(
        account, _AMR, manager.Browser(attempt.ip, attempt.user_agent), former=former, acr=_acr(verified, attempt)
    )
    device_cookie = keep_and_tell(
        settings, account, cookie, attempt.user_agent, known_device=verified.known_device, stays=stays
    )
    admission.note(account.id, verified.rehashed or verified.stored)
    return SignedIn(cookie, account.id, account.username, device_cookie)


def _admit_at_once(
    settings: Settings, verified: VerifiedSecret, attempt: Attempt, former: str | None
) -> SignedIn | None:
    """Open a session for the account as it was read, in one transaction.

    Return None, without any change, if the account has changed, the browser's former session has not ended, or the
    account has too many sessions.
    """
    account, browser = verified.account, manager.Browser(attempt.ip, attempt.user_agent)
    cookie, rows = manager.new_session(account, _AMR, browser, acr=_acr(verified, attempt))
    rows += new_device_notices(settings, account, attempt.user_agent, known_device=verified.known_device)
    return SignedIn(cookie, account.id, account.username) if admission.admit(verified, rows, former) else None


def is_refused(account: Account | AccountState, *, closed: bool) -> bool:
    """Return whether the right password or a passkey of the account opens no session."""
    return closed or account.has_blocked_password


def slot_of_refusal(account: Account, *, closed: bool) -> NeedsSlot:
    """Return the rate limit of what a refusal (`refuse`) writes: each mail and each journal entry is a row.

    A sign-in to a closed account has its own counter: it must not use up requests for another password.
    """
    if closed:
        return NeedsSlot((limits.REFUSAL_NOTED, f"closed {account.username}"))
    return NeedsSlot((limits.BLOCKED_PASSWORD, account.username))


def refuse(settings: Settings, account: Account, *, closed: bool, known_device: bool, wait: int) -> MustRenew | Closed:
    """Return why an account opens no session though its person is known, in the caller's transaction."""
    if not closed:
        return _demand_another(settings, account, wait, known_device=known_device)
    is_shut = account.is_shut_at(now())
    if not wait:
        log.record(ResetRequested(account_id=account.id, answer="closed" if is_shut else "disputed"))
    if is_shut:
        closing = account_state.of_account(account)
        return Closed("closed", [closing.school] if closing.school else [], closing)
    schools = directory.schools_of_ties(account)
    if account.activated_at is None and account.has_disputed_tie:  # its reader knows the school
        printed = [school for school in schools if school.id == account.letter_school_id]
        return Closed("letter_reported", printed or schools)
    return Closed("disputed" if account.has_disputed_tie else "contested", schools)


def keep_and_tell(
    settings: Settings, account: Account, cookie: str, user_agent: str, *, known_device: bool, stays: bool
) -> str:
    """Keep the person signed in on this device if it `stays`, and send one mail about the sign-in, if any.

    Returns:
        The cookie of the device session, or an empty string.
    """
    kept = staying.start(cookie, account) if stays else None
    if kept is None or not kept.is_told:
        noticed = new_device_notices(settings, account, user_agent, known_device=known_device)
        db.session.add_all(row.as_object() for row in noticed)
    return kept.cookie if kept else ""


def new_device_notices(
    settings: Settings, account: Account | AccountState, user_agent: str, *, known_device: bool
) -> list[NewRow]:
    """Return the mail about a sign-in in a browser that the account does not know, if there is one."""
    if known_device or not account.has_signed_in or not settings.new_device_mail:
        return []
    return [notices.message_of(Notice.NEW_DEVICE, account.id, device=describe_device(user_agent).code)]


def _acr(verified: VerifiedSecret, attempt: Attempt) -> str:
    return PASSWORD_ON_KNOWN_DEVICE if verified.known_device and devices.is_settled(attempt.device) else PASSWORD


def _close_breached(account: Account) -> None:
    """Block the account's password, end its sessions and remove its passkeys.

    Somebody who has the stolen list may already be signed in, and may have added a passkey.

    The new password is chosen with a link sent to the confirmed mailbox or with a letter, never here: a stolen password
    does not prove who typed it.
    """
    db.session.execute(
        update(Account)
        .where(Account.id == account.id)
        .values(
            password_state=PasswordState.BREACHED,
            generation=Account.next_generation(),
            updated_at=Account.updated_at,
        )
    )
    db.session.refresh(account)
    manager.end_all(account.id, by="breached")
    keys.remove_all(account.id, by="breached")
    log.record(PasswordBreached(account_id=account.id))


def _demand_another(settings: Settings, account: Account, wait: int, *, known_device: bool) -> MustRenew:
    outcome = MustRenew(
        has_email=account.email is not None,
        breached=account.password_state is PasswordState.BREACHED,
        by_letter=mailboxes.reset_needs_letter(settings, account, known_device=known_device),
        wait=wait,
    )
    if wait:
        return outcome
    if outcome.has_email:
        notices.request_reset(account.id, known_device=known_device)
    log.record(ResetRequested(account_id=account.id, answer="blocked"))
    return outcome
