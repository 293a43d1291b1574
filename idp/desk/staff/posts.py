"""Roles of staff with their scope, here called posts: which are in force, how they are granted and ended."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, literal, or_, select, update

from idp.accounts.models import School
from idp.audit import log
from idp.audit.desk_events import StaffRoleEnded, StaffRoleGranted
from idp.clients.models import Client
from idp.clock import day_of, end_of_day, last_day, now
from idp.db import db
from idp.desk.staff.models import Role, StaffAccount, StaffRole

LAST_DAY = (8, 31)  # the month and the day on which roles end
_SHORTEST = timedelta(days=62)  # a role that is granted in July or August lasts until the end of the next school year


class GrantError(Exception):
    """The role cannot be granted, or the person not be invited; the text is the message to show."""


@dataclass(frozen=True)
class Grant:
    """A role that is granted for each school or ENT, or for the académie; by default until the end of the year."""

    role: Role
    schools: Sequence[School] = ()
    clients: Sequence[Client] = ()
    until: datetime | None = None

    @property
    def end(self) -> datetime:
        """When the role ends."""
        return self.until or end_of_year(now())

    @property
    def scopes(self) -> list[tuple[School | None, Client | None]]:
        """The schools and the ENTs, or neither."""
        pairs = [*((school, None) for school in self.schools), *((None, client) for client in self.clients)]
        return pairs or [(None, None)]


@dataclass(frozen=True)
class Post:
    """A role of a person in its scope: a school, an ENT or, with neither, the académie."""

    id: uuid.UUID
    role: Role
    valid_until: datetime
    school: School | None = None
    client: Client | None = None


def place(post: Post) -> str:
    """Return the name of the school or the ENT of a post; empty for the académie."""
    if post.school:
        return post.school.name
    return post.client.name if post.client else ""


def in_force(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the roles that neither ended nor expired."""
    return and_(StaffRole.ended_at.is_(None), StaffRole.valid_until > moment)


def held_at_last_sign_in() -> ColumnElement[bool]:
    """Return the condition of the roles that their person, a row of `StaffAccount`, had at the last sign-in.

    A colleague of a scope does not learn of a person who has not signed in with a role there yet.
    """
    seen = StaffAccount.last_sign_in_at
    return and_(
        StaffRole.granted_at <= seen,
        StaffRole.valid_until >= seen,
        or_(StaffRole.ended_at.is_(None), StaffRole.ended_at >= seen),
    )


def holders(*conditions: ColumnElement[bool]) -> list[uuid.UUID]:
    """Return the people whose role in force meets the conditions, without those who left."""
    held = (
        select(StaffRole.staff_id)
        .join(StaffAccount, StaffAccount.id == StaffRole.staff_id)
        .where(*conditions, in_force(now()), StaffAccount.disabled_at.is_(None))
    )
    return list(db.session.scalars(held.distinct().order_by(StaffRole.staff_id)))


def of_staff(staff_id: uuid.UUID) -> list[Post]:
    """Return the posts of a person that are in force, schools by their name."""
    return by_staff(StaffRole.staff_id == staff_id).get(staff_id, [])


def by_staff(condition: ColumnElement[bool]) -> dict[uuid.UUID, list[Post]]:
    """Return the posts in force that a condition selects, by the key of the person, schools by their name."""
    rows = db.session.execute(
        select(StaffRole, School, Client)
        .outerjoin(School, School.id == StaffRole.school_id)
        .outerjoin(Client, Client.id == StaffRole.client_id)
        .where(condition, in_force(now()))
        .order_by(School.name, Client.name, StaffRole.granted_at)
    )
    posts: dict[uuid.UUID, list[Post]] = {}
    for row, school, client in rows:
        posts.setdefault(row.staff_id, []).append(Post(row.id, row.role, row.valid_until, school, client))
    return posts


def end_of_year(moment: datetime) -> datetime:
    """Return the end of the school year in Paris: the midnight after 31 August."""
    year = day_of(moment).year
    ends = [end_of_day(date(year + more, *LAST_DAY)) for more in range(3)]
    return next(end for end in ends if end - moment >= _SHORTEST)


def until_day(day: date) -> datetime:
    """Return the end of a day in Paris, for a role that is valid on that day.

    Raises:
        GrantError: the day is over, or later than the end of the next school year.
    """
    moment, end = now(), end_of_day(day)
    if end <= moment:
        raise GrantError(f"{day} is over")
    if end > end_of_year(end_of_year(moment)):
        raise GrantError(f"{day} is later than the end of the next school year")
    return end


def grant(staff: StaffAccount, given: Grant) -> list[StaffRole]:
    """Grant a role in the caller's transaction, which locked the person; return the roles that are new.

    A role that is in force is prolonged instead, and never shortened: to shorten is to end it and grant another one.
    """
    granted = (_grant_one(staff, given.role, school, client, given.end) for school, client in given.scopes)
    return [row for row in granted if row is not None]


def is_granted(staff_id: uuid.UUID, given: Grant) -> bool:
    """Return whether `grant` would change nothing: the role is in force in each of these scopes, for as long."""
    held = [post for post in of_staff(staff_id) if post.role is given.role and post.valid_until >= given.end]
    return {(post.school, post.client) for post in held}.issuperset(given.scopes)


def _grant_one(
    staff: StaffAccount, role: Role, school: School | None, client: Client | None, until: datetime
) -> StaffRole | None:
    same = [
        StaffRole.staff_id == staff.id,
        StaffRole.role == role,
        StaffRole.school_id == school.id if school else StaffRole.school_id.is_(None),
        StaffRole.client_id == client.id if client else StaffRole.client_id.is_(None),
    ]
    kept = literal(until, StaffRole.valid_until.type)  # CASE gives a bare value no type
    prolonged = db.session.scalars(
        update(StaffRole)
        .where(*same, in_force(now()))
        .values(valid_until=case((StaffRole.valid_until > kept, StaffRole.valid_until), else_=kept))
        .returning(StaffRole.valid_until)
        .execution_options(synchronize_session=False)
    ).all()
    new = None
    if not prolonged:
        school_id, client_id = school.id if school else None, client.id if client else None
        new = StaffRole(staff_id=staff.id, role=role, school_id=school_id, client_id=client_id, valid_until=until)
        db.session.add(new)
    log.record(
        StaffRoleGranted(
            client_id=client.id if client else None,
            staff=str(staff.id),
            role=role.value,
            uai=school.uai if school else "",
            until=last_day(max([until, *prolonged])).isoformat(),
            prolonged=bool(prolonged),
        )
    )
    return new


def end(post_id: uuid.UUID) -> bool:
    """End a role in the caller's transaction; return False if it had ended already."""
    row = db.session.scalar(
        update(StaffRole)
        .where(StaffRole.id == post_id, in_force(now()))
        .values(ended_at=now())
        .returning(StaffRole)
        .execution_options(synchronize_session=False)
    )
    if row is None:
        return False
    school = db.session.get(School, row.school_id) if row.school_id else None
    log.record(
        StaffRoleEnded(
            client_id=row.client_id, staff=str(row.staff_id), role=row.role.value, uai=school.uai if school else ""
        )
    )
    return True
