"""Sessions at the desk: 30 minutes idle, 8 hours at most; they end at once with the account or its last role.

The cookie holds 256 random bits, the table their digest. It is `SameSite=Strict`: no link from elsewhere opens a page
of the desk with the person's rights. A fresh proof replaces the cookie; see `prove`.
"""

import enum
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from flask import g
from sqlalchemy import ColumnElement, and_, or_, select, update

from idp import opaque
from idp.audit import log
from idp.audit.desk_events import StaffProved, StaffSignedIn, StaffSignedOut
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.staff import models, posts
from idp.desk.staff.models import Authenticator, StaffAccount, StaffSession
from idp.desk.staff.posts import Post
from idp.services import services
from idp.web.browser import cookie_name, cookie_options, renew_form_token
from idp.web.http import AnyResponse, current_request
from idp.web.request_context import describe_device, remote_ip, user_agent

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=8)
FORMER_COOKIE = timedelta(minutes=5)
"""How long the cookie before a proof still opens the session, without that proof.

What another tab is sending arrives, and who never received the answer to the proof stays signed in.
"""
_TOUCH = timedelta(minutes=1)
_COOKIE = "desk"
_COOKIE_LENGTH = 43


@dataclass(frozen=True)
class SignedIn:
    """The person of a request: the account, the session, the posts in force, and the post that was chosen.

    `by_former_cookie` says that the request came with the cookie from before the last proof, which does not count then.
    """

    staff: StaffAccount
    session: StaffSession
    posts: list[Post]
    post: Post | None
    by_former_cookie: bool = False


class Missed(enum.Enum):
    """Why a right proof changed nothing."""

    OTHER_FIRST = "other_first"  # another proof of the session came first: the browser has the cookie of that one
    SESSION_ENDED = "session_ended"


def live(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the sessions that give access, joined with their accounts; see `IDLE` and `ABSOLUTE`."""
    return and_(
        StaffSession.ended_at.is_(None),
        StaffSession.expires_at > moment,
        StaffSession.last_seen_at > moment - IDLE,
        StaffSession.generation == StaffAccount.generation,
        StaffAccount.disabled_at.is_(None),
    )


def current() -> SignedIn | None:
    """Return the person of this request, or None; the database is read once a request."""
    if "desk_person" not in g:
        value = _cookie_value()
        g.desk_person = _of_cookie(opaque.digest(value)) if value else None
    person: SignedIn | None = g.desk_person
    return person


def _of_cookie(digest: bytes) -> SignedIn | None:
    opens = or_(StaffSession.digest == digest, StaffSession.replaced_at > now() - FORMER_COOKIE)
    person = _find(_had_cookie(digest), opens)
    return person and replace(person, by_former_cookie=person.session.digest != digest)


def _had_cookie(digest: bytes) -> ColumnElement[bool]:
    return or_(StaffSession.digest == digest, StaffSession.former_digest == digest)


def _cookie_value() -> str | None:
    value = current_request().cookies.get(cookie_name(services().settings, _COOKIE))
    return value if value and len(value) == _COOKIE_LENGTH else None


def resume(session_id: uuid.UUID) -> SignedIn | None:
    """Return the person of a live session by its id, and let the person be that of this request.

    It is for the response of the académie's provider: the browser does not send the session cookie with it.
    """
    g.desk_person = _find(StaffSession.id == session_id)
    note_origin()
    person: SignedIn | None = g.desk_person
    return person


def lapsed() -> SignedIn | None:
    """Return the person of this browser's session, also if it is over; None for a person without an access.

    It gives no access: a form may be kept for this person until the next sign-in.
    """
    value = _cookie_value()
    return _read(_had_cookie(opaque.digest(value)), StaffAccount.disabled_at.is_(None)) if value else None


def _find(*conditions: ColumnElement[bool]) -> SignedIn | None:
    moment = now()
    person = _read(*conditions, live(moment))
    if person is not None and moment - person.session.last_seen_at >= _TOUCH:
        touched = update(StaffSession).where(StaffSession.id == person.session.id).values(last_seen_at=moment)
        with unit_of_work():
            db.session.execute(touched)
    return person


def _read(*conditions: ColumnElement[bool]) -> SignedIn | None:
    """Return the person of a session with the posts in force; None for a person who has none."""
    row = db.session.execute(
        select(StaffSession, StaffAccount)
        .join(StaffAccount, StaffAccount.id == StaffSession.staff_id)
        .where(*conditions)
    ).one_or_none()
    if row is None:
        return None
    session, staff = row
    in_force = posts.of_staff(staff.id)
    if not in_force:
        return None
    chosen = next((post for post in in_force if post.id == session.role_id), None)
    if chosen is None and len(in_force) == 1:
        chosen = in_force[0]
    return SignedIn(staff, session, in_force, chosen)


def note_origin() -> None:
    """Set the person of this request as the actor of the journal."""
    person = current()
    if person is None:
        return
    post, origin = person.post, log.current_origin()
    details: dict[str, Any] = {
        "role": post.role.value if post else "",
        "authenticator": person.session.authenticator.value,
        "proof_age": int((now() - person.session.proved_at).total_seconds()),
        "device": describe_device(person.session.user_agent).code,
    }
    if person.by_former_cookie:
        details["former_cookie"] = True
    if person.session.reason:
        details["reason"] = person.session.reason
    if post and post.client:
        details["client"] = post.client.client_id
    school_id = post.school.id if post and post.school else None
    log.set_origin(
        log.Origin(
            ip=origin.ip,
            request_id=origin.request_id,
            actor=models.actor(person.staff.id, post.role if post else None),
            desk=log.Desk(person.staff.id, school_id, details),
        )
    )


def open_session(staff: StaffAccount, authenticator: Authenticator, *, proved_at: datetime | None = None) -> str:
    """Add a session to the caller's transaction; return the cookie's value. A former session of this browser ends.

    `proved_at` is when the person proved who they are, if it is not now.
    """
    value, moment = opaque.new_value(), now()
    if former := _cookie_value():
        end(_had_cookie(opaque.digest(former)), by="replaced")
    db.session.add(
        StaffSession(
            digest=opaque.digest(value),
            staff_id=staff.id,
            generation=staff.generation,
            authenticator=authenticator,
            proved_at=proved_at or moment,
            expires_at=moment + ABSOLUTE,
            ip=remote_ip(),
            user_agent=user_agent(),
        )
    )
    staff.last_sign_in_at = moment
    device = describe_device(user_agent()).code
    with log.acting_for(_as_person(staff)):
        log.record(StaffSignedIn(staff=str(staff.id), authenticator=authenticator.value, device=device))
    return value


def _as_person(staff: StaffAccount) -> log.Origin:
    schools = {post.school.id for post in posts.of_staff(staff.id) if post.school}
    school_id = schools.pop() if len(schools) == 1 else None
    return replace(log.current_origin(), actor=models.actor(staff.id), desk=log.Desk(staff.id, school_id))


def prove(person: SignedIn, authenticator: Authenticator) -> str | Missed:
    """Note in the caller's transaction that the person of this session just proved who they are.

    Return the cookie's value with which the session continues: a copy of the former cookie gets nothing from this
    proof, and is worthless after `FORMER_COOKIE` (OWASP ASVS 5, V 7.2.4). The session must be live and have the cookie
    that this request read: otherwise nothing is noted.
    """
    value, moment, former = opaque.new_value(), now(), person.session
    proved = db.session.scalar(
        update(StaffSession)
        .where(StaffSession.id == former.id, StaffSession.digest == former.digest, _is_live(moment))
        .values(
            digest=opaque.digest(value),
            former_digest=former.digest,
            replaced_at=moment,
            proved_at=moment,
            authenticator=authenticator,
        )
        .returning(StaffSession.id)
        .execution_options(synchronize_session=False)
    )
    if proved is not None:
        log.record(StaffProved(staff=str(person.staff.id), authenticator=authenticator.value))
        return value
    g.pop("desk_person", None)
    is_live = db.session.scalar(select(StaffSession.id).where(StaffSession.id == former.id, _is_live(moment)))
    return Missed.SESSION_ENDED if is_live is None else Missed.OTHER_FIRST


def _is_live(moment: datetime) -> ColumnElement[bool]:
    return and_(StaffAccount.id == StaffSession.staff_id, live(moment))


@unit_of_work()
def choose_post(person: SignedIn, post: Post) -> None:
    """Let the session act in another post; a reason holds for one post only."""
    db.session.execute(
        update(StaffSession)
        .where(StaffSession.id == person.session.id)
        .values(role_id=post.id, reason="", reason_at=None, reason_about=None)
    )
    g.pop("desk_person", None)  # the page of this request shows the new post


def open_sessions(staff_id: uuid.UUID) -> list[StaffSession]:
    """Return the live sessions of a person, the last used first."""
    return list(
        db.session.scalars(
            select(StaffSession)
            .join(StaffAccount, StaffAccount.id == StaffSession.staff_id)
            .where(StaffSession.staff_id == staff_id, live(now()))
            .order_by(StaffSession.last_seen_at.desc())
        )
    )


def end(*conditions: ColumnElement[bool], by: str) -> int:
    """End the sessions of one person that meet the conditions, in the caller's transaction; return their number."""
    ended = db.session.scalars(
        update(StaffSession)
        .where(*conditions, StaffSession.ended_at.is_(None))
        .values(ended_at=now())
        .returning(StaffSession.staff_id)
        .execution_options(synchronize_session=False)
    ).all()
    if ended:
        log.record(StaffSignedOut(staff=str(ended[0]), count=len(ended), by=by))
    g.pop("desk_person", None)
    return len(ended)


def set_cookie(response: AnyResponse, value: str) -> None:
    """Set the cookie of a new session, and renew the form token."""
    replace_cookie(response, value)
    renew_form_token()


def replace_cookie(response: AnyResponse, proved: str | Missed) -> None:
    """Set the cookie that a proof drew, if it drew one; open forms in other tabs stay valid."""
    if isinstance(proved, str):
        response.set_cookie(cookie_name(services().settings, _COOKIE), proved, **_cookie_options())


def clear_cookie(response: AnyResponse) -> None:
    """Delete the session cookie."""
    response.delete_cookie(cookie_name(services().settings, _COOKIE), **_cookie_options())


def _cookie_options() -> dict[str, Any]:
    return cookie_options(services().settings) | {"samesite": "Strict"}
