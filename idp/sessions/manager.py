"""Opens, finds and ends sessions.

The cookie holds 256 random bits; the table holds their digest. `idp.sessions.liveness` decides which sessions are
alive.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from flask import g
from sqlalchemy import select, update

from idp import opaque
from idp.accounts.account_state import AccountState
from idp.accounts.models import Account
from idp.audit import log
from idp.audit.events import SignedOut, SignInSucceeded
from idp.chained import NewRow
from idp.clock import now
from idp.db import db, retry_unit_of_work, unit_of_work
from idp.services import services
from idp.sessions import cookies, ending, liveness, staying
from idp.sessions.models import METHODS, PASSWORD, Session, after_password
from idp.throttle import guard, limits
from idp.web.browser import cookie_name, cookie_options
from idp.web.http import AnyResponse, current_request
from idp.web.request_context import describe_device

# The name under which a request keeps the cookie of the session that its device session opened.
_OPENED = "session of the device session"


@dataclass(frozen=True)
class Browser:
    """The IP and the user agent that a session is opened from."""

    ip: str
    user_agent: str


def open_session(
    account: Account,
    amr: list[str],
    browser: Browser,
    *,
    former: str | None,
    acr: str = PASSWORD,
    auth_time: datetime | None = None,
) -> str:
    """Add a session for `account` to the caller's transaction; return the cookie's value.

    `auth_time` is when the password was typed, if not just now.

    `former` is the value of the cookie that the browser sent. If that session is another person's, it ends here, so
    that no two people share a browser's session (security rows A-17, I-17). If it is the same person's, it continues
    under another id and with a new lifetime: what the person's ENTs got in it stays valid.
    """
    left = _resumable(former, account) if former else None
    if left is None:
        sid = ending.end_former(former, account.id) if former else None
        ending.end_oldest(account.id)
        cookie, rows = new_session(account, amr, browser, acr=acr, sid=sid, auth_time=auth_time)
        db.session.add_all(row.as_object() for row in rows)
        return cookie
    expires_at = now() + services().settings.lifetime("session_absolute")
    db.session.add(_sign_in_entry(account.id, left.sid, amr, browser).as_object())
    return _change_cookie(left, amr=amr, acr=acr, expires_at=expires_at, ip=browser.ip, user_agent=browser.user_agent)


def new_session(
    account: Account | AccountState,
    amr: list[str],
    browser: Browser,
    *,
    acr: str,
    sid: str | None = None,
    auth_time: datetime | None = None,
) -> tuple[str, list[NewRow]]:
    """Return the cookie's value of a new session, and its rows: the session and its entry of the journal.

    `sid` is that of the browser's former session, if its clients shall recognise the browser.
    """
    known_as = sid or opaque.new_value()
    cookie, row = _new_row(account, sid=known_as, amr=amr, acr=acr, browser=browser, auth_time=auth_time)
    return cookie, [row, _sign_in_entry(account.id, known_as, amr, browser)]


def _sign_in_entry(account_id: uuid.UUID, sid: str, amr: list[str], browser: Browser) -> NewRow:
    device = describe_device(browser.user_agent).code
    return log.entry_of(SignInSucceeded(account_id=account_id, sid=sid, amr=amr, device=device))


def _resumable(cookie: str, account: Account) -> Session | None:
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
    """Continue `session` under another id, in the caller's transaction; return the new cookie's value.

    Called when the account's password was verified again, or changed (`generation` is then the new one), so that a copy
    of the former cookie is worthless. The `sid`, by which ENTs know the session, stays. What the session granted
    (codes, refresh tokens) stays valid if the password was only verified, and is refused if it was changed. From now on
    the session is one of the password, also if a passkey opened it: its time and its strength are of one sign-in.
    """
    g.pop("idp_session", None)
    acr = after_password(session.acr)
    if liveness.is_holding(session, account, now()):
        return _change_cookie(session, amr=METHODS[acr], acr=acr)
    db.session.execute(update(Session).where(Session.id == session.id).values(ended_at=now()))
    browser = Browser(session.ip, session.user_agent)
    cookie, row = _new_row(account, sid=session.sid, amr=METHODS[acr], acr=acr, browser=browser, resumed=session)
    db.session.add(row.as_object())
    return cookie


def _change_cookie(session: Session, **changes: Any) -> str:
    """Give the row a new cookie, and keep an ended row under the former one, by which a second click is recognised."""
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
            ip=session.ip,
            user_agent=session.user_agent,
        )
    )
    return value


def _new_row(
    account: Account | AccountState,
    *,
    sid: str,
    amr: list[str],
    acr: str,
    browser: Browser,
    resumed: Session | None = None,
    auth_time: datetime | None = None,
) -> tuple[str, NewRow]:
    value, moment = opaque.new_value(), now()
    lifetime = services().settings.lifetime("session_absolute")
    values = {
        "digest": opaque.digest(value),
        "sid": sid,
        "account_id": account.id,
        "generation": account.generation,
        "auth_time": auth_time or moment,
        "amr": amr,
        "acr": acr,
        "created_at": resumed.created_at if resumed else moment,
        "last_seen_at": moment,
        "expires_at": resumed.expires_at if resumed else moment + lifetime,
        "ip": browser.ip,
        "user_agent": browser.user_agent,
    }
    return value, NewRow(Session, values)


def end_former(cookie: str | None) -> None:
    """End the session of the cookie that the browser sent, and its device session, in the caller's transaction."""
    staying.end_here(by="replaced")
    if cookie:
        ending.end_former(cookie, None)


def end_all(account_id: uuid.UUID, *, by: str, keep: uuid.UUID | None = None) -> int:
    """End the account's sessions and device sessions in the caller's transaction, and have the ENTs told.

    Return the number of sessions.

    Args:
        account_id: the account.
        by: the cause, for the journal: `password_reset`, `person`, `operator`…
        keep: the row of a session that continues. Without it, a browser that waits for the confirmation of the address
            is not signed in by it any more.
    """
    staying.end_of(account_id, by=by)
    if keep is None:
        ending.forget_activation(account_id)
    return ending.end_rows(account_id, by, *([Session.id != keep] if keep else []))


def end_others(session: Session, *, by: str) -> None:
    """End the account's sessions and device sessions but those of one browser, in the caller's transaction.

    What somebody copied from this browser ends too: its device session continues under another secret.
    """
    staying.keep_here_alone(session, by=by)
    ending.end_rows(session.account_id, by, Session.id != session.id)


def end_browser(account_id: uuid.UUID, sid: str, *, by: str) -> None:
    """End the sessions of the account that have the `sid`, and their device session, in the caller's transaction."""
    staying.end_of(account_id, by=by, sid=sid)
    ending.end_rows(account_id, by, Session.sid == sid)


def cookie_value() -> str | None:
    """Return the session cookie of this request, if it looks like one."""
    if opened := current_request().decided.get(_OPENED):
        return str(opened)
    value = current_request().cookies.get(cookie_name(services().settings, "ss"))
    return value if value and len(value) == 43 else None  # noqa: PLR2004 - 256 bits in base64url


def current() -> tuple[Session, Account] | None:
    """Return the live session of this request and its account, or None; the database is read once a request.

    If there is none and the person stays signed in on this device, a session is opened.
    """
    if "idp_session" not in g:
        value = cookie_value()
        g.idp_session = (find(value) if value else None) or _open_from_device()
    live: tuple[Session, Account] | None = g.idp_session
    return live


def _open_from_device() -> tuple[Session, Account] | None:
    presented = cookies.presented_device() if cookies.is_device_sent() else None
    if presented is None or isinstance(guard.take(limits.DEVICE_ROTATIONS, presented.number), guard.Wait):
        return None
    request = current_request()
    browser = Browser(request.remote_ip, request.user_agent)
    cookie = retry_unit_of_work(partial(_rotate, presented, browser))
    if cookie is None:
        return None
    request.decided[_OPENED] = cookie
    request.kept_cookies[cookie_name(services().settings, "ss")] = cookie, cookie_options(services().settings)
    return find(cookie)


def _rotate(presented: cookies.PresentedCookie, browser: Browser) -> str | None:
    if not services().settings.stay_days:  # it does not come back with the setting
        staying.end_here(by="operator")
        cookies.forget_device()
        return None
    outcome = staying.rotate(presented, browser.user_agent)
    if isinstance(outcome, staying.ReuseDetected):
        ending.end_rows(outcome.account_id, "stolen", Session.sid == outcome.sid)
    return _open_for(outcome, browser) if isinstance(outcome, staying.Rotated) else None


def _open_for(rotated: staying.Rotated, browser: Browser) -> str:
    """Open a session that is of the time and the strength of the password, in the caller's transaction.

    Former sessions of the same `sid` open no page any more, unless another tab has just opened them. They do not end,
    for the ENTs.
    """
    device, former = rotated.device, cookie_value()
    if former and db.session.scalar(select(Session.sid).where(Session.digest == opaque.digest(former))) != device.sid:
        ending.end_former(former, None)
    value, moment = opaque.new_value(), now()
    of_device = Session.account_id == device.account_id, Session.sid == device.sid, liveness.unexpired(moment)
    if not rotated.is_repeated:
        expiring = update(Session).where(*of_device, liveness.unended()).values(expires_at=moment)
        db.session.execute(expiring.execution_options(synchronize_session=False))
    lifetime = services().settings.lifetime("session_absolute")
    session = Session(
        digest=opaque.digest(value),
        sid=device.sid,
        account_id=device.account_id,
        generation=device.generation,
        auth_time=device.auth_time,
        amr=device.amr,
        acr=device.acr,
        created_at=moment,
        last_seen_at=moment,
        expires_at=min(moment + lifetime, device.expires_at),
        ip=browser.ip,
        user_agent=browser.user_agent,
    )
    db.session.add(session)
    return value


def find(value: str) -> tuple[Session, Account] | None:
    """Return the live session whose cookie is `value`, and its account, or None."""
    moment = now()
    row = db.session.execute(
        select(Session, Account)
        .join(Account, Account.id == Session.account_id)
        .where(Session.digest == opaque.digest(value), liveness.live(services().settings, moment))
    ).one_or_none()
    if row is None:
        return None
    session, account = row
    if liveness.is_touch_due(session, moment) and not _touch(session, moment):
        return None
    return session, account


@unit_of_work()
def _touch(session: Session, moment: datetime) -> bool:
    """Note that the session is in use; return whether its row still exists: an erasure may have removed it."""
    touching = update(Session).where(Session.id == session.id).values(last_seen_at=moment)
    return db.session.scalar(touching.returning(Session.id)) is not None


def unended() -> tuple[Session, Account] | None:
    """Return the session of this request that nobody has ended, also if idle or expired, and its account.

    An idle or expired session gives no access, but what ENTs got in it may still be valid: a sign-out ends that too.
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
    """End `session`, the others of its browser and the device session beside it, in the caller's transaction.

    `by` names who asked.
    """
    staying.end_of(session.account_id, by=by, sid=session.sid)
    if staying.owner() == session.account_id:
        staying.end_here(by=by)
    if ending.ended_rows(session.account_id, Session.sid == session.sid):
        log.record(SignedOut(account_id=session.account_id, sid=session.sid, by=by))
    g.pop("idp_session", None)


def set_cookie(response: AnyResponse, value: str) -> None:
    """Set the session cookie, without `Max-Age`: on shared computers, the session ends with the browser."""
    settings = services().settings
    current_request().kept_cookies.pop(cookie_name(settings, "ss"), None)
    response.set_cookie(cookie_name(settings, "ss"), value, **cookie_options(settings))
    cookies.keep_browser_state(response, "")  # the next answer to an ENT sets that of the new session


def clear_cookie(response: AnyResponse) -> None:
    """Delete the session cookie, that of a device session, and the browser state."""
    settings = services().settings
    cookies.clear_device(response)
    current_request().kept_cookies.pop(cookie_name(settings, "ss"), None)
    response.delete_cookie(cookie_name(settings, "ss"), **cookie_options(settings))
    cookies.forget_browser_state(response)
