"""Device sessions: « Rester connecté sur cet appareil ».

The cookie has a random number and a turn, signed. The table has the keyed digest of the number and the turn that is
valid. Each use makes the next turn valid, in the statement that checks the turn in the cookie. If an earlier turn comes
back, the cookie was copied: the device session ends, and the caller ends the sessions that it opened. For `GRACE`, the
turn before still works, since the answer may have been lost or two tabs may have asked at once.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, case, or_, select, update

from idp import opaque, signed
from idp.accounts import notices
from idp.accounts.models import Account
from idp.accounts.notices import Notice
from idp.audit import log
from idp.audit.device_events import DeviceSessionChanged, DeviceSessionReused
from idp.clock import now
from idp.db import db, unit_of_work
from idp.services import services
from idp.sessions import liveness
from idp.sessions.models import DeviceSession, Session
from idp.web.browser import cookie_name, cookie_options
from idp.web.http import AnyResponse, current_request
from idp.web.user_agent import describe

GRACE = timedelta(seconds=60)
_LONGEST = 400
_NAME = "ds"


@dataclass(frozen=True)
class _Shown:
    """The content of a cookie whose signature is right: the number and its turn."""

    number: str
    turn: int


@dataclass(frozen=True)
class Stolen:
    """An earlier turn of a device session came back."""

    account_id: uuid.UUID
    sid: str


@dataclass(frozen=True)
class Begun:
    """A device session that has begun: the cookie's value, and whether a mail tells the person."""

    cookie: str
    is_told: bool


def has_opened(session: Session) -> bool:
    """Return whether a device session opened a session: then the password was typed before the session began."""
    if session.auth_time >= session.created_at:
        return False
    of_session = DeviceSession.account_id == session.account_id, DeviceSession.sid == session.sid
    return db.session.scalar(select(DeviceSession.id).where(*of_session)) is not None


def start(cookie: str, account: Account) -> Begun:
    """Begin a device session beside the session that the password has just opened, in the caller's transaction.

    It replaces that of the browser. The person is told by mail, unless that was the account's own.
    """
    session = db.session.scalars(select(Session).where(Session.digest == opaque.digest(cookie))).one()
    is_new, user_agent = owner() != account.id, session.user_agent
    end_here(by="replaced")
    moment, number = now(), opaque.new_value()
    row = DeviceSession(
        digest=_digests(number)[0],
        turned_at=moment,
        sid=session.sid,
        account_id=session.account_id,
        generation=session.generation,
        auth_time=session.auth_time,
        amr=session.amr,
        acr=session.acr,
        created_at=moment,
        expires_at=moment + timedelta(days=services().settings.stay_days),
        ip=session.ip,
        user_agent=user_agent,
    )
    db.session.add(row)
    device = describe(user_agent).code
    log.record(DeviceSessionChanged(account_id=row.account_id, change="begun", by="person", sid=row.sid, device=device))
    if is_new:
        notices.tell(Notice.DEVICE_STAYS, row.account_id, device=device, until=row.expires_at.isoformat())
    return Begun(_cookie(_Shown(number, 0)), is_told=is_new and account.email is not None)


def turn(user_agent: str) -> DeviceSession | Stolen | None:
    """Make the next secret of this browser's device session valid, in the caller's transaction.

    The response to this request takes it along.

    Returns:
        The device session, that a copied cookie was shown, or None if there is none.
    """
    shown = _shown()
    if shown is None:
        return None
    # before the row of the device session, as all who end one have locked the account
    of_account = select(Account.id).join(DeviceSession).where(DeviceSession.digest.in_(_digests(shown.number)))
    if db.session.scalar(of_account.with_for_update(read=True, key_share=True, of=Account)) is None:
        _forget()
        return None
    moment, grace_since = now(), now() - GRACE
    is_valid = DeviceSession.turn == shown.turn
    is_former = and_(DeviceSession.turn == shown.turn + 1, DeviceSession.turned_at > grace_since)
    row = db.session.scalar(
        update(DeviceSession)
        .where(_alive(shown), or_(is_valid, is_former))
        .values(
            turn=shown.turn + 1,
            turned_at=case((is_valid, moment), else_=DeviceSession.turned_at),
        )
        .returning(DeviceSession)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    if row is None:
        return _stolen(shown, user_agent)
    device = describe(user_agent).code
    log.record(DeviceSessionChanged(account_id=row.account_id, change="used", by="person", sid=row.sid, device=device))
    keep(_cookie(_Shown(shown.number, row.turn)), row)
    return row


def _stolen(shown: _Shown, user_agent: str) -> Stolen | None:
    """End the device session if the turn is an earlier one; the cookie is worthless in any case."""
    row = db.session.execute(
        update(DeviceSession)
        .where(_alive(shown), DeviceSession.turn > shown.turn)
        .values(ended_at=now())
        .returning(DeviceSession.account_id, DeviceSession.sid)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    _forget()
    if row is None:
        return None
    device = describe(user_agent).code
    log.record(DeviceSessionReused(account_id=row.account_id, sid=row.sid, device=device))
    notices.tell(Notice.DEVICE_COPIED, row.account_id, device=device)
    return Stolen(row.account_id, row.sid)


def _alive(shown: _Shown) -> ColumnElement[bool]:
    holding = select(Account.id).where(Account.id == DeviceSession.account_id, liveness.staying(now()))
    return and_(DeviceSession.digest.in_(_digests(shown.number)), holding.correlate(DeviceSession).exists())


def owner() -> uuid.UUID | None:
    """Return the account of this browser's device session, if it is alive."""
    shown = _shown()
    return db.session.scalar(select(DeviceSession.account_id).where(_alive(shown))) if shown else None


def devices_of(account: Account) -> tuple[list[Session], list[DeviceSession]]:
    """Return the account's open sessions (`liveness.listed`), the last used first, and its device sessions."""
    moment = now()
    listed = liveness.listed(services().settings, moment, services().renewable(moment))
    rows = db.session.execute(
        select(Session, DeviceSession)
        .select_from(Account)
        .outerjoin(Session, and_(Session.account_id == Account.id, listed))
        .outerjoin(DeviceSession, and_(DeviceSession.account_id == Account.id, liveness.staying(moment)))
        .where(Account.id == account.id)
        .order_by(Session.last_seen_at.desc(), DeviceSession.created_at.desc())
    ).all()
    sessions = {session.id: session for session, _ in rows if session is not None}
    devices = {device.id: device for _, device in rows if device is not None}
    return list(sessions.values()), list(devices.values())


def end_here(*, by: str, unless_of: uuid.UUID | None = None) -> None:
    """End this browser's device session, in the caller's transaction, unless it is that of an account."""
    shown = _shown()
    if shown is not None:
        chosen = DeviceSession.digest.in_(_digests(shown.number))
        _end(and_(chosen, DeviceSession.account_id != unless_of) if unless_of else chosen, by)


def end_of(account_id: uuid.UUID, *, by: str, keep: uuid.UUID | None = None, only: uuid.UUID | None = None) -> None:
    """End the account's device sessions, in the caller's transaction.

    Args:
        account_id: the account.
        by: the cause, for the journal.
        keep: the row of a session whose device session continues.
        only: the row of the session whose device session is the only one to end.
    """
    of_session = select(Session.sid).where(Session.id == (keep or only)).scalar_subquery()
    chosen = DeviceSession.account_id == account_id
    if keep is not None:
        chosen = and_(chosen, DeviceSession.sid != of_session)
    if only is not None:
        chosen = and_(chosen, DeviceSession.sid == of_session)
    _end(chosen, by)


def end_named(account_id: uuid.UUID, sid: str, *, by: str) -> None:
    """End the device session whose sessions have the `sid`, in the caller's transaction."""
    _end(and_(DeviceSession.account_id == account_id, DeviceSession.sid == sid), by)


def _end(chosen: ColumnElement[bool], by: str) -> None:
    ended = db.session.execute(
        update(DeviceSession)
        .where(chosen, liveness.unended(DeviceSession))
        .values(ended_at=now())
        .returning(DeviceSession.account_id, DeviceSession.sid)
        .execution_options(synchronize_session=False)
    ).all()
    for account_id, sid in ended:
        log.record(DeviceSessionChanged(account_id=account_id, change="ended", by=by, sid=sid))


def is_shown() -> bool:
    """Return whether the browser sent the cookie of a device session."""
    return bool(current_request().cookies.get(_cookie_name()))


def set_cookie(response: AnyResponse, value: str) -> None:
    """Set the cookie of a device session that has just begun."""
    current_request().kept_cookies.pop(_cookie_name(), None)
    lifetime = timedelta(days=services().settings.stay_days)
    response.set_cookie(_cookie_name(), value, max_age=lifetime, **cookie_options(services().settings))


@unit_of_work()
def _leave(account_id: uuid.UUID) -> bool:
    """End this browser's device session if it is another account's; return whether it still opens sessions."""
    end_here(by="replaced", unless_of=account_id)
    return owner() is not None


def leave_to(response: AnyResponse, account_id: uuid.UUID) -> None:
    """Leave the browser to the account that has signed in: two people do not share its device session."""
    if not _leave(account_id):
        clear_cookie(response)


def keep(value: str, row: DeviceSession) -> None:
    """Have the response to this request set the cookie, whatever it is."""
    options = {"max_age": row.expires_at - now(), **cookie_options(services().settings)}
    current_request().kept_cookies[_cookie_name()] = value, options


def clear_cookie(response: AnyResponse) -> None:
    """Delete the cookie, if the browser sent one."""
    current_request().kept_cookies.pop(_cookie_name(), None)
    if is_shown():
        response.delete_cookie(_cookie_name(), **cookie_options(services().settings))


def _forget() -> None:
    options = {"max_age": 0, "expires": 0, **cookie_options(services().settings)}
    current_request().kept_cookies[_cookie_name()] = "", options


def _cookie_name() -> str:
    return cookie_name(services().settings, _NAME)


def _shown() -> _Shown | None:
    value = current_request().cookies.get(_cookie_name(), "")
    if not value or len(value) > _LONGEST:
        return None
    try:
        content, _ = _signer().loads(value)
        number, shown_turn = content
        return _Shown(str(number), int(shown_turn))
    except (signed.InvalidValueError, TypeError, ValueError):
        return None


def _cookie(shown: _Shown) -> str:
    return _signer().dumps([shown.number, shown.turn])


def _signer() -> signed.Signer:
    return signed.signer(services().settings.secrets, "device session")


def _digests(number: str) -> list[bytes]:
    """Return the digests of a number under the present secret key and under former ones."""
    keys = (opaque.derive_key(secret, "device session") for secret in services().settings.secrets)
    return [opaque.keyed_digest(key, number) for key in keys]
