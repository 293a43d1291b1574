"""The rules of the recovery: of a forgotten identifier, and of a forgotten password.

« Identifiant oublié » mails the identifiers of a mailbox to that mailbox. « Mot de passe oublié » takes the request,
and the new password that a link of the confirmed mailbox leads to.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString
from sqlalchemy import ColumnElement, false, select

from idp.accounts import directory, notices, one_time_links
from idp.accounts.account_state import proved_since
from idp.accounts.authentication import Device
from idp.accounts.models import Account
from idp.accounts.one_time_links import LinkState, OneTimeLink, Purpose
from idp.accounts.passwords.breached import BreachedPasswords
from idp.accounts.passwords.hasher import Hasher, fold_username
from idp.accounts.passwords.policy import check_password, identity
from idp.audit import log
from idp.audit.credential_events import PasswordReset, RecoveryThrottled, UsernameRequested, UsernameTold
from idp.clients import audience, registry
from idp.clients.registry import Registration
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.languages import of_account
from idp.mail.compose import compose
from idp.mail.emails import fold_email, parse_email
from idp.mail.smtp import deliver
from idp.outbox import queue
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from idp.passkeys import keys
from idp.sessions import manager
from idp.throttle import guard, limits


def take_slots(form: Literal["username", "password"], *demands: tuple[limits.Limit, str]) -> int:
    """Count one request of `form` in each limit; return the seconds to wait, 0 if the request may continue.

    A refused request leaves one journal entry for each counter and hour, so that a flood fills neither the journal nor
    the disk.

    Raises:
        RuntimeError: a unit of work is open.
    """
    if seconds := guard.cached_wait(*demands):
        return seconds
    verdict = guard.take_all(*demands)
    if isinstance(verdict, guard.Granted):
        return 0
    if guard.is_first_refusal(verdict):
        with unit_of_work():
            log.record(RecoveryThrottled(form=form))
    return verdict.seconds


@dataclass(frozen=True)
class ResetLink:
    """The state of a token; `account` is the account whose password it may change, None unless the link is alive."""

    state: LinkState
    account: Account | None


def request_link(typed: str, ip: str, device: Device | None) -> int:
    """Enqueue a request for a link for the account `typed`; return the seconds to wait, 0 if it was accepted.

    `device` is this browser, if the account knows it: it has a limit of its own, which no stranger exhausts. The answer
    may depend on it, the page does not. No limit counts the requests of several networks for one identifier: strangers
    would keep the owner out, and the worker limits the mails. The identifier is counted whether or not there is such an
    account. Then follow one read and one row in the outbox, always (security rows G-01, N-02). Nothing is written on
    the account. No unit of work may be open.
    """
    username = fold_username(typed)
    subject = typed if username is None else username
    of_device = (limits.FORGOTTEN_PASSWORD, device.number) if device else None
    elsewhere = (
        (limits.FORGOTTEN_PASSWORD, f"{subject} {limits.network_of(ip)}"),
        (limits.FORGOTTEN_IP, ip),
    )
    if seconds := take_slots("password", *((of_device,) if of_device else elsewhere)):
        return seconds
    known = proved_since(device.since, Account.password_changed_at) if device else false()
    row = db.session.execute(select(Account.id, known.label("known")).where(Account.username == subject)).one_or_none()
    with unit_of_work():
        notices.request_reset(row.id if row else None, known_device=row is not None and row.known)
    return 0


def look_up(value: str) -> ResetLink:
    """Return the state of the token `value`; change nothing, since a mail scanner may open its page."""
    link = one_time_links.look_up(Purpose.RESET_PASSWORD, value)
    if link.row is None or link.state is not LinkState.ALIVE:
        return ResetLink(link.state, None)
    account = db.session.get(Account, link.row.account_id, populate_existing=True)
    if account is None or not may_reset(account, link.row):
        return ResetLink(LinkState.DEAD, None)
    return ResetLink(LinkState.ALIVE, account)


def ent_of(value: str) -> Registration | None:
    """Return the ENT that the page of a link leads to, whether or not the link is alive."""
    row = one_time_links.look_up(Purpose.RESET_PASSWORD, value).row
    account = db.session.get(Account, row.account_id) if row else None
    return audience.first_ent(account) if account else None


def may_reset(account: Account, link: OneTimeLink) -> bool:
    """Return whether a link sent to that address may still change the account.

    The address may have changed meanwhile, or be contested (G-06).
    """
    return (
        account.activated_at is not None
        and account.is_enabled_at(now())
        and account.email == link.email
        and not account.disputes
    )


def faults(
    settings: Settings, hasher: Hasher, breached: BreachedPasswords, account: Account, password: str
) -> Sequence[LazyString]:
    """Return the faults of a new password, in words.

    Raises:
        HasherBusyError: a hash could not be computed in time.
    """
    person = identity(account, hasher, registry.public_names(settings))
    blocked = account.has_blocked_password
    messages = [
        fault.message
        for fault in check_password(
            password, person=person, min_length=settings.password_min_length, is_breached=breached.holds
        )
    ]
    if not messages and blocked and hasher.verify(account.password_hash, password, "activation"):
        messages = [_("C’est votre mot de passe actuel, qui ne sert plus. Choisissez-en un autre.")]
    return messages


@dataclass(frozen=True)
class NewPassword:
    """A password was set: the identifier of its account, and the id of the link."""

    username: str
    link_id: uuid.UUID


def choose(value: str, password_hash: str, *, former: str | None, without_passkeys: bool = False) -> NewPassword | None:
    """Use the link `value` and set the new password, in one transaction.

    All sessions of the account end. The browser's own session (its cookie is `former`) ends too, of any account, so
    that the next person signs in. `without_passkeys` also removes the account's passkeys. Return None, without any
    change, if the link is not alive any more: exactly one of any number of concurrent calls succeeds.
    """
    done = _choose(value, password_hash, former, without_passkeys=without_passkeys)
    if done is not None:
        guard.clear(limits.SIGN_IN_ACCOUNT, done.username)
    return done


@unit_of_work()
def _choose(value: str, password_hash: str, former: str | None, *, without_passkeys: bool) -> NewPassword | None:
    row = one_time_links.look_up(Purpose.RESET_PASSWORD, value).row
    # Lock the account's row before its links, in the same order as elsewhere, to avoid deadlocks.
    account = directory.get_for_change(row.account_id) if row else None
    if row is None or account is None or not may_reset(account, row):
        return None
    if one_time_links.redeem(Purpose.RESET_PASSWORD, value) is None:
        return None
    account.set_password(password_hash)
    account.pending_email = None  # the link that confirms another address is refused from now on
    one_time_links.revoke(account.id, *(purpose for purpose in Purpose if not purpose.outlives_credentials))
    log.record(PasswordReset(account_id=account.id))
    manager.end_all(account.id, by="password_reset")
    manager.end_former(former)
    keys.tell_new_password(account.id, removes=without_passkeys)
    return NewPassword(account.username, row.id)


def entrance(settings: Settings, account: Account) -> str:
    """Return the URL of the ENT that serves a child's school, or of our own sign-in page if there is none."""
    ent = audience.first_ent(account)
    url = ent.home_uri or ent.entrance(settings.issuer) if ent else ""
    return url or f"{settings.issuer}/connexion"


def ent_name(account: Account) -> str:
    """Return the name of the ENT that serves a child's school, or an empty string."""
    ent = audience.first_ent(account)
    return ent.name if ent else ""


def school_names(account: Account) -> str:
    """Return the schools of the account's children on one line: « Collège des Tilleuls, Lycée Louise-Weber »."""
    return ", ".join(school.name for school in directory.schools(account))


USERNAME_REQUESTED = "recovery.username"
"""The kind of outbox message for such a request; its payload names the accounts, often none."""


def request_usernames(typed: str, ip: str) -> int:
    """Enqueue a mail with the identifiers of a mailbox; return the seconds to wait, 0 if it was accepted.

    The number of accounts changes no statement: there is always one read and one row in the outbox (security rows F-01,
    N-01). No unit of work may be open.

    Raises:
        InvalidEmailError: it is no address, which depends on the typed text only.
    """
    mailbox = fold_email(parse_email(typed))
    demands = (limits.FORGOTTEN_USERNAME_MAILBOX, mailbox), (limits.FORGOTTEN_IP, ip)
    if seconds := take_slots("username", *demands):
        return seconds
    account_ids = db.session.scalars(select(Account.id).where(Account.mailbox == mailbox, *_listed_accounts())).all()
    origin = log.current_origin()
    payload = {"accounts": [str(key) for key in account_ids], "ip": origin.ip, "request_id": origin.request_id}
    with unit_of_work():
        queue.enqueue(USERNAME_REQUESTED, payload)
        log.record(UsernameRequested(count=len(account_ids)))
    return 0


def send_usernames(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail that lists the accounts (outbox handler); drop it if there are none."""
    accounts = _still_there(message)
    if not accounts:
        return Outcome.DROPPED
    recipient, link = str(accounts[0].email), entrance(settings, accounts[0])
    lines = [
        {"name": a.short_name, "username": a.username, "schools": school_names(a), "is_shut": is_shut}
        for a, is_shut in ((account, account.is_shut_at(now())) for account in accounts)
    ]
    mail = compose(
        "identifiant",
        recipient=recipient,
        context={"accounts": lines, "link": link, "ent": ent_name(accounts[0])},
        message_id=f"{message.id}",
        settings=settings,
        other_urls=[link],
        language=of_account(accounts[0].locale),
    )
    deliver(mail, recipient)
    payload = message.payload
    origin = log.Origin(ip=payload.get("ip", ""), request_id=payload.get("request_id", ""))
    with unit_of_work(), log.acting_for(origin):
        for account in accounts:
            log.record(UsernameTold(account_id=account.id))
    return Outcome.DONE


def _listed_accounts() -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of the accounts that are listed: confirmed, neither disabled, disputed nor merged."""
    return (
        Account.email_confirmed_at.is_not(None),
        ~Account.has_contested_email,
        ~Account.has_disputed_tie,
        Account.disabled_at.is_(None),
    )


def _still_there(message: OutboxMessage) -> Sequence[Account]:
    account_ids = [uuid.UUID(key) for key in message.payload["accounts"]]
    if not account_ids:
        return []
    return db.session.scalars(
        select(Account)
        .where(Account.id.in_(account_ids), Account.email_confirmed_at <= message.created_at, *_listed_accounts())
        .order_by(Account.created_at, Account.username)
        .execution_options(populate_existing=True)
    ).all()
