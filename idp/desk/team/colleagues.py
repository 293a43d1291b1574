"""What a person may do for colleagues: invite, renew and end roles, give a lost access back.

Who is a colleague is decided by `in_scope` alone.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from flask_babel import gettext
from sqlalchemy import ColumnElement, Select, and_, case, or_, select, true, update

from idp.accounts.models import School
from idp.audit import log
from idp.audit.desk_events import StaffRoleGranted
from idp.clients.models import Client
from idp.clock import last_day, now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.staff import posts
from idp.desk.staff.models import StaffAccount, StaffRole
from idp.desk.team import invitations
from idp.throttle import guard
from idp.throttle.limits import STAFF_LINK
from idp.web.i18n import in_words

RECENT = timedelta(days=90)


class TeamError(Exception):
    """An act on a colleague's role is refused; the text says why, in French."""


@dataclass(frozen=True)
class Colleague:
    """A person with a role in a scope, and the school or the ENT of the role.

    `was_here` says whether the person, at the last sign-in, had a role in the reader's scope, this one or another.
    """

    role: StaffRole
    staff: StaffAccount
    school: School | None
    client: Client | None
    was_here: bool

    @property
    def is_unseen(self) -> bool:
        """Whether the person has not signed in with a role in the reader's scope.

        Until then the page of the team shows only what the inviter typed. The inviter does not learn whether the
        mailbox has an account elsewhere, under which name, and whether it is in use.
        """
        return not (self.was_here or access.may(access.Right.MANAGE_ALL_TEAMS))

    @property
    def name(self) -> str:
        """The name of the person; the mail address as long as the person is unseen."""
        return self.staff.email if self.is_unseen else self.staff.name

    @property
    def last_sign_in_at(self) -> datetime | None:
        """The last sign-in; None for a person who is unseen."""
        return None if self.is_unseen else self.staff.last_sign_in_at

    @property
    def is_in_force(self) -> bool:
        """Whether the role neither ended nor expired, and the person did not leave."""
        role = self.role
        return role.ended_at is None and role.valid_until > now() and self.staff.disabled_at is None

    @property
    def state(self) -> str:
        """The state: `ended`, `enrolled` or `invited`."""
        if not self.is_in_force:
            return "ended"
        return "enrolled" if self.staff.enrolled_at and not self.is_unseen else "invited"

    @property
    def place(self) -> str:
        """The name of the school or the ENT; empty for the académie."""
        if self.school:
            return self.school.name
        return self.client.name if self.client else ""

    @property
    def last_day(self) -> date:
        """The last day of the role."""
        return last_day(self.role.valid_until)

    @property
    def is_renewable(self) -> bool:
        """Whether a renewal would let the role last longer."""
        return self.is_in_force and self.role.valid_until < posts.end_of_year(now())

    @property
    def ends_with_the_year(self) -> bool:
        """Whether the last day of the role is 31 August."""
        return (self.last_day.month, self.last_day.day) == posts.LAST_DAY


def in_scope() -> ColumnElement[bool]:
    """Return the condition of the roles of colleagues in scope: those that the person may grant, renew and end."""
    here = access.bounded(
        lambda school: StaffRole.school_id == school.id, lambda client: StaffRole.client_id == client.id
    )
    return and_(StaffRole.role.in_(access.own_spec().grants), here)


def find(*, most: int, typed: str = "") -> list[Colleague]:
    """Return at most `most` roles in scope, of people, schools or ENTs that match each typed word; ended ones last."""
    moment = now()
    listed = or_(StaffRole.valid_until > moment - RECENT, StaffRole.ended_at > moment - RECENT)
    statement = _rows().where(listed)
    known = true() if access.may(access.Right.MANAGE_ALL_TEAMS) else _was_here()
    name = case((known, StaffAccount.name), else_=StaffAccount.email)
    for word in typed.split():
        columns = (name, StaffAccount.email, School.name, School.uai, Client.name)
        statement = statement.where(or_(*(column.icontains(word, autoescape=True) for column in columns)))
    is_over = or_(
        StaffRole.ended_at.is_not(None), StaffRole.valid_until <= moment, StaffAccount.disabled_at.is_not(None)
    )
    statement = statement.order_by(is_over, name, School.name, StaffRole.granted_at)
    return [Colleague(*row) for row in db.session.execute(statement.limit(most))]


def get(role_id: uuid.UUID) -> Colleague | None:
    """Return a role in scope with its person, or None."""
    row = db.session.execute(_rows().where(StaffRole.id == role_id)).one_or_none()
    return Colleague(*row) if row else None


def emails_of_unseen(people: Collection[uuid.UUID]) -> dict[uuid.UUID | None, str]:
    """Return the mail addresses of those people whom the reader knows by them (`Colleague.is_unseen`)."""
    unseen = select(StaffAccount.id, StaffAccount.email).where(StaffAccount.id.in_(people), ~_was_here())
    return {row.id: row.email for row in db.session.execute(unseen)} if people else {}


def _was_here() -> ColumnElement[bool]:
    here = select(StaffRole.id).where(in_scope(), StaffRole.staff_id == StaffAccount.id, posts.held_at_last_sign_in())
    return here.correlate(StaffAccount).exists()


def _rows() -> Select[Any, Any, Any, Any, Any]:
    return (
        select(StaffRole, StaffAccount, School, Client, _was_here())
        .join(StaffAccount, StaffAccount.id == StaffRole.staff_id)
        .outerjoin(School, School.id == StaffRole.school_id)
        .outerjoin(Client, Client.id == StaffRole.client_id)
        .where(in_scope())
    )


@unit_of_work()
def end(role_id: uuid.UUID, *, may_end_last: bool) -> None:
    """End a role with the sessions that act in it; with the last role, all sessions and open links of the person.

    Raises:
        TeamError: the role has ended, or is that of the last head and `may_end_last` is false.
    """
    row = db.session.get(StaffRole, role_id)
    if row is not None and access.spec(row.role).leads and not may_end_last:
        _check_other_head(row)
    if row is None or invitations.get_for_change(row.staff_id) is None or not posts.end(role_id):
        raise TeamError(gettext("Cet accès est déjà terminé."))
    invitations.close_without_role(row.staff_id, role_id)


def _check_other_head(row: StaffRole) -> None:
    """Lock the school, so that two heads do not end each other's role at the same moment."""
    db.session.execute(select(School.id).where(School.id == row.school_id).with_for_update())
    other = (
        select(StaffRole.id)
        .join(StaffAccount, StaffAccount.id == StaffRole.staff_id)
        .where(
            StaffRole.school_id == row.school_id,
            access.heads(),
            StaffRole.staff_id != row.staff_id,
            posts.in_force(now()),
            StaffAccount.enrolled_at.is_not(None),
            StaffAccount.disabled_at.is_(None),
        )
    )
    if db.session.scalar(other.limit(1)) is None:
        raise TeamError(
            gettext(
                "C’est la dernière direction de l’établissement. Invitez d’abord la suivante, et attendez qu’elle se "
                "soit connectée ; ou demandez à l’académie."
            )
        )


@unit_of_work()
def renew(role_ids: Collection[uuid.UUID]) -> int:
    """Let roles in scope last until the end of the school year; return how many were prolonged.

    Roles outside of the scope, the person's own and those that ended are left alone.
    """
    until = posts.end_of_year(now())
    enabled = select(StaffAccount.id).where(StaffAccount.disabled_at.is_(None))
    renewed = db.session.scalars(
        update(StaffRole)
        .where(
            StaffRole.id.in_(role_ids),
            in_scope(),
            StaffRole.staff_id != access.person().staff.id,
            StaffRole.staff_id.in_(enabled),
            StaffRole.valid_until < until,
            posts.in_force(now()),
        )
        .values(valid_until=until)
        .returning(StaffRole)
        .execution_options(synchronize_session=False)
    ).all()
    for row in renewed:
        school = db.session.get(School, row.school_id) if row.school_id else None
        log.record(
            StaffRoleGranted(
                client_id=row.client_id,
                staff=str(row.staff_id),
                role=row.role.value,
                uai=school.uai if school else "",
                until=last_day(until).isoformat(),
                prolonged=True,
            )
        )
    return len(renewed)


def give_back(settings: Settings, row: Colleague) -> None:
    """Send a link to enrol again to a colleague who lost the access, or the invitation again to one who never came.

    Raises:
        TeamError: the colleague is the person, has roles that the person may not give access to, left, or was sent
            many mails by the person.
        RuntimeError: a unit of work is open.
    """
    check_give_back(row)
    sending = guard.take(STAFF_LINK, f"{access.person().staff.id} {row.staff.mailbox}")
    if isinstance(sending, guard.Wait):
        raise TeamError(
            gettext(
                "Vous venez d’envoyer un mail à cette personne : aucun autre n’est parti. Attendez encore %(wait)s.",
                wait=in_words(sending.seconds),
            )
        )
    send = invitations.send_again if row.is_unseen else invitations.reset
    if not send(settings, row.staff.id):
        raise TeamError(gettext("Cet accès est déjà terminé."))


def check_give_back(row: Colleague) -> None:
    """Check that the person may give a colleague's access back: it opens all roles of the colleague.

    An invitation that is sent again opens none of those that the colleague uses elsewhere.

    Raises:
        TeamError: see `give_back`.
    """
    if row.staff.id == access.person().staff.id:
        raise TeamError(
            gettext("Personne ne se rend un accès à soi-même. Demandez à une autre personne, ou à l’académie.")
        )
    held = posts.of_staff(row.staff.id)
    if not held:
        raise TeamError(gettext("Cet accès est déjà terminé."))
    within = posts.by_staff(and_(StaffRole.staff_id == row.staff.id, in_scope())).get(row.staff.id, [])
    if not row.is_unseen and len(within) < len(held):
        raise TeamError(gettext("Cette personne a aussi un accès ailleurs. L’académie peut lui rendre son accès."))
