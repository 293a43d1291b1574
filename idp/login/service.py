"""What a right secret opens: the account's own password a session, the letter's an activation, a blocked one a mail."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, update

from idp.accounts import authentication, directory, disputes, mailboxes, notices
from idp.accounts.authentication import Attempt, Proven, Refused, Throttled
from idp.accounts.breached import BreachedPasswords
from idp.accounts.models import Account, School
from idp.accounts.notices import Notice
from idp.accounts.passwords import Hasher
from idp.audit import log
from idp.audit.events import ActivationOpened, PasswordBreached, ResetRequested
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.sessions import manager
from idp.sessions.models import PASSWORD, PASSWORD_ON_KNOWN_DEVICE
from idp.web.user_agent import describe

SETTLED = timedelta(days=1)
"""How long ago an account first signed in on a browser that counts as its own: a mail told the person that day."""


@dataclass(frozen=True)
class SignedIn:
    """The password was right; `cookie` is the new session's, `username` whose it is."""

    cookie: str
    username: str


@dataclass(frozen=True)
class MayActivate:
    """The provisional password was right: this account may be activated, at this generation."""

    account_id: uuid.UUID
    generation: int


@dataclass(frozen=True)
class MustRenew:
    """The password was right, but it no longer opens anything.

    A link to choose another is on its way to the confirmed address, unless there is none.

    Attributes:
        has_address: whether there is a confirmed address.
        breached: the password is in a list of stolen ones.
        by_letter: the mail carries no link, since other people read the mailbox and this browser is unknown.
    """

    has_address: bool
    breached: bool = False
    by_letter: bool = False


@dataclass(frozen=True)
class Closed:
    """The password was right, but the school has to settle a dispute first.

    Attributes:
        contested: the dispute is about the account's address; otherwise about a child.
        schools: the schools to go to.
    """

    contested: bool
    schools: Sequence[School]


_Admitted = SignedIn | MayActivate | MustRenew | Closed
Outcome = _Admitted | Refused | Throttled


def sign_in(
    settings: Settings, hasher: Hasher, breached: BreachedPasswords, attempt: Attempt, former: str | None
) -> Outcome:
    """Try an identifier and a secret; `former` is the session cookie that the browser came with.

    Raises:
        Busy: the hash could not be computed in time; nothing was decided.
    """

    def admit(proven: Proven) -> _Admitted | None:
        # looked up before the transaction: to read the list for the first time may take seconds
        stolen = not proven.provisional and breached.holds(attempt.password)
        return _admit(settings, proven, attempt, former, stolen=stolen)

    return authentication.prove(settings, hasher, attempt, admit)


def _admit(
    settings: Settings, proven: Proven, attempt: Attempt, former: str | None, *, stolen: bool
) -> _Admitted | None:
    """Decide in one transaction, on the account as it is now: it may have changed while the hash was computed."""
    account, closed = disputes.get_for_sign_in(proven.account_id)
    if account is None or not proven.still_holds(account):
        db.session.rollback()
        return None
    outcome: _Admitted
    if proven.provisional:
        if former:
            manager.end_former(former)  # whoever was signed in here leaves: two people must not share a browser's state
        log.record(ActivationOpened(account_id=account.id))
        outcome = MayActivate(account.id, account.generation)
    elif closed:
        outcome = Closed(account.contested_at is not None, directory.schools_of_ties(account))
        log.record(ResetRequested(account_id=account.id, answer="disputed"))
    elif account.password_blocked_at is not None or stolen:
        if stolen and account.breached_at is None:
            _close_breached(account)
        outcome = _demand_another(settings, account, proven)
    else:
        if not proven.known_device and account.last_sign_in_at is not None and settings.new_device_mail:
            notices.tell(Notice.NEW_DEVICE, account.id, device=describe(attempt.user_agent).code)
        browser = manager.Browser(attempt.address, attempt.user_agent)
        acr = PASSWORD_ON_KNOWN_DEVICE if proven.known_device and _is_settled(attempt) else PASSWORD
        cookie = manager.open_session(account, ["pwd"], browser, former=former, acr=acr)
        outcome = SignedIn(cookie, account.username)
        _note(account, proven)
    db.session.commit()
    return outcome


def _close_breached(account: Account) -> None:
    """Let the account's password open nothing any more: whoever has the stolen list may be signed in already.

    The new one is chosen with a link of the confirmed mailbox or with a letter, never here: the password that was just
    typed proves no more who typed it.
    """
    moment = now()
    db.session.execute(
        update(Account)
        .where(Account.id == account.id)
        .values(
            breached_at=moment,
            password_blocked_at=func.coalesce(Account.password_blocked_at, moment),
            generation=Account.generation + 1,
            updated_at=Account.updated_at,
        )
    )
    db.session.refresh(account)
    manager.end_all(account.id, by="breached")
    log.record(PasswordBreached(account_id=account.id))


def _demand_another(settings: Settings, account: Account, proven: Proven) -> MustRenew:
    outcome = MustRenew(
        has_address=account.email is not None,
        breached=account.breached_at is not None,
        by_letter=mailboxes.reset_needs_letter(settings, account, known_device=proven.known_device),
    )
    if outcome.has_address:
        notices.want_reset(account.id, known_device=proven.known_device)
    log.record(ResetRequested(account_id=account.id, answer="blocked"))
    return outcome


def _is_settled(attempt: Attempt) -> bool:
    """Say whether a browser is known for long enough to prove something: else two sign-ins in a row would."""
    return attempt.device is not None and attempt.device.first <= now() - SETTLED


def _note(account: Account, proven: Proven) -> None:
    """Write down that the account is used, and its password under today's parameters; `updated_at` is not ours.

    From here on the browser that activated the account opens nothing without the password either.
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
