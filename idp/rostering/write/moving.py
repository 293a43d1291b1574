"""Has a decision or an open dispute about a tie follow its pupil to another school.

The school that the pupil left reopens and settles nothing any more. The pupil's school sees the decision, may end it,
and gets the notices about a dispute, about a guardian who waits for its head, and about an added guardian whom its head
checks. A decision about a whole account stays with its school; when the school has no tie to the person any more, the
schools that have one are told that their heads may reopen (`directory.reopened_by_heads_of`).
"""

import uuid
from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import exists, select

from idp.accounts import directory, school_notices
from idp.accounts.closings import Closing, Kind as ClosingKind
from idp.accounts.models import Child, Guardianship, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db

_SENTENCE = "L’élève a changé d’établissement, et le signalement avec lui."


def follow_pupils() -> None:
    """Give the closings and disputes of ties to the present schools of their pupils, in the caller's transaction."""
    closed = (
        select(Closing.account_id)
        .join(Child, Child.id == Closing.child_id)
        .where(Closing.where_in_force(now()), Closing.school_id != Child.school_id)
    )
    elsewhere = (
        select(Guardianship.child_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == SchoolNotice.account_id, Child.school_id != SchoolNotice.school_id)
        .correlate(SchoolNotice)
        .exists()
    )
    added = select(SchoolNotice.account_id).where(school_notices.is_open([Kind.GUARDIAN_ADDED]), elsewhere)
    for account_id in sorted({key for statement in (closed, added) for key in db.session.scalars(statement)}):
        if directory.get_for_change(account_id) is not None:
            _follow(account_id)


def tell_heirs() -> None:
    """Tell schools that their heads may reopen now what another school closed, in the caller's transaction."""
    is_told = exists().where(
        SchoolNotice.account_id == Closing.account_id,
        SchoolNotice.school_id == Child.school_id,
        SchoolNotice.kind == Kind.CLOSING_PASSED_ON.value,
        SchoolNotice.created_at >= Closing.begun_at,
    )
    heirs = (
        select(Child.school_id)
        .select_from(Closing)
        .join(Guardianship, Guardianship.account_id == Closing.account_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Closing.where_decided(now()), Closing.school_id.is_not(None), directory.has_lost_its_school())
        .where(Guardianship.is_unended, ~is_told.correlate(Closing, Child))
        .distinct()
    )
    for account_id in sorted(set(db.session.scalars(heirs.with_only_columns(Closing.account_id)))):
        if directory.get_for_change(account_id) is not None:
            schools = db.session.scalars(heirs.where(Closing.account_id == account_id)).all()
            school_notices.add(Kind.CLOSING_PASSED_ON, account_id, schools)


def _follow(account_id: uuid.UUID) -> None:
    """Move the decisions about one account, whose row the caller has locked, and its notices."""
    decisions = (
        select(Closing, Child.id, Child.school_id)
        .join(Child, Child.id == Closing.child_id)
        .where(
            Closing.account_id == account_id,
            Closing.where_in_force(now()),
            Closing.school_id != Child.school_id,
        )
    )
    asked = defaultdict[Kind, dict[str, uuid.UUID]](dict)
    for decision, child_id, school_id in db.session.execute(decisions).all():
        decision.school_id = school_id
        if decision.awaits_head:
            asked[Kind.GUARDIAN_WAITS][child_id.hex] = school_id
        elif decision.kind == ClosingKind.DISPUTED.value:
            asked[Kind.NOT_GUARDIAN][child_id.hex] = school_id
    for kind, schools in asked.items():
        _move_notices(kind, account_id, schools)
    present = (
        select(Child.id, Child.school_id)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .where(Guardianship.account_id == account_id)
    )
    schools = {child_id.hex: school_id for child_id, school_id in db.session.execute(present)}
    _move_notices(Kind.GUARDIAN_ADDED, account_id, schools)


def _move_notices(kind: Kind, account_id: uuid.UUID, schools: Mapping[str, uuid.UUID]) -> None:
    """Take the pupils out of the open notices of their former schools, and tell their present ones.

    Who took a call about a pupil stays noted: nobody who took one confirms it.
    """
    of_kind = select(SchoolNotice).where(SchoolNotice.account_id == account_id, school_notices.is_open([kind]))
    moved_to: dict[uuid.UUID, list[uuid.UUID]] = {}
    takers: list[str] = []
    for notice in db.session.scalars(of_kind).all():
        gone = [key for key in notice.child_ids if schools.get(key, notice.school_id) != notice.school_id]
        if not gone:
            continue
        notice.child_ids = [key for key in notice.child_ids if key not in gone]
        if not notice.child_ids:
            notice.child_ids = gone
            notice.settled_at, notice.settled_by, notice.sentence = now(), "import", _SENTENCE
        takers.extend(notice.taken_by)
        for key in gone:
            moved_to.setdefault(schools[key], []).append(uuid.UUID(key))
    if moved_to:
        school_notices.add(kind, account_id, moved_to, taken_by=takers)
