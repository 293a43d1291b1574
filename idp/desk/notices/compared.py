"""Whom the head compares with a new guardian who waits: the suspended people, and the documents about them."""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flask_babel import gettext
from sqlalchemy import and_, or_, select

from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.accounts.same_person import digested
from idp.accounts.school_notices import Kind
from idp.accounts.suspensions import waiting
from idp.accounts.suspensions.models import KeptSuspension, Suspension, Wait
from idp.accounts.suspensions.traces import Likeness, Names, Traces, likeness
from idp.clock import now
from idp.db import db
from idp.desk import suspended
from idp.desk.naming import account_urls


@dataclass(frozen=True)
class Compared:
    """A suspended person: the name, the URL of the account's page if the post may open it, and the document."""

    name: str
    url: str = ""
    document: str = ""


def waits(notices: Collection[SchoolNotice]) -> Mapping[uuid.UUID, Wait]:
    """Return why the people of open notices wait for the head, by the notice's id."""
    of_kind = [notice for notice in notices if notice.kind == Kind.GUARDIAN_WAITS.value]
    if not of_kind:
        return {}
    keys = {notice.account_id for notice in of_kind}
    rows = db.session.execute(
        select(Suspension.account_id, Suspension.school_id, Suspension.wait).where(
            Suspension.account_id.in_(keys), Suspension.where_waiting(now())
        )
    )
    by_school: dict[tuple[uuid.UUID, uuid.UUID | None], Wait] = {}
    for account_id, school_id, wait in rows:
        by_school[account_id, school_id] = max(Wait(wait), by_school.get((account_id, school_id), Wait.ALIKE))
    waits_by_notice = {notice.id: by_school.get((notice.account_id, notice.school_id)) for notice in of_kind}
    return {key: wait for key, wait in waits_by_notice.items() if wait}


def people(notice: SchoolNotice) -> list[Compared]:
    """Return the suspended people with whom the person of an open notice is compared; none for another kind."""
    if notice.kind != Kind.GUARDIAN_WAITS.value or notice.settled_at is not None:
        return []
    rows = waiting.of_account(notice.account_id, notice.school_id, now())
    if rows and all(row.wait == Wait.CHECK for row in rows):
        return []  # the suspended person is of another school
    pupils = db.session.scalars(select(Child).where(Child.id.in_([row.child_id for row in rows]))).all()
    by_names = {row.child_id for row in rows if row.wait == Wait.ALIKE}
    person = digested(db.session.get_one(Account, notice.account_id))
    matches = {
        account.id: (row, account)
        for row, account, child in _decisions(notice.school_id)
        if account.id != notice.account_id
        and any(_is_compared(person, account, child, pupil, by_name=pupil.id in by_names) for pupil in pupils)
    }
    urls = account_urls({key: account for key, (_, account) in matches.items()})
    listed = [_compared(row, account, urls.get(account.id, "")) for row, account in matches.values()]
    return [*listed, *_gone(notice.school_id, [pupil.id for pupil in pupils], is_alone=not listed)]


def _decisions(school_id: uuid.UUID) -> Sequence[tuple[Suspension, Account, Child]]:
    """Return the decisions that hold about ties to pupils of a school, with the person and the pupil."""
    of_tie = and_(
        Suspension.account_id == Guardianship.account_id,
        or_(Suspension.child_id.is_(None), Suspension.child_id == Guardianship.child_id),
    )
    rows = db.session.execute(
        select(Suspension, Account, Child)
        .select_from(Guardianship)
        .join(Suspension, of_tie)
        .join(Account, Account.id == Guardianship.account_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Child.school_id == school_id, Suspension.where_decided(now()))
        .order_by(Suspension.begins_at, Suspension.id)
    )
    return [(row, account, child) for row, account, child in rows]


def _is_compared(person: Names, account: Account, child: Child, pupil: Child, *, by_name: bool) -> bool:
    """Return whether the import compared a person with a suspended one: by their names, or because of the pupil."""
    if by_name:
        return likeness(person, Traces.of([digested(account)])) > Likeness.NONE
    if child.id == pupil.id:
        return True
    of_child, of_pupil = (Names.of(given=[row.given_name], family=[row.family_name]) for row in (child, pupil))
    return likeness(of_pupil, Traces.of([of_child])) > Likeness.NONE  # the pupil may have another number now


def _compared(row: Suspension, account: Account, url: str) -> Compared:
    """Return a suspended person as the post may know it; another school's document is not named."""
    shown = suspended.as_shown(row)
    if not shown.is_known and not url:
        return Compared(str(gettext("une personne dont un autre établissement a suspendu l’accès")))
    return Compared(account.display_name, url, row.reference if shown.is_own else "")


def _gone(school_id: uuid.UUID, pupils: Collection[uuid.UUID], *, is_alone: bool) -> Iterator[Compared]:
    """Yield a suspended person who was erased since, or of whom nothing is suspended any more."""
    of_school = select(KeptSuspension.child_id).join(Child, Child.id == KeptSuspension.child_id)
    kept = set(db.session.scalars(of_school.where(Child.school_id == school_id, KeptSuspension.where_holding(now()))))
    if kept.intersection(pupils) or (is_alone and kept):
        yield Compared(str(gettext("une personne effacée depuis")))
    elif is_alone:
        yield Compared(str(gettext("une personne dont la suspension est finie depuis")))
