"""Device sessions: « Rester connecté sur cet appareil », with rotation of the secret and detection of its reuse.

The cookie (`idp.sessions.cookies`) has a number and a rotation. The table has the keyed digest of the number, and
the rotations that were issued last and presented last. The secret issued last is valid; presenting it issues
the next one. The secret presented last stays valid until its successor is presented, since the answer may have been
lost; within `GRACE` it gets the same successor, since two tabs may ask at once, and later another one. Every other
secret is one that somebody copied: the device session ends, and the caller ends the sessions that it opened. Two
browsers that share a secret are therefore told apart as soon as both have come back.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, case, or_, select, update

from idp import opaque
from idp.accounts import notices
from idp.accounts.models import Account
from idp.audit import log
from idp.audit.credential_events import DeviceSessionChanged, DeviceSessionReused
from idp.clock import now
from idp.db import db, unit_of_work
from idp.services import services
from idp.sessions import cookies, liveness
from idp.sessions.cookies import PresentedCookie
from idp.sessions.models import DeviceSession, Session
from idp.web.http import AnyResponse
from idp.web.request_context import describe_device

GRACE = timedelta(seconds=60)
MOST = 10  # the most device sessions of an account: with another one, the oldest ends


@dataclass(frozen=True)
class Rotated:
    """The next secret of a device session is valid; `is_repeated` says that another request had it issued just now."""

    device: DeviceSession
    is_repeated: bool


@dataclass(frozen=True)
class ReuseDetected:
    """A secret of a device session came back that another one had replaced."""

    account_id: uuid.UUID
    sid: str


@dataclass(frozen=True)
class DeviceKept:
    """A device session that has begun: the cookie's value, and whether a mail tells the person."""

    cookie: str
    is_told: bool


def has_opened(session: Session) -> bool:
    """Return whether a device session opened a session: then the password was typed before the session began."""
    if session.auth_time >= session.created_at:
        return False
    of_session = DeviceSession.account_id == session.account_id, DeviceSession.sid == session.sid
    return db.session.scalar(select(DeviceSession.id).where(*of_session).limit(1)) is not None


def start(cookie: str, account: Account) -> DeviceKept:
    """Begin a device session beside the session that the password has just opened, in the caller's transaction.

    It replaces that of the browser. The person is told by mail, unless that was the account's own.
    """
    session = db.session.scalars(select(Session).where(Session.digest == opaque.digest(cookie))).one()
    is_new, moment = owner() != account.id, now()
    end_here(by="replaced")
    oldest = _alive_of(account.id, moment).order_by(DeviceSession.created_at.desc(), DeviceSession.id)
    _end(DeviceSession.id.in_(oldest.limit(MOST).offset(MOST - 1)), "replaced")
    expires_at = moment + timedelta(days=services().settings.stay_days)
    value = _add(session, session.sid, expires_at=expires_at, client_context=session)
    if is_new:
        device = describe_device(session.user_agent).code
        notices.tell(notices.Notice.DEVICE_STAYS, account.id, device=device, until=expires_at.isoformat())
    return DeviceKept(value, is_told=is_new and account.email is not None)


def _add(
    proof: Session | DeviceSession, sid: str, *, expires_at: datetime, client_context: Session | DeviceSession
) -> str:
    """Add a device session with the password's time and strength of `proof`; return the cookie's value.

    `client_context` has the IP and the user agent of the browser.
    """
    moment, number = now(), opaque.new_value()
    row = DeviceSession(
        digest=cookies.device_digests(number)[0],
        rotated_at=moment,
        sid=sid,
        account_id=proof.account_id,
        generation=proof.generation,
        auth_time=proof.auth_time,
        amr=proof.amr,
        acr=proof.acr,
        created_at=moment,
        expires_at=expires_at,
        ip=client_context.ip,
        user_agent=client_context.user_agent,
    )
    db.session.add(row)
    _note(row, "begun", client_context.user_agent)
    return cookies.device_value(PresentedCookie(number, 0))


def _note(row: DeviceSession, change: str, user_agent: str) -> None:
    device = describe_device(user_agent).code
    log.record(DeviceSessionChanged(account_id=row.account_id, change=change, by="person", sid=row.sid, device=device))


def rotate(cookie: PresentedCookie, user_agent: str) -> Rotated | ReuseDetected | None:
    """Make the next secret of this browser's device session valid, in the caller's transaction.

    The response to this request carries it.

    Returns:
        The device session, that a copied cookie was presented, or None if there is no device session.
    """
    # before the row of the device session, as all who end one have locked the account
    chosen = DeviceSession.digest.in_(cookies.device_digests(cookie.number))
    of_account = select(Account.id).join(DeviceSession).where(chosen)
    if db.session.scalar(of_account.with_for_update(read=True, key_share=True, of=Account)) is None:
        cookies.forget_device()
        return None
    moment = now()
    is_last = DeviceSession.rotation == cookie.rotation
    is_repeated = and_(~is_last, DeviceSession.rotated_at > moment - GRACE)
    row = db.session.scalar(
        update(DeviceSession)
        .where(_alive(cookie), _is_valid(cookie))
        .values(
            presented=cookie.rotation,
            rotation=case((is_repeated, DeviceSession.rotation), else_=DeviceSession.rotation + 1),
            rotated_at=case((is_repeated, DeviceSession.rotated_at), else_=moment),
        )
        .returning(DeviceSession)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    if row is None:
        return _detected(cookie, user_agent)
    _note(row, "used", user_agent)
    cookies.keep_device(
        cookies.device_value(PresentedCookie(cookie.number, row.rotation)), lifetime=row.expires_at - moment
    )
    return Rotated(row, is_repeated=row.rotated_at != moment)


def _detected(cookie: PresentedCookie, user_agent: str) -> ReuseDetected | None:
    """End the device session if the secret is a replaced one; the cookie is worthless in any case."""
    row = db.session.execute(
        update(DeviceSession)
        .where(_alive(cookie), DeviceSession.rotation > cookie.rotation, DeviceSession.presented != cookie.rotation)
        .values(ended_at=now())
        .returning(DeviceSession.account_id, DeviceSession.sid)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    cookies.forget_device()
    if row is None:
        return None
    device = describe_device(user_agent).code
    log.record(DeviceSessionReused(account_id=row.account_id, sid=row.sid, device=device))
    notices.tell(notices.Notice.DEVICE_COPIED, row.account_id, device=device)
    return ReuseDetected(row.account_id, row.sid)


def _is_valid(cookie: PresentedCookie) -> ColumnElement[bool]:
    return or_(DeviceSession.rotation == cookie.rotation, DeviceSession.presented == cookie.rotation)


def _alive(cookie: PresentedCookie) -> ColumnElement[bool]:
    holding = select(Account.id).where(Account.id == DeviceSession.account_id, liveness.staying(now()))
    chosen = DeviceSession.digest.in_(cookies.device_digests(cookie.number))
    return and_(chosen, holding.correlate(DeviceSession).exists())


def _alive_of(account_id: uuid.UUID, moment: datetime) -> Select[uuid.UUID]:
    return select(DeviceSession.id).join(Account).where(Account.id == account_id, liveness.staying(moment))


def owner() -> uuid.UUID | None:
    """Return the account of this browser's device session, if it is alive."""
    cookie = cookies.presented_device()
    return db.session.scalar(select(DeviceSession.account_id).where(_alive(cookie))) if cookie else None


def youngest_of(account_id: uuid.UUID) -> Select[uuid.UUID]:
    """Return the statement that reads the ids of the account's device sessions, the youngest, at most `MOST`."""
    return _alive_of(account_id, now()).order_by(DeviceSession.created_at.desc()).limit(MOST)


def end_here(*, by: str, unless_of: uuid.UUID | None = None) -> None:
    """End this browser's device session, in the caller's transaction, unless it is that of an account."""
    cookie = cookies.presented_device()
    if cookie is not None:
        chosen = DeviceSession.digest.in_(cookies.device_digests(cookie.number))
        _end(and_(chosen, DeviceSession.account_id != unless_of) if unless_of else chosen, by)


def end_of(account_id: uuid.UUID, *, by: str, sid: str = "") -> None:
    """End the account's device sessions, in the caller's transaction.

    Args:
        account_id: the account.
        by: the cause, for the journal.
        sid: that of the sessions of the only device session to end.
    """
    chosen = DeviceSession.account_id == account_id
    _end(and_(chosen, DeviceSession.sid == sid) if sid else chosen, by)


def keep_here_alone(session: Session, *, by: str) -> None:
    """End the account's device sessions, in the caller's transaction; the browser of `session` gets another one.

    A copy of the browser's cookie is worthless then.
    """
    cookie = cookies.presented_device()
    of_session = DeviceSession.account_id == session.account_id, DeviceSession.sid == session.sid
    own = None
    if cookie is not None:
        own = db.session.scalar(select(DeviceSession).where(_alive(cookie), _is_valid(cookie), *of_session))
    end_of(session.account_id, by=by)
    if own is not None:
        value = _add(own, own.sid, expires_at=own.expires_at, client_context=session)
        cookies.keep_device(value, lifetime=own.expires_at - now())


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


@unit_of_work()
def _leave(account_id: uuid.UUID) -> bool:
    """End this browser's device session if it is another account's; return whether it still opens sessions."""
    end_here(by="replaced", unless_of=account_id)
    return owner() is not None


def leave_to(response: AnyResponse, account_id: uuid.UUID) -> None:
    """Leave the browser to the account that has signed in: two people do not share its device session."""
    if not _leave(account_id):
        cookies.clear_device(response)
