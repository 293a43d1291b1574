"""The decisions that suspend an account or a tie, as pages show them: by whom, until when, who may reopen."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from flask import url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import aliased, joinedload

from idp.accounts.models import Child, Guardianship, School
from idp.accounts.suspensions.models import KeptSuspension, Suspension
from idp.clock import is_end_of_day, last_day, now
from idp.db import db
from idp.desk import access
from idp.desk.access import Right
from idp.desk.naming import pupil
from idp.desk.staff import actors
from idp.desk.staff.models import Role
from idp.operations.helpdesk.suspension import REPLACED

_WHO: Mapping[Role | None, Any] = {
    Role.SECRETARY: _l("Le secrétariat"),
    Role.HEAD: _l("La direction"),
    Role.HELPDESK: _l("L’assistance de l’académie"),
}
"""Who suspends, by role; a command of the service is by nobody of the desk."""


@dataclass(frozen=True)
class Shown:
    """A decision.

    Attributes:
        row: the decision.
        about: what it closes.
        given_name: the given name of the pupil of the tie; empty for the whole account.
        is_known: whether the post may know who decided; it may not if another school did.
        is_own: whether the post decides about such a decision, and so reads its reason.
        holds: whether it holds now.
        may_reopen: whether the person may reopen it.
    """

    row: Suspension
    about: str
    given_name: str
    is_known: bool
    is_own: bool
    holds: bool
    may_reopen: bool

    @property
    def is_tie(self) -> bool:
        """Whether the decision is about one tie, and not about the whole account."""
        return self.row.child_id is not None

    @property
    def last_day(self) -> date | None:
        """The last day of a suspension that ends at midnight; None if it ends at another hour, or has no end."""
        until = self.row.until
        return last_day(until) if until is not None and is_end_of_day(until) else None

    @property
    def who(self) -> str:
        """Who decided, by role, as a sentence begins: « Le secrétariat »."""
        if not self.is_known:
            return str(gettext("Un autre établissement"))
        return str(_WHO.get(actors.role(self.row.begun_by)) or gettext("L’équipe du service"))

    @property
    def by(self) -> str:
        """Who decided, after « par »: for colleagues of the same school with the name, for others with the school."""
        who = self.who[0].lower() + self.who[1:]
        if not self.is_known or self.row.school_id is None:
            return who
        if access.post().school is not None:
            name = actors.name(self.row.begun_by)
        else:
            name = db.session.get_one(School, self.row.school_id).name
        return f"{who} ({name})" if name else who

    @property
    def ended_by(self) -> str:
        """Who ended it before its time, as `by` says it; empty for another decision that took its place."""
        actor = self.row.ended_by
        if not self.is_own or not actor or actor == REPLACED:
            return ""
        who, name = str(_WHO.get(actors.role(actor)) or gettext("L’équipe du service")), actors.name(actor)
        who = who[0].lower() + who[1:]
        return f"{who} ({name})" if name and access.post().school is not None else who

    @property
    def who_reopens(self) -> str:
        """Who may reopen the access, as a sentence."""
        if not self.is_known:
            return str(gettext("Lui seul peut rouvrir."))
        if not self.is_own and access.post().school is not None:  # an operator closed an account of several schools
            return str(gettext("L’équipe du service seule peut rouvrir."))
        return str(gettext("Seule la direction de l’établissement peut rouvrir."))

    @property
    def reopening_url(self) -> str:
        """The URL that reopens the access; empty if the person may not."""
        if not self.may_reopen:
            return ""
        return url_for("suspension.reopen", account=self.row.account_id, decision=self.row.id)


def is_in_scope(row: Suspension) -> bool:
    """Return whether the post may read a decision: its own school's, the académie's, or all of them."""
    school = access.post().school
    return school is None or row.school_id == school.id or (row.school_id is None and row.child_id is None)


def is_decided_here(row: Suspension) -> bool:
    """Return whether a decision that the post may read is for it to judge: its reason to read, its access to reopen."""
    return row.account_id not in _beyond([row])


def _beyond(rows: Iterable[Suspension]) -> set[uuid.UUID]:
    """Return the accounts that the operators of the service closed and that have a pupil in another school too.

    Such a closing protects pupils whom the head of one school does not know. The help desk's ends by itself in a day.
    """
    school = access.post().school
    keys = {row.account_id for row in rows if row.school_id is None and actors.role(row.begun_by) is None}
    if school is None or not keys:
        return set()
    ties = select(Guardianship.account_id).join(Child, Child.id == Guardianship.child_id)
    elsewhere = ties.where(Guardianship.account_id.in_(keys), Guardianship.is_unended, Child.school_id != school.id)
    return set(db.session.scalars(elsewhere))


def as_shown(row: Suspension) -> Shown:
    """Return a decision as the post may read it."""
    return all_shown([row])[0]


def all_shown(rows: Sequence[Suspension]) -> list[Shown]:
    """Return decisions as the post may read them."""
    keys = {row.child_id for row in rows if row.child_id}
    with_school = select(Child).where(Child.id.in_(keys)).options(joinedload(Child.school))
    children: dict[uuid.UUID | None, Child] = {}
    if keys:
        children = {child.id: child for child in db.session.scalars(with_school)}
    beyond = _beyond(rows)
    return [_shown(row, children.get(row.child_id), is_beyond=row.account_id in beyond) for row in rows]


def _shown(row: Suspension, child: Child | None, *, is_beyond: bool) -> Shown:
    holds, ours = row.holds_at(now()), is_in_scope(row)
    is_own = ours and not is_beyond and (row.school_id is None or access.post().school is not None)
    about = pupil(child) if child else str(gettext("Tout le compte"))
    given_name = child.given_name if child else ""
    may_reopen = holds and ours and not is_beyond and access.may(Right.REOPEN)
    return Shown(row, about, given_name, ours, is_own, holds, may_reopen)


def suspended_ties(items: Iterable[Shown]) -> list[Shown]:
    """Return those of some decisions that suspend a tie now: they stay when the whole account reopens."""
    return [item for item in items if item.is_tie and item.holds]


def decisions(accounts: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[Shown]]:
    """Return the decisions about accounts that the post may read, by account, the youngest first.

    A guardian who waits for the head is in no decision. The decision of another school about the whole account is
    named without its reason, because it holds here too.
    """
    moment, by_account = now(), defaultdict[uuid.UUID, list[Shown]](list)
    chosen = select(Suspension).where(Suspension.account_id.in_(accounts), ~Suspension.awaits_head)
    rows = db.session.scalars(chosen.order_by(Suspension.begins_at.desc(), Suspension.id))
    readable = [row for row in rows if is_in_scope(row) or (row.child_id is None and row.holds_at(moment))]
    for item in all_shown(readable):
        by_account[item.row.account_id].append(item)
    return by_account


def beside(accounts: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of some accounts that are or were guardians of a pupil to whom somebody's access is suspended."""
    if not accounts:
        return set()
    moment, closed = now(), aliased(Guardianship)
    decided = exists().where(
        closed.child_id == Guardianship.child_id,
        Suspension.account_id == closed.account_id,
        or_(Suspension.child_id.is_(None), Suspension.child_id == closed.child_id),
        Suspension.where_decided(moment),
    )
    kept = exists().where(KeptSuspension.child_id == Guardianship.child_id, KeptSuspension.where_holding(moment))
    ties = select(Guardianship.account_id).where(Guardianship.account_id.in_(accounts))
    return set(db.session.scalars(ties.where(or_(decided, kept))))


def holding_here() -> ColumnElement[bool]:
    """Return the condition of the decisions that hold, for a statement about `Suspension` and `Account`.

    For a school: those about its families, and its own about a tie that a file ended, without other schools' decisions
    about a tie. For the académie: its own.
    """
    school = access.post().school
    if school is None:
        return Suspension.where_decided(now()) & Suspension.school_id.is_(None)
    concerned = Suspension.child_id.is_(None) | (Suspension.school_id == school.id)
    return Suspension.where_decided(now()) & concerned & access.decisions()
