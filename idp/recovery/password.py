"""« Mot de passe oublié »: the request, and the new password that a link of the confirmed mailbox leads to."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString
from sqlalchemy import select

from idp.accounts import directory, disputes, notices, tokens
from idp.accounts.authentication import Device
from idp.accounts.models import Account, OneTimeLink
from idp.accounts.notices import Notice
from idp.accounts.passwords.breached import BreachedPasswords
from idp.accounts.passwords.hasher import Hasher, fold_username
from idp.accounts.passwords.identity import identity
from idp.accounts.passwords.policy import check_password
from idp.accounts.tokens import LinkState, Purpose
from idp.audit import log
from idp.audit.events import PasswordReset
from idp.clients import audience, registry
from idp.clients.registry import Registration
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.recovery import brake
from idp.sessions import manager
from idp.throttle import guard, limits


@dataclass(frozen=True)
class Found:
    """What a token turned out to be; `account` is the one whose password it changes, None unless the link is alive."""

    state: LinkState
    account: Account | None


def ask(typed: str, network_address: str, device: Device | None) -> int:
    """Have a link mailed for the account `typed`; return the seconds to wait, 0 when the request was taken.

    `device` is this browser as the account knows it, if it does: the answer may depend on it, and the page never does.
    Counted for the identifier, whether there is such an account or not; then one read and one row in the outbox, always
    (security rows G-01, N-02). Nothing is written on the account. No unit of work may be open.
    """
    username = fold_username(typed)
    subject = typed if username is None else username
    demands = (limits.FORGOTTEN_PASSWORD_ACCOUNT, subject), (limits.FORGOTTEN_ADDRESS, network_address)
    if seconds := brake.take_slots("password", *demands):
        return seconds
    found = db.session.execute(
        select(Account.id, Account.password_changed_at).where(Account.username == subject)
    ).one_or_none()
    known_device = found is not None and device is not None and device.proved_since(found.password_changed_at)
    with unit_of_work():
        notices.want_reset(found.id if found else None, known_device=known_device)
    return 0


def look_up(value: str) -> Found:
    """Say what the token `value` is, and change nothing: a mail scanner may open its page."""
    link = tokens.look_up(Purpose.RESET_PASSWORD, value)
    if link.row is None or link.state is not LinkState.ALIVE:
        return Found(link.state, None)
    account = db.session.get(Account, link.row.account_id, populate_existing=True)
    if account is None or not may_reset(account, link.row):
        return Found(LinkState.DEAD, None)
    return Found(LinkState.ALIVE, account)


def ent_of(value: str) -> Registration | None:
    """Return the ENT that the account of a link, alive or not, goes on to."""
    row = tokens.look_up(Purpose.RESET_PASSWORD, value).row
    account = db.session.get(Account, row.account_id) if row else None
    return audience.first_ent(account) if account else None


def may_reset(account: Account, link: OneTimeLink) -> bool:
    """Return whether the account is still one that a link sent to that address may change.

    The address may have changed meanwhile, or be contested (G-06).
    """
    return (
        account.activated_at is not None
        and account.disabled_at is None
        and account.merged_into_id is None
        and account.email == link.address
        and not disputes.is_closed(account)
    )


def faults(
    settings: Settings, hasher: Hasher, breached: BreachedPasswords, account: Account, password: str
) -> Sequence[LazyString]:
    """Return what is wrong with a new password, in words.

    Raises:
        Busy: a hash got no turn.
    """
    person = identity(account, hasher, registry.public_names(settings))
    blocked = account.password_blocked_at is not None
    found = [
        fault.message
        for fault in check_password(
            password, person=person, min_length=settings.password_min_length, is_breached=breached.holds
        )
    ]
    if not found and blocked and hasher.verify(account.password_hash, password, "activation"):
        found = [_("C’est votre mot de passe actuel, qui ne sert plus. Choisissez-en un autre.")]
    return found


def choose(value: str, password_hash: str, *, former: str | None) -> str | None:
    """Use the link `value` and set the new password, in one transaction; return the account's identifier.

    All sessions of the account end, and that of the browser (its cookie is `former`), whoever's it was: the next person
    to use it signs in. None, and nothing done, when the link is not alive any more: of any number of tries one gets it.
    """
    username = _choose(value, password_hash, former)
    if username is not None:
        guard.clear(limits.SIGN_IN_ACCOUNT, username)
    return username


@unit_of_work()
def _choose(value: str, password_hash: str, former: str | None) -> str | None:
    row = tokens.look_up(Purpose.RESET_PASSWORD, value).row
    # The account's row is locked before its links, as everywhere.
    account = directory.get_for_change(row.account_id) if row else None
    if row is None or account is None or not may_reset(account, row):
        return None
    if tokens.redeem(Purpose.RESET_PASSWORD, value) is None:
        return None
    account.set_password(password_hash)
    account.pending_email = None  # the link that was to confirm another address opens nothing more
    tokens.revoke(account.id, *(purpose for purpose in Purpose if not purpose.outlives_credentials))
    log.record(PasswordReset(account_id=account.id))
    manager.end_all(account.id, by="password_reset")
    if former:
        manager.end_former(former)
    notices.tell(Notice.PASSWORD_CHANGED, account.id)
    return account.username
