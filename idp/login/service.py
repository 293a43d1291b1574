"""Sign-in: the account's password opens a session, the letter's secret an activation; a blocked one sends a mail."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, update

from idp.accounts import authentication, directory, disputes, mailboxes, notices
from idp.accounts.authentication import Attempt, Proven, Refused, Throttled
from idp.accounts.models import Account, School
from idp.accounts.notices import Notice
from idp.accounts.passwords.breached import BreachedPasswords
from idp.accounts.passwords.hasher import Hasher
from idp.audit import log
from idp.audit.events import ActivationOpened, PasswordBreached, ResetRequested
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.sessions import manager
from idp.sessions.models import PASSWORD, PASSWORD_ON_KNOWN_DEVICE
from idp.throttle import guard, limits
from idp.web.user_agent import describe

SETTLED = timedelta(days=1)
"""The time after which a browser counts as the account's own: a mail told the person of its first sign-in."""


@dataclass(frozen=True)
class SignedIn:
    """The password was right; `cookie` is the session's cookie, `username` the account's."""

    cookie: str
    username: str


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
        has_address: whether there is a confirmed address.
        breached: the password is in a list of stolen ones.
        by_letter: the mail carries no link, since other people read the mailbox and this browser is unknown.
        wait: the seconds until another mail may be asked for; 0 if one was asked for now.
    """

    has_address: bool
    breached: bool = False
    by_letter: bool = False
    wait: int = 0


@dataclass(frozen=True)
class Closed:
    """The password was right, but the school has to settle a dispute first.

    Attributes:
        contested: the dispute is about the account's address; otherwise about a child.
        schools: the schools to go to.
    """

    contested: bool
    schools: Sequence[School]


@dataclass(frozen=True)
class _NeedsSlot:
    """Nothing was decided: the sign-in would write rows, and takes a slot of the rate limit `demand` before."""

    demand: tuple[limits.Limit, str]


_Admitted = SignedIn | MayActivate | MustRenew | Closed
Outcome = _Admitted | Refused | Throttled


def sign_in(
    settings: Settings, hasher: Hasher, breached: BreachedPasswords, attempt: Attempt, former: str | None
) -> Outcome:
    """Sign in with an identifier and a secret; `former` is the session cookie that the browser sent.

    Raises:
        Busy: the hash could not be computed in time; nothing was decided.
    """

    def admit(proven: Proven) -> _Admitted | None:
        # look it up before the unit of work: the first reading of the list may take seconds
        stolen = not proven.provisional and breached.holds(attempt.password)
        wait = None
        while True:
            outcome = _admit(settings, proven, attempt, former, stolen=stolen, wait=wait)
            if not isinstance(outcome, _NeedsSlot):
                return outcome
            wait = _wait(outcome.demand)

    return authentication.prove(settings, hasher, attempt, admit)


@unit_of_work()
def _admit(
    settings: Settings, proven: Proven, attempt: Attempt, former: str | None, *, stolen: bool, wait: int | None
) -> _Admitted | _NeedsSlot | None:
    """Decide in one transaction, on the account's present state: it may have changed while the hash was computed.

    `wait` is 0 if this sign-in took a slot for a mail and its journal entry; None if it has not asked for one yet.
    """
    account, closed = disputes.get_for_sign_in(proven.account_id)
    if account is None or not proven.still_holds(account):
        return None
    if wait is None and not proven.provisional and (closed or stolen or account.password_blocked_at is not None):
        # a sign-in that only learns that the account is closed uses up no request for another password
        noted = limits.REFUSAL_NOTED, f"closed {account.username}"
        renewed = limits.FORGOTTEN_PASSWORD_ACCOUNT, account.username
        return _NeedsSlot(noted if closed else renewed)
    if proven.provisional:
        if former:
            manager.end_former(former)  # two people must not share the state of one browser
        log.record(ActivationOpened(account_id=account.id))
        return MayActivate(account.id, account.generation)
    if closed:
        if not wait:
            log.record(ResetRequested(account_id=account.id, answer="disputed"))
        return Closed(account.contested_at is not None, directory.schools_of_ties(account))
    if account.password_blocked_at is not None or stolen:
        if stolen and account.breached_at is None:
            _close_breached(account)
        return _demand_another(settings, account, proven, wait or 0)
    if not proven.known_device and account.last_sign_in_at is not None and settings.new_device_mail:
        notices.tell(Notice.NEW_DEVICE, account.id, device=describe(attempt.user_agent).code)
    browser = manager.Browser(attempt.address, attempt.user_agent)
    acr = PASSWORD_ON_KNOWN_DEVICE if proven.known_device and _is_settled(attempt) else PASSWORD
    cookie = manager.open_session(account, ["pwd"], browser, former=former, acr=acr)
    _note(account, proven)
    return SignedIn(cookie, account.username)


def _close_breached(account: Account) -> None:
    """Block the account's password and end its sessions: somebody who has the stolen list may be signed in already.

    The new password is chosen with a link sent to the confirmed mailbox or with a letter, never here: a stolen password
    does not prove who typed it.
    """
    moment = now()
    db.session.execute(
        update(Account)
        .where(Account.id == account.id)
        .values(
            breached_at=moment,
            password_blocked_at=func.coalesce(Account.password_blocked_at, moment),
            generation=Account.next_generation(),
            updated_at=Account.updated_at,
        )
    )
    db.session.refresh(account)
    manager.end_all(account.id, by="breached")
    log.record(PasswordBreached(account_id=account.id))


def _wait(demand: tuple[limits.Limit, str]) -> int:
    """Count one row that this sign-in would write; return the seconds to wait if there were too many.

    Whoever has the right secret of a closed account may send it without end: each mail asked for and each journal entry
    is a row.
    """
    if seconds := guard.held(demand):
        return seconds
    verdict = guard.take(*demand)
    return verdict.seconds if isinstance(verdict, guard.Wait) else 0


def _demand_another(settings: Settings, account: Account, proven: Proven, wait: int) -> MustRenew:
    outcome = MustRenew(
        has_address=account.email is not None,
        breached=account.breached_at is not None,
        by_letter=mailboxes.reset_needs_letter(settings, account, known_device=proven.known_device),
        wait=wait,
    )
    if wait:
        return outcome
    if outcome.has_address:
        notices.want_reset(account.id, known_device=proven.known_device)
    log.record(ResetRequested(account_id=account.id, answer="blocked"))
    return outcome


def _is_settled(attempt: Attempt) -> bool:
    """Return whether the browser is known since `SETTLED`: two sign-ins in a row must not make it a known device."""
    return attempt.device is not None and attempt.device.first <= now() - SETTLED


def _note(account: Account, proven: Proven) -> None:
    """Record the sign-in, and the hash under today's parameters; keep `updated_at`, which is for other changes.

    This also ends what the browser that activated the account may do without the password.
    """
    db.session.execute(
        update(Account)
        .where(Account.id == account.id)
        .values(
            last_sign_in_at=now(),
            inactive_warned_at=None,
            activated_in=None,
            password_hash=proven.rehashed or Account.password_hash,
            updated_at=Account.updated_at,
        )
        .execution_options(synchronize_session=False)
    )
