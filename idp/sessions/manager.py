"""Opens, finds and ends sessions. The cookie holds 256 random bits; the table holds their digest.

A session lives while it is not ended, its account is not disabled and has the generation that it was opened with, less
than `session_idle` passed since the last request and less than `session_absolute` since the sign-in (OWASP ASVS 5,
V 7.3).
"""

from dataclasses import dataclass
from datetime import timedelta

from flask import Response, current_app, g, request
from sqlalchemy import select, update

from idp import opaque
from idp.accounts.models import Account
from idp.audit import log
from idp.audit.events import SignedOut, SignInSucceeded
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.sessions.models import Session
from idp.web.browser import cookie_name, cookie_options

_TOUCH_AFTER = timedelta(minutes=5)


@dataclass(frozen=True)
class Browser:
    """Where a session is opened: network address and the browser's name for itself."""

    address: str
    user_agent: str


def open_session(account: Account, amr: list[str], browser: Browser, *, former: str | None) -> str:
    """Add a session for `account` to the caller's transaction; return the cookie's value.

    `former` is the value of the cookie that the browser came with: its session, whoever's it was, ends here, so that no
    two people share a browser's session (security rows A-17, I-17).
    """
    settings = _settings()
    if former:
        end_former(former)
    value, moment = opaque.new_value(), now()
    session = Session(
        digest=opaque.digest(value),
        sid=opaque.new_value(),
        account_id=account.id,
        generation=account.generation,
        auth_time=moment,
        amr=amr,
        created_at=moment,
        last_seen_at=moment,
        expires_at=moment + settings.lifetime("session_absolute"),
        address=browser.address,
        user_agent=browser.user_agent,
    )
    db.session.add(session)
    log.record(SignInSucceeded(account_id=account.id, sid=session.sid, amr=amr))
    return value


def end_former(cookie: str) -> None:
    """End the session that a browser came with, in the caller's transaction."""
    db.session.execute(
        update(Session)
        .where(Session.digest == opaque.digest(cookie), Session.ended_at.is_(None))
        .values(ended_at=now())
    )


def cookie_value() -> str | None:
    """Return the session cookie of this request, if it looks like one."""
    value = request.cookies.get(cookie_name(_settings(), "ss"))
    return value if value and len(value) == 43 else None  # noqa: PLR2004 - 256 bits in base64url


def current() -> tuple[Session, Account] | None:
    """Return the live session of this request and its account, or None; read once a request."""
    if "idp_session" not in g:
        value = cookie_value()
        g.idp_session = find(value) if value else None
    found: tuple[Session, Account] | None = g.idp_session
    return found


def find(value: str) -> tuple[Session, Account] | None:
    """Return the live session whose cookie is `value`, and its account."""
    settings, moment = _settings(), now()
    row = db.session.execute(
        select(Session, Account)
        .join(Account, Account.id == Session.account_id)
        .where(
            Session.digest == opaque.digest(value),
            Session.ended_at.is_(None),
            Session.expires_at > moment,
            Session.last_seen_at > moment - settings.lifetime("session_idle"),
            Account.disabled_at.is_(None),
            Account.generation == Session.generation,
        )
    ).one_or_none()
    if row is None:
        return None
    session, account = row
    if session.last_seen_at < moment - _TOUCH_AFTER:
        session.last_seen_at = moment
        db.session.commit()
    return session, account


def end(session: Session, *, by: str) -> None:
    """End `session` in the caller's transaction. `by` names the client or page that asked."""
    ended = db.session.scalar(
        update(Session)
        .where(Session.id == session.id, Session.ended_at.is_(None))
        .values(ended_at=now())
        .returning(Session.id)
    )
    if ended:
        log.record(SignedOut(account_id=session.account_id, sid=session.sid, by=by))
    g.pop("idp_session", None)


def set_cookie(response: Response, value: str) -> None:
    """Give the browser its session cookie: no `Max-Age`, so that closing the browser ends it on shared computers."""
    settings = _settings()
    response.set_cookie(cookie_name(settings, "ss"), value, **cookie_options(settings))


def clear_cookie(response: Response) -> None:
    """Take the session cookie away."""
    settings = _settings()
    response.delete_cookie(cookie_name(settings, "ss"), **cookie_options(settings))


def _settings() -> Settings:
    settings: Settings = current_app.extensions["idp.settings"]
    return settings
