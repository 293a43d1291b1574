"""The decisions that close an account or a tie, as pages show them: by whom, until when, who may reopen."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from flask import url_for
from flask_babel import gettext
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import joinedload

from idp.accounts import directory
from idp.accounts.closings import Closing
from idp.accounts.models import Child, Guardianship, School
from idp.clock import is_end_of_day, last_day, now
from idp.db import db
from idp.desk import access
from idp.desk.access import Right
from idp.desk.naming import pupil
from idp.desk.staff import models
from idp.families.closing import REPLACED


@dataclass(frozen=True)
class Shown:
    """A decision.

    Attributes:
        row: the decision.
        about: what it closes.
        given_name: the given name of the pupil of the tie; empty for the whole account.
        is_known: whether the post may know who decided; it may not if another school did.
        is_decided_here: whether it is for the post to judge: for the head of the school to reopen.
        holds: whether it holds now.
    """

    row: Closing
    about: str
    given_name: str
    is_known: bool
    is_decided_here: bool
    holds: bool

    @property
    def is_own(self) -> bool:
        """Whether the post reads the reason; not that of a school whose decision passed on."""
        return self.is_known and self.is_decided_here

    @property
    def may_reopen(self) -> bool:
        """Whether the person may reopen it."""
        return self.holds and self.is_decided_here and access.may(Right.REOPEN)

    @property
    def is_tie(self) -> bool:
        """Whether the decision is about one tie, and not about the whole account."""
        return self.row.child_id is not None

    @property
    def last_day(self) -> date | None:
        """The last day of a closing that ends at midnight; None if it ends at another hour, or has no end."""
        until = self.row.until
        return last_day(until) if until is not None and is_end_of_day(until) else None

    @property
    def who(self) -> str:
        """Who decided, by role, as a sentence begins: « Le secrétariat »; empty if the post may not know."""
        if not self.is_known:
            return ""
        return _who(self.row.begun_by)

    @property
    def by(self) -> str:
        """Who decided, after « par »: for colleagues of the same school with the name, for others with the school."""
        who = self.who[0].lower() + self.who[1:]
        if self.row.school_id is None:
            return who
        if access.post().school is not None:
            name = models.name(self.row.begun_by)
        else:
            name = db.session.get_one(School, self.row.school_id).name
        return f"{who} ({name})" if name else who

    @property
    def ended_by(self) -> str:
        """Who ended it before its time, as `by` says it; empty for another decision that took its place."""
        actor = self.row.ended_by
        if not self.is_own or not actor or actor == REPLACED:
            return ""
        who, name = _who(actor), models.name(actor)
        who = who[0].lower() + who[1:]
        return f"{who} ({name})" if name and access.post().school is not None else who

    @property
    def who_reopens(self) -> str:
        """Who may reopen the access, as a sentence."""
        if self.is_decided_here or access.post().school is None:
            return str(gettext("Seule la direction de l’établissement peut rouvrir."))
        if self.is_known:  # an operator closed an account of several schools
            return str(gettext("L’équipe du service seule peut rouvrir."))
        return str(
            gettext("Votre établissement ne peut pas le rouvrir. La page de connexion dit à la personne qui appeler.")
        )

    @property
    def reopening_url(self) -> str:
        """The URL that reopens the access; empty if the person may not."""
        if not self.may_reopen:
            return ""
        return url_for("closings.reopen", account=self.row.account_id, decision=self.row.id)


def _who(actor: str) -> str:
    """Return the role of a person who closes; a command of the service is by nobody of the desk."""
    closings = access.spec(models.role(actor)).closings
    return str(closings.who if closings else gettext("L’équipe du service"))


def _is_known(row: Closing) -> bool:
    """Return whether the post may know who decided: its own school, the académie, or anybody for the académie."""
    school = access.post().school
    return school is None or row.school_id == school.id or (row.school_id is None and row.child_id is None)


def _decided_here(rows: Sequence[Closing]) -> set[uuid.UUID]:
    """Return the decisions that are for the post to judge: its access to reopen."""
    school = access.post().school
    if school is None:
        return {row.id for row in rows if row.school_id is None}
    ids = [row.id for row in rows]
    these = select(Closing.id).where(Closing.id.in_(ids), directory.reopened_by_heads_of(school.id))
    return set(db.session.scalars(these)) if ids else set()


def as_shown(row: Closing) -> Shown:
    """Return a decision as the post may read it."""
    return all_shown([row])[0]


def all_shown(rows: Sequence[Closing]) -> list[Shown]:
    """Return decisions as the post may read them."""
    keys = {row.child_id for row in rows if row.child_id}
    with_school = select(Child).where(Child.id.in_(keys)).options(joinedload(Child.school))
    children: dict[uuid.UUID | None, Child] = {}
    if keys:
        children = {child.id: child for child in db.session.scalars(with_school)}
    here = _decided_here(rows)
    return [_shown(row, children.get(row.child_id), is_decided_here=row.id in here) for row in rows]


def _shown(row: Closing, child: Child | None, *, is_decided_here: bool) -> Shown:
    about = pupil(child) if child else str(gettext("Tout le compte"))
    given_name = child.given_name if child else ""
    return Shown(row, about, given_name, _is_known(row), is_decided_here, row.holds_at(now()))


def closed_ties(items: Iterable[Shown]) -> list[Shown]:
    """Return those of some decisions that close a tie now: they stay when the whole account reopens."""
    return [item for item in items if item.is_tie and item.holds]


def of_accounts(accounts: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[Shown]]:
    """Return the decisions about accounts that the post may read, by account, the youngest first.

    A guardian who waits for the head is in no decision. The decision of another school about the whole account is
    named without its reason, because it holds here too.
    """
    moment, by_account = now(), defaultdict[uuid.UUID, list[Shown]](list)
    chosen = select(Closing).where(Closing.account_id.in_(accounts), Closing.is_decision)
    rows = db.session.scalars(chosen.order_by(Closing.begun_at.desc(), Closing.id))
    readable = [row for row in rows if _is_known(row) or (row.child_id is None and row.holds_at(moment))]
    for item in all_shown(readable):
        by_account[item.row.account_id].append(item)
    return by_account


def beside(accounts: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of some accounts that are or were guardians of a pupil to whom somebody's access is closed."""
    if not accounts:
        return set()
    ties = select(Guardianship.account_id).where(Guardianship.account_id.in_(accounts))
    return set(db.session.scalars(ties.where(Guardianship.child_id.in_(directory.protected_pupils(now())))))


def holding_here() -> ColumnElement[bool]:
    """Return the condition of the decisions that hold, for a statement about `Closing` and `Account`.

    For a school: its own, also about a person whom no file names any more, and those about whole accounts in scope. For
    the académie: its own.
    """
    school = access.post().school
    if school is None:
        return Closing.where_decided(now()) & Closing.school_id.is_(None)
    of_families = and_(Closing.child_id.is_(None), access.accounts())
    return Closing.where_decided(now()) & or_(Closing.school_id == school.id, of_families)
