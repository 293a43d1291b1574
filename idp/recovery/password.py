"""« Mot de passe oublié »: the request, and the new password that a link of the confirmed mailbox leads to."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString
from sqlalchemy import false, select

from idp.accounts import directory, disputes, notices, one_time_links
from idp.accounts.account_state import proved_since
from idp.accounts.authentication import Device
from idp.accounts.models import Account
from idp.accounts.one_time_links import LinkState, OneTimeLink, Purpose
from idp.accounts.passwords.breached import BreachedPasswords
from idp.accounts.passwords.hasher import Hasher, fold_username
from idp.accounts.passwords.identity import identity
from idp.accounts.passwords.policy import check_password
from idp.audit import log
from idp.audit.credential_events import PasswordReset
from idp.clients import audience, registry
from idp.clients.registry import Registration
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.passkeys import keys
from idp.recovery import rate_limits
from idp.sessions import manager
from idp.throttle import guard, limits


@dataclass(frozen=True)
class ResetLink:
    """The state of a token; `account` is the account whose password it may change, None unless the link is alive."""

    state: LinkState
    account: Account | None


def ask(typed: str, ip: str, device: Device | None) -> int:
    """Enqueue a request for a link for the account `typed`; return the seconds to wait, 0 if it was accepted.

    `device` is this browser, if the account knows it: it has a limit of its own, which no stranger exhausts. The answer
    may depend on it, the page does not. The identifier is counted whether or not there is such an account. Then follow
    one read and one row in the outbox, always (security rows G-01, N-02). Nothing is written on the account. No unit of
    work may be open.
    """
    username = fold_username(typed)
    subject = typed if username is None else username
    of_device = (limits.FORGOTTEN_PASSWORD, device.number) if device else None
    elsewhere = (
        (limits.FORGOTTEN_PASSWORD, f"{subject} {limits.network_of(ip)}"),
        (limits.FORGOTTEN_PASSWORD_ACCOUNT, subject),
        (limits.FORGOTTEN_IP, ip),
    )
    if seconds := rate_limits.take_slots("password", *((of_device,) if of_device else elsewhere)):
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
        and account.merged_into_id is None
        and account.email == link.email
        and not disputes.ends_recovery(account)
    )


def faults(
    settings: Settings, hasher: Hasher, breached: BreachedPasswords, account: Account, password: str
) -> Sequence[LazyString]:
    """Return the faults of a new password, in words.

    Raises:
        HasherBusyError: a hash could not be computed in time.
    """
    person = identity(account, hasher, registry.public_names(settings))
    blocked = account.password_blocked_at is not None
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
