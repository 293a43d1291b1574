"""Opens, finds and ends sessions. The cookie holds 256 random bits; the table holds their digest.

`idp.sessions.liveness` decides which sessions are alive.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, g, request
from sqlalchemy import select, update

from idp import opaque
from idp.accounts.models import Account
from idp.audit import log
from idp.audit.events import SessionsEnded, SignedOut, SignInSucceeded
from idp.clock import now
from idp.db import db, unit_of_work
from idp.outbox import queue
from idp.services import services
from idp.sessions import browser_state, liveness
from idp.sessions.models import PASSWORD, Session
from idp.web.browser import cookie_name, cookie_options
from idp.web.user_agent import describe

SESSIONS_ENDED = "sessions.ended"
"""The kind of outbox message that tells of ended sessions, for the ENTs to end theirs; its payload names their rows."""

_TOLD_AT_ONCE = 200


@dataclass(frozen=True)
class Browser:
    """Where a session is opened: network address and the browser's name for itself."""

    address: str
    user_agent: str


def open_session(account: Account, amr: list[str], browser: Browser, *, former: str | None, acr: str = PASSWORD) -> str:
    """Add a session for `account` to the caller's transaction; return the cookie's value.

    `former` is the value of the cookie that the browser came with: its session ends here when it was somebody else's,
    so that no two people share a browser's session (security rows A-17, I-17). When it was the same person's, it goes
    on under another id, as young as a new one: the ENTs that the person is in keep what they were given.
    """
    left = _resumable(former, account) if former else None
    if left is None:
        sid = _leave(former, account.id) if former else None
        return _add(account, sid=sid or opaque.new_value(), amr=amr, acr=acr, browser=browser)
    expires_at = now() + services().settings.lifetime("session_absolute")
    place = {"address": browser.address, "user_agent": browser.user_agent}
    _record_sign_in(account, left.sid, amr, browser)
    return _rename(left, amr=amr, acr=acr, expires_at=expires_at, **place)


def _resumable(cookie: str, account: Account) -> Session | None:
    """Return the session of a cookie, its row locked, if this account can continue the session; None otherwise."""
    return db.session.scalar(
        select(Session)
        .join(Account, Account.id == Session.account_id)
        .where(
            Session.digest == opaque.digest(cookie),
            Session.account_id == account.id,
            liveness.resumable(now()),
        )
        .with_for_update(of=Session)
    )


def renew(session: Session, account: Account) -> str:
    """Go on with `session` under another id, in the caller's transaction; return the new cookie's value.

    Called when the account's password was proved again or changed, its `generation` already the new one: whoever
    copied the former cookie has nothing. The session's `sid` stays, by which the ENTs know it. What it granted (codes,
    refresh tokens) lives on when the password was only proved, and is dead when it was changed.
    """
    g.pop("idp_session", None)
    if liveness.is_holding(session, account):
        return _rename(session)
    db.session.execute(update(Session).where(Session.id == session.id).values(ended_at=now()))
    browser = Browser(session.address, session.user_agent)
    return _add(account, sid=session.sid, amr=session.amr, acr=session.acr, browser=browser, resumed=session)


def _rename(session: Session, **changes: Any) -> str:
    """Give the row a new cookie, and leave an ended row under the former one, by which a second click is known."""
    value, moment, former = opaque.new_value(), now(), session.digest
    db.session.execute(
        update(Session)
        .where(Session.id == session.id)
        .values(digest=opaque.digest(value), auth_time=moment, last_seen_at=moment, **changes)
        .execution_options(synchronize_session=False)
    )
    db.session.add(
        Session(
            digest=former,
            sid=session.sid,
            account_id=session.account_id,
            generation=session.generation,
            auth_time=session.auth_time,
            amr=session.amr,
            acr=session.acr,
            created_at=session.created_at,
            last_seen_at=session.last_seen_at,
            expires_at=session.expires_at,
            ended_at=moment,
            address=session.address,
            user_agent=session.user_agent,
        )
    )
    return value


def _add(
    account: Account, *, sid: str, amr: list[str], acr: str, browser: Browser, resumed: Session | None = None
) -> str:
    settings, value, moment = services().settings, opaque.new_value(), now()
    db.session.add(
        Session(
            digest=opaque.digest(value),
            sid=sid,
            account_id=account.id,
            generation=account.generation,
            auth_time=moment,
            amr=amr,
            acr=acr,
            created_at=resumed.created_at if resumed else moment,
            last_seen_at=moment,
            expires_at=resumed.expires_at if resumed else moment + settings.lifetime("session_absolute"),
            address=browser.address,
            user_agent=browser.user_agent,
        )
    )
    if resumed is None:
        _record_sign_in(account, sid, amr, browser)
    return value


def _record_sign_in(account: Account, sid: str, amr: list[str], browser: Browser) -> None:
    device = describe(browser.user_agent).code
    log.record(SignInSucceeded(account_id=account.id, sid=sid, amr=amr, device=device))


def end_former(cookie: str) -> None:
    """End the session that a browser came with, in the caller's transaction."""
    _leave(cookie, None)


def _leave(cookie: str, next_account: uuid.UUID | None) -> str | None:
    """End the session of a cookie; return its `sid` if it is unexpired and of the account that signs in next.

    Another password may have ended what clients got in it. They keep the `sid`, so that they know the same browser.
    """
    moment = now()
    row = db.session.execute(
        update(Session)
        .where(Session.digest == opaque.digest(cookie), liveness.unended())
        .values(ended_at=moment)
        .returning(Session.id, Session.account_id, Session.sid, liveness.unexpired(moment).label("is_unexpired"))
    ).one_or_none()
    if row is None:
        return None
    if row.account_id == next_account and row.is_unexpired:
        return str(row.sid)
    log.record(SessionsEnded(account_id=row.account_id, count=1, by="replaced"))
    _tell([row.id])
    return None


def open_sessions(account: Account) -> list[Session]:
    """Return the account's sessions that open something, the one that was used last first."""
    moment = now()
    renewable = services().renewable(moment)
    return list(
        db.session.scalars(
            select(Session)
            .join(Account, Account.id == Session.account_id)
            .where(Account.id == account.id, liveness.listed(services().settings, moment, renewable))
            .order_by(Session.last_seen_at.desc())
        )
    )


def is_left_alone(session: Session) -> bool:
    """Return whether an open session opens no page any more, because nobody used it for long."""
    return liveness.is_out_of_time(session, services().settings, now())


def end_all(account_id: uuid.UUID, *, by: str, keep: uuid.UUID | None = None, only: uuid.UUID | None = None) -> int:
    """End the account's sessions in the caller's transaction, and have the ENTs told; return how many there were.

    Args:
        account_id: whose sessions.
        by: what ends them, for the journal: `password_reset`, `person`, `operator`…
        keep: the row of a session that goes on.
        only: the row of the one session to end.
    """
    wanted = [Session.account_id == account_id, liveness.unended()]
    if keep is not None:
        wanted.append(Session.id != keep)
    if only is not None:
        wanted.append(Session.id == only)
    ended = db.session.scalars(update(Session).where(*wanted).values(ended_at=now()).returning(Session.id)).all()
    if ended:
        log.record(SessionsEnded(account_id=account_id, count=len(ended), by=by))
        _tell(ended)
    return len(ended)


def _tell(ended: Sequence[uuid.UUID]) -> None:
    """Put in the outbox that sessions ended: the protocol, which stands above, tells the ENTs."""
    for start in range(0, len(ended), _TOLD_AT_ONCE):
        queue.enqueue(SESSIONS_ENDED, {"sessions": [str(key) for key in ended[start : start + _TOLD_AT_ONCE]]})


def cookie_value() -> str | None:
    """Return the session cookie of this request, if it looks like one."""
    value = request.cookies.get(cookie_name(services().settings, "ss"))
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
    moment = now()
    row = db.session.execute(
        select(Session, Account)
        .join(Account, Account.id == Session.account_id)
        .where(Session.digest == opaque.digest(value), liveness.live(services().settings, moment))
    ).one_or_none()
    if row is None:
        return None
    session, account = row
    if liveness.is_touch_due(session, moment):
        with unit_of_work():
            session.last_seen_at = moment
    return session, account


def unended() -> tuple[Session, Account] | None:
    """Return the session of this request that nobody has ended, and its account, however long it was left alone.

    One that is idle or expired opens nothing any more, but what ENTs were given in it lives on: whoever signs out means
    that too.
    """
    value = cookie_value()
    if value is None:
        return None
    row = db.session.execute(
        select(Session, Account)
        .join(Account, Account.id == Session.account_id)
        .where(Session.digest == opaque.digest(value), liveness.unended())
    ).one_or_none()
    return (row[0], row[1]) if row else None


def end(session: Session, *, by: str) -> None:
    """End `session` in the caller's transaction. `by` names the client or page that asked."""
    ended = db.session.scalar(
        update(Session).where(Session.id == session.id, liveness.unended()).values(ended_at=now()).returning(Session.id)
    )
    if ended:
        log.record(SignedOut(account_id=session.account_id, sid=session.sid, by=by))
        _tell([ended])
    g.pop("idp_session", None)


def set_cookie(response: Response, value: str) -> None:
    """Give the browser its session cookie: no `Max-Age`, so that closing the browser ends it on shared computers."""
    settings = services().settings
    response.set_cookie(cookie_name(settings, "ss"), value, **cookie_options(settings))
    browser_state.forget_if_kept(response)


def clear_cookie(response: Response) -> None:
    """Take the session cookie away, and with it what tells ENTs of the session."""
    settings = services().settings
    response.delete_cookie(cookie_name(settings, "ss"), **cookie_options(settings))
    browser_state.forget(response)
