"""Whether a page is about the family for which a person of the académie gave the reason."""

import uuid

from flask import request
from sqlalchemy import func, or_, select, update

from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.db import db, unit_of_work
from idp.desk.staff.models import StaffSession


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
    """Return the guardians of a pupil; or an account with the other guardians of its pupils."""
    pupils = select(Guardianship.child_id).where(Guardianship.account_id == key)
    of_pupils = or_(Guardianship.child_id == key, Guardianship.child_id.in_(pupils))
    return {key, *db.session.scalars(select(Guardianship.account_id).where(of_pupils))}
