"""Opens the first session of an account in the browser that activated it, without the password a second time.

The password was chosen in this browser a short time ago, and since then the mailbox was proved, here or elsewhere. A
person who has only the link or only the code of the mail is not signed in: the account's `activated_in` must be the
digest of an interaction of this browser, or the password was typed again. Every other sign-in empties it.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import or_, select, true, update

from idp import opaque
from idp.accounts import directory, notices, one_time_links
from idp.accounts.models import Account
from idp.clock import ACTIVATION_LIFETIME, now
from idp.db import db
from idp.services import services
from idp.sessions import devices, liveness, manager
from idp.sessions.models import DeviceSession, Session
from idp.web import browser
from idp.web.http import AnyResponse
from idp.web.request_context import describe_device, remote_ip, user_agent

_AMR = ["pwd"]


@dataclass(frozen=True)
class Here:
    """The browser of a request.

    Attributes:
        activations: the accounts that it activated, each with its interaction (`browser.activations`); none while
            somebody is signed in, so that nobody's session is replaced.
        client_context: the IP and the user agent.
        former: the session cookie that it sent.
    """

    activations: Mapping[str, str]
    client_context: manager.Browser
    former: str | None

    @classmethod
    def of_request(cls) -> "Here":
        """Return the browser of this request."""
        activations = {} if manager.current() else browser.activations()
        return cls(activations, manager.Browser(remote_ip(), user_agent()), manager.cookie_value())


@dataclass(frozen=True)
class Opened:
    """A session was opened. `cookie` is its cookie's value, `username` the account's identifier."""

    cookie: str
    username: str

    def give_to(self, response: AnyResponse) -> None:
        """Give the browser its session, and make it a device of the account."""
        browser.renew_form_token()
        manager.set_cookie(response, self.cookie)
        devices.remember(response, self.username)


def sign_in(account_id: uuid.UUID, generation: int, here: Here, *, proved: bool = False) -> Opened | None:
    """Open the session in the caller's transaction, if the account was activated `here`.

    `proved` says that the password was typed here just now, which is as good. One statement decides, so that one
    activation opens one session. Return None without any change if the activation is older than `ACTIVATION_LIFETIME`,
    if its mailbox is not confirmed, if the account is closed, or if its credentials are not those of `generation` any
    more.
    """
    interaction = here.activations.get(account_id.hex)
    account = directory.get_for_change(account_id) if interaction or proved else None
    if account is None:
        return None
    had_signed_in, settings, moment = account.has_signed_in, services().settings, now()
    won = db.session.scalar(
        update(Account)
        .where(
            Account.id == account_id,
            true() if proved else Account.activated_in == opaque.digest(interaction or ""),
            Account.activated_at > moment - ACTIVATION_LIFETIME,
            Account.email_confirmed_at >= Account.activated_at,
            Account.email.is_not(None),
            Account.generation == generation,
            ~Account.has_blocked_password,
            Account.where_enabled(moment),
            ~Account.is_barred,
        )
        .values(activated_in=None, last_sign_in_at=moment, updated_at=Account.updated_at)
        .returning(Account.id)
        .execution_options(synchronize_session=False)
    )
    if won is None:
        return None
    if had_signed_in and settings.new_device_mail:  # a new letter: the new password was never typed at a sign-in
        notices.tell(notices.Notice.NEW_DEVICE, account.id, device=describe_device(here.client_context.user_agent).code)
    db.session.refresh(account)
    # the mailbox may have been proved elsewhere: the password was typed at the activation, and not since
    cookie = manager.open_session(
        account, _AMR, here.client_context, former=here.former, auth_time=None if proved else account.activated_at
    )
    return Opened(cookie, account.username)


def is_owners(account: Account) -> bool:
    """Return whether this browser activated the account and waits for the confirmation, or has a session of it."""
    return _session_here(account.id) is not None or _was_activated_here(account)


def waits_elsewhere(account: Account) -> bool:
    """Return whether another browser is signed in once the address is confirmed.

    It activated the account (`sign_in`), or has a session that opens no ENT before the address is confirmed.
    """
    return _was_activated_elsewhere(account) or _has_session_elsewhere(account)


def _was_activated_elsewhere(account: Account) -> bool:
    if account.activated_in is None or account.activated_at is None or _was_activated_here(account):
        return False
    return account.activated_at > now() - ACTIVATION_LIFETIME


def _was_activated_here(account: Account) -> bool:
    interaction = browser.activations().get(account.id.hex)
    return interaction is not None and account.activated_in == opaque.digest(interaction)


def _has_session_elsewhere(account: Account) -> bool:
    session, moment = _session_here(account.id), now()
    own_sid = session.sid if session else ""
    waiting = (
        select(model.id)
        .join(Account, Account.id == model.account_id)
        .where(model.account_id == account.id, model.sid != own_sid, alive)
        .exists()
        for model, alive in (
            (Session, liveness.live(services().settings, moment)),
            (DeviceSession, liveness.staying(moment)),
        )
    )
    return bool(db.session.scalar(select(or_(*waiting))))


def end_elsewhere(account_id: uuid.UUID) -> None:
    """Have no other browser signed in by the confirmation of the address, in the caller's transaction."""
    session = _session_here(account_id)
    if session:
        manager.end_others(session, by="person")
    else:
        manager.end_all(account_id, by="person")


def _session_here(account_id: uuid.UUID) -> Session | None:
    current = manager.current()
    return current[0] if current and current[1].id == account_id else None


def expected_username() -> str:
    """Return the identifier of the account whose password this browser set or confirmed a short time ago, or "".

    The browser activated the account, or used the link of its confirmation or of its forgotten password, whose person
    reads the mailbox. The identifier fills in the sign-in page until somebody signs in: to the account that was
    activated, or in the browser that used a link.
    """
    for key, interaction in browser.activations().items():
        account = db.session.get(Account, uuid.UUID(key))
        if account is not None and account.activated_in == opaque.digest(interaction):
            return account.username
    key = browser.used_link()
    link = db.session.get(one_time_links.OneTimeLink, uuid.UUID(key)) if key else None
    account = db.session.get(Account, link.account_id) if link else None
    if link is None or account is None or not one_time_links.is_used(link):
        return ""
    is_valid = one_time_links.is_current(link, account) or one_time_links.has_set_password(link, account)
    return account.username if is_valid else ""
