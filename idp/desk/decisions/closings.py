"""The closings that are decisions, as pages show them: what each closes, by whom, until when, who may reopen."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from flask import url_for
from flask_babel import gettext
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import joinedload

from idp.accounts import directory
from idp.accounts.closings import Closing
from idp.accounts.models import Account, Child, Guardianship, School
from idp.clock import is_end_of_day, last_day, now
from idp.db import db
from idp.desk import access, ties
from idp.desk.access import Right
from idp.desk.naming import account_urls, pupil
from idp.desk.staff import models
from idp.families.closing import REPLACED

_MOST = 50


@dataclass(frozen=True)
class ClosingView:
    """A decision.

    Attributes:
        about: what it closes.
        given_name: the given name of the pupil of the tie; empty for the whole account.
        is_known: whether the post may know who decided; it may not if another school did.
        is_decided_here: whether it is for the post to judge: for the head of the school to reopen.
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
        return _who(self.row.begun_by) if self.is_known else ""

    @property
    def by(self) -> str:
        """Who decided, after « par »: for colleagues of the same school with the name, for others with the school."""
        if self.row.school_id is None:
            return _named(self.who, None)
        at_school = access.post().school is not None
        name = models.name(self.row.begun_by) if at_school else db.session.get_one(School, self.row.school_id).name
        return _named(self.who, name)

    @property
    def ended_by(self) -> str:
        """Who ended it before its time, as `by` says it; empty for another decision that took its place."""
        actor = self.row.ended_by
        if not self.is_own or not actor or actor == REPLACED:
            return ""
        return _named(_who(actor), models.name(actor) if access.post().school is not None else None)

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
        row = self.row
        return url_for("decisions.reopen", account=row.account_id, decision=row.id) if self.may_reopen else ""


def _who(actor: str) -> str:
    """Return the role of a person who closes; a command of the service is by nobody of the desk."""
    closings = access.spec(models.role(actor)).closings
    return str(closings.who if closings else gettext("L’équipe du service"))


def _named(who: str, name: str | None) -> str:
    return who[0].lower() + who[1:] + (f" ({name})" if name else "")


def _is_known(row: Closing) -> bool:
    """Return whether the post may know who decided: its own school, the académie, or anybody for the académie."""
    school = access.post().school
    return school is None or row.school_id == school.id or (row.school_id is None and row.child_id is None)


def _decided_here(rows: Sequence[Closing]) -> set[uuid.UUID]:
    school = access.post().school
    if school is None:
        return {row.id for row in rows if row.school_id is None}
    ids = [row.id for row in rows]
    these = select(Closing.id).where(Closing.id.in_(ids), directory.reopened_by_heads_of(school.id))
    return set(db.session.scalars(these)) if ids else set()


def views(rows: Sequence[Closing]) -> list[ClosingView]:
    """Return decisions as the post may read them."""
    with_school = select(Child).where(Child.id.in_({row.child_id for row in rows})).options(joinedload(Child.school))
    has_ties = any(row.child_id for row in rows)
    children = {child.id: child for child in db.session.scalars(with_school)} if has_ties else {}
    here = _decided_here(rows)
    return [_view(row, children[row.child_id] if row.child_id else None, here) for row in rows]


def _view(row: Closing, child: Child | None, here: Collection[uuid.UUID]) -> ClosingView:
    about = pupil(child) if child else str(gettext("Tout le compte"))
    given_name = child.given_name if child else ""
    return ClosingView(row, about, given_name, _is_known(row), row.id in here, row.holds_at(now()))


def closed_ties(items: Iterable[ClosingView]) -> list[ClosingView]:
    """Return those of some decisions that close a tie now: they stay when the whole account reopens."""
    return [item for item in items if item.is_tie and item.holds]


def of_accounts(accounts: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[ClosingView]]:
    """Return the decisions about accounts that the post may read, by account, the youngest first.

    A guardian who waits for the head is in no decision. The decision of another school about the whole account is
    named without its reason, because it holds here too.
    """
    moment, by_account = now(), defaultdict[uuid.UUID, list[ClosingView]](list)
    chosen = select(Closing).where(Closing.account_id.in_(accounts), Closing.is_decision)
    rows = db.session.scalars(chosen.order_by(Closing.begun_at.desc(), Closing.id))
    readable = [row for row in rows if _is_known(row) or (row.child_id is None and row.holds_at(moment))]
    for item in views(readable):
        by_account[item.row.account_id].append(item)
    return by_account


def beside(accounts: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of some accounts that are or were guardians of a pupil to whom somebody's access is closed."""
    if not accounts:
        return set()
    rows = select(Guardianship.account_id).where(Guardianship.account_id.in_(accounts))
    return set(db.session.scalars(rows.where(Guardianship.child_id.in_(directory.protected_pupils(now())))))


@dataclass(frozen=True)
class Line:
    """A closing that holds, with the person whom it closes out.

    `is_former` says that the files no longer name the person for the pupil. `url` is the page of the account. If the
    post may not open the account any more, it is that of the pupil, or the page that reopens the account, if any.
    """

    account: Account
    item: ClosingView
    is_former: bool
    url: str


def in_force(page: int) -> tuple[list[Line], int, int]:
    """Return a page of the closings that hold, the youngest first, the number of all, and of the next page or 0.

    A number beyond the last page stands for the last one.
    """
    joined = select(func.count()).select_from(Closing).join(Account, Account.id == Closing.account_id)
    count = db.session.scalar(joined.where(_holds_here())) or 0
    page = min(max(page, 1), max(-(-count // _MOST), 1))
    is_former = (
        select(ties.are_former())
        .select_from(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == Closing.account_id, Guardianship.child_id == Closing.child_id)
        .correlate(Closing)
        .scalar_subquery()
    )
    chosen = (
        select(Closing, Account, is_former)
        .join(Account, Account.id == Closing.account_id)
        .where(_holds_here())
        .order_by(Closing.begun_at.desc(), Closing.id)
        .limit(_MOST)
        .offset((page - 1) * _MOST)
    )
    rows = db.session.execute(chosen).all()
    urls = account_urls({account.id for _, account, _ in rows})
    lines = [
        Line(account, item, bool(former), urls.get(account.id) or _other_url(item))
        for (_, account, former), item in zip(rows, views([row for row, _, _ in rows]), strict=True)
    ]
    return lines, count, page + 1 if page * _MOST < count else 0


def _other_url(item: ClosingView) -> str:
    return url_for("accounts.family", pupil=item.row.child_id) if item.is_tie else item.reopening_url


def _holds_here() -> ColumnElement[bool]:
    """Return the condition of the decisions that hold, for a statement about `Closing` and `Account`.

    For a school: its own, also about a person whom no file names any more, and those about whole accounts in scope. For
    the académie: its own.
    """
    school = access.post().school
    if school is None:
        return Closing.where_decided(now()) & Closing.school_id.is_(None)
    of_families = and_(Closing.child_id.is_(None), access.accounts())
    return Closing.where_decided(now()) & or_(Closing.school_id == school.id, of_families)
