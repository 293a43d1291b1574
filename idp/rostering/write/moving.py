"""Has a decision about a tie follow its pupil to another school.

The school that the pupil left reopens nothing any more, and the pupil's school sees the decision, may end it, and gets
the notice about a guardian who waits for its head.
"""

import uuid
from collections.abc import Mapping

from sqlalchemy import select

from idp.accounts import directory, school_notices
from idp.accounts.models import Child, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.accounts.suspensions.models import Suspension
from idp.clock import now
from idp.db import db

_SENTENCE = "L’élève a changé d’établissement, et le signalement avec lui."


def follow_pupils() -> None:
    """Give the suspensions of ties that hold to the present schools of their pupils, in the caller's transaction."""
    moved = (
        select(Suspension.account_id)
        .join(Child, Child.id == Suspension.child_id)
        .where(Suspension.where_holding(now()), Suspension.school_id != Child.school_id)
        .distinct()
    )
    for account_id in sorted(db.session.scalars(moved)):
        if directory.get_for_change(account_id) is not None:
            _follow(account_id)


def _follow(account_id: uuid.UUID) -> None:
    """Move the decisions about one account, whose row the caller has locked, and its notices."""
    decisions = (
        select(Suspension, Child.id, Child.school_id)
        .join(Child, Child.id == Suspension.child_id)
        .where(
            Suspension.account_id == account_id,
            Suspension.where_holding(now()),
            Suspension.school_id != Child.school_id,
        )
    )
    schools: dict[str, uuid.UUID] = {}
    for decision, child_id, school_id in db.session.execute(decisions).all():
        decision.school_id = schools[child_id.hex] = school_id
    _move_notices(account_id, schools)


def _move_notices(account_id: uuid.UUID, schools: Mapping[str, uuid.UUID]) -> None:
    """Take the pupils out of the open notices of their former schools, and tell their present ones."""
    waiting = select(SchoolNotice).where(
        SchoolNotice.account_id == account_id, school_notices.is_open([Kind.GUARDIAN_WAITS])
    )
    moved_to: dict[uuid.UUID, list[uuid.UUID]] = {}
    for notice in db.session.scalars(waiting).all():
        gone = [key for key in notice.child_ids if schools.get(key, notice.school_id) != notice.school_id]
        if not gone:
            continue
        notice.child_ids = [key for key in notice.child_ids if key not in gone]
        if not notice.child_ids:
            notice.child_ids = gone
            notice.settled_at, notice.settled_by, notice.sentence = now(), "import", _SENTENCE
        for key in gone:
            moved_to.setdefault(schools[key], []).append(uuid.UUID(key))
    if moved_to:
        school_notices.add(Kind.GUARDIAN_WAITS, account_id, moved_to)
