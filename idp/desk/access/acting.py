"""Who acts in this request: the person, the post, what the person proved and gave as a reason; and refused pages.

Refusals are journaled so that a script of one person cannot fill the journal. The first ones of an hour are entries,
each with its object. Then only those whose number is a power of two are, so that a reader of the journal still learns
how many there were.
"""

import uuid
from datetime import timedelta
from typing import NoReturn

from flask import request
from sqlalchemy import func, or_, select, update

from idp.accounts.closings import Closing
from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.audit import log
from idp.audit.desk_events import DeskRefused
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.access.roles import Right, RoleSpec, spec
from idp.desk.staff import models, sessions
from idp.desk.staff.models import Role, StaffSession
from idp.desk.staff.posts import Post
from idp.desk.staff.sessions import SignedIn
from idp.throttle import guard
from idp.throttle.limits import DESK_REFUSALS
from idp.web.errors import not_found


def is_other(session: StaffSession) -> bool:
    """Return whether the page is about another family than the reason; the first family that is opened has it.

    Siblings, and guardians of one pupil, are one family.
    """
    arguments = request.view_args or {}
    key = arguments.get("account") or arguments.get("pupil") or arguments.get("key") or _of_notice(arguments)
    if key is None:
        return False
    about = session.reason_about or _begin(session, key)
    return about != key and _guardians(about).isdisjoint(_guardians(key))


def _of_notice(arguments: dict[str, uuid.UUID]) -> uuid.UUID | None:
    return db.session.scalar(select(SchoolNotice.account_id).where(SchoolNotice.id == arguments.get("notice")))


@unit_of_work()
def _begin(session: StaffSession, key: uuid.UUID) -> uuid.UUID:
    """Note the family of the reason, if it exists; return that which another tab noted first, if one did."""
    known = (select(table.id).where(table.id == key).scalar_subquery() for table in (Account, Child))
    first = func.coalesce(StaffSession.reason_about, *known)
    noted = update(StaffSession).where(StaffSession.id == session.id).values(reason_about=first)
    return db.session.scalars(noted.returning(StaffSession.reason_about)).one() or key


def _guardians(key: uuid.UUID) -> set[uuid.UUID]:
    pupils = select(Guardianship.child_id).where(Guardianship.account_id == key)
    of_pupils = or_(Guardianship.child_id == key, Guardianship.child_id.in_(pupils))
    return {key, *db.session.scalars(select(Guardianship.account_id).where(of_pupils))}


PROOF = timedelta(minutes=5)
"""How long a proof opens the pages that need one."""
FORM = timedelta(minutes=10)
"""How long a proof counts for the forms of these pages: nobody is asked between opening a page and sending its form."""
REASON = timedelta(minutes=30)
"""How long a reason for reading families' data holds."""


def person() -> SignedIn:
    """Return the signed-in person of this request. The view has declared that it needs one."""
    known = sessions.current()
    if known is None:
        not_found()
    return known


def post() -> Post:
    """Return the post that the person acts in."""
    chosen = person().post
    if chosen is None:
        not_found()
    return chosen


def role() -> Role:
    """Return the role that the person acts in."""
    return post().role


def own_spec() -> RoleSpec:
    """Return the facts of the role that the person acts in."""
    return spec(role())


def may(right: Right) -> bool:
    """Return whether the role that the person acts in has a right."""
    return right in own_spec().rights


def may_end(row: Closing) -> bool:
    """Return whether a decision of the post may end another one about the same access, or a wait for the head.

    Who may not reopen an access ends only decisions of others who may not.
    """
    begun = spec(models.role(row.begun_by)).rights
    return may(Right.REOPEN) or (row.is_decision and Right.CLOSE in begun and Right.REOPEN not in begun)


def was_by(actor: str) -> bool:
    """Return whether the person of this request is the one of a stored actor, in whatever role."""
    return models.staff_id(actor) == person().staff.id


def has_fresh_proof(person: SignedIn) -> bool:
    """Return whether the last proof is younger than `PROOF`, or `FORM`, and the request came with its cookie."""
    longest = FORM if request.method == "POST" else PROOF
    return not person.by_former_cookie and now() - person.session.proved_at < longest


def reason(person: SignedIn) -> str:
    """Return why the person reads a family's data, if they said so less than `REASON` ago; else an empty text."""
    given = person.session.reason_at
    return person.session.reason if given is not None and now() - given < REASON else ""


def lacks_reason(person: SignedIn) -> bool:
    """Return whether the person of the académie has to say first why they read the data of this page."""
    return not reason(person) or is_other(person.session)


_ALL = 60
"""So many refusals of an hour are journaled one by one."""


def refuse(subject: str = "") -> NoReturn:
    """Journal that a page was refused, and end the request as if there were no such page.

    What exists elsewhere and what does not exist take the same way.

    Raises:
        NotFound: always.
    """
    note_refusal(request.endpoint or "", subject)
    not_found()


def note_refusal(page: str, subject: str) -> None:
    """Journal that a page was refused to the person of the request, in a transaction of its own.

    Args:
        page: the endpoint.
        subject: what the page is about: an id that is outside the scope, or a role.
    """
    person = sessions.current()
    taken = guard.take(DESK_REFUSALS, str(person.staff.id) if person else "")
    count = taken.count if isinstance(taken, guard.Granted) else 0
    if not count or (count > _ALL and count & (count - 1)):
        return
    with unit_of_work():
        log.record(DeskRefused(page=page, subject=subject, count=count))
