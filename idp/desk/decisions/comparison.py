"""Whom the head compares with a new guardian: the people whose access is closed, and the documents about them."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from flask import url_for
from flask_babel import gettext
from sqlalchemy import and_, or_, select

from idp.accounts.closings import Closing, Wait
from idp.accounts.directory import name_key
from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db
from idp.desk import access
from idp.desk.access import Right
from idp.desk.decisions import closings
from idp.desk.decisions.closings import ClosingView
from idp.desk.naming import account_urls
from idp.web import i18n

_Decision = tuple[Closing, Account, Child]  # A decision with the person and a pupil whom it concerns
_Row = TypeVar("_Row", Child, Account)


@dataclass(frozen=True)
class Person:
    """A person whom a notice names, or whom the head compares: the name, and the URL of a page if there is one.

    `lines` are what the school knows of its own closings of the person. `is_gone` says that the account was removed;
    the name says so too.
    """

    name: str
    url: str = ""
    lines: Sequence[str] = ()
    is_gone: bool = False


def waiting(notices: Collection[SchoolNotice]) -> Mapping[uuid.UUID, list[Closing]]:
    """Return the rows that wait for the head, by the id of the open notice about them."""
    asked = [row for row in notices if row.kind == Kind.GUARDIAN_WAITS.value and row.settled_at is None]
    keys = {row.account_id for row in asked}
    statement = select(Closing).where(Closing.account_id.in_(keys), Closing.where_waiting(now()))
    rows = db.session.scalars(statement.execution_options(populate_existing=True)).all() if asked else ()
    by_notice = {
        notice.id: [row for row in rows if (row.account_id, row.school_id) == (notice.account_id, notice.school_id)]
        for notice in asked
    }
    return {key: rows for key, rows in by_notice.items() if rows}


def people(by_notice: Mapping[uuid.UUID, list[Closing]]) -> Mapping[uuid.UUID, list[Person]]:
    """Return the closed people with whom the head compares who waits, by the id of the notice (`waiting`).

    They have a closed access to one of the pupils, or to one of the same names, or have the names of the person who
    waits. Other posts compare nobody. As many statements run for many notices as for one.
    """
    asked = {key: rows for key, rows in by_notice.items() if any(row.kind != Wait.RETURNED for row in rows)}
    if not asked or not access.may(Right.REOPEN):
        return {}
    waits = [row for rows in asked.values() for row in rows]
    pupils = _by_id(Child, {row.child_id for row in waits})
    persons = _by_id(Account, {row.account_id for row in waits})
    by_school = _decisions({row.school_id for row in waits})
    matches = {
        key: [
            decision
            for decision in by_school[rows[0].school_id]
            if _is_compared(decision, [pupils[row.child_id] for row in rows], persons[rows[0].account_id])
        ]
        for key, rows in asked.items()
    }
    erased, shown = _erased(pupils), _persons(decision for decisions in matches.values() for decision in decisions)
    return {
        key: [*_merged(shown, matches[key]), *_gone(rows, erased, is_alone=not matches[key])]
        for key, rows in asked.items()
    }


def _by_id(model: type[_Row], keys: Collection[uuid.UUID | None]) -> dict[uuid.UUID | None, _Row]:
    return {row.id: row for row in db.session.scalars(select(model).where(model.id.in_(keys)))}


def _decisions(schools: Collection[uuid.UUID | None]) -> Mapping[uuid.UUID | None, list[_Decision]]:
    """Return the decisions that hold about ties to pupils, with the person and the pupil, by the pupil's school."""
    of_tie = and_(
        Closing.account_id == Guardianship.account_id,
        or_(Closing.child_id.is_(None), Closing.child_id == Guardianship.child_id),
    )
    rows = db.session.execute(
        select(Closing, Account, Child)
        .select_from(Guardianship)
        .join(Closing, of_tie)
        .join(Account, Account.id == Guardianship.account_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Child.school_id.in_(schools), Closing.where_decided(now()))
        .order_by(Closing.begun_at, Closing.id)
    )
    decisions = defaultdict[uuid.UUID | None, list[_Decision]](list)
    for row, account, child in rows:
        decisions[child.school_id].append((row, account, child))
    return decisions


def _is_compared(decision: _Decision, pupils: Sequence[Child], person: Account) -> bool:
    _, account, child = decision
    is_pupil = any(child.id == pupil.id or _key(child) == _key(pupil) for pupil in pupils)
    return is_pupil or account.name_key == person.name_key


def _key(pupil: Child) -> str:
    return name_key(pupil.given_name, pupil.family_name)


def _erased(children: Collection[uuid.UUID | None]) -> set[uuid.UUID | None]:
    """Return the pupils to whom the access of a person stays closed who was erased since."""
    rows = select(Closing.child_id).where(
        Closing.child_id.in_(children), Closing.account_id.is_(None), Closing.where_decided(now())
    )
    return set(db.session.scalars(rows))


def _gone(waits: Sequence[Closing], erased: Collection[uuid.UUID | None], *, is_alone: bool) -> Iterator[Person]:
    """Yield what is said of a closed person whom no decision names any more."""
    if any(row.child_id in erased for row in waits):
        yield Person(gettext("une personne effacée depuis"))
    elif is_alone:
        yield Person(gettext("une personne dont la suspension est finie depuis"))


def _merged(shown: Mapping[uuid.UUID, Person], matched: Iterable[_Decision]) -> Iterator[Person]:
    by_account = defaultdict[uuid.UUID, dict[uuid.UUID, Person]](dict)
    for row, account, _ in matched:
        by_account[account.id][row.id] = shown[row.id]
    for items in by_account.values():
        known = next((item for item in items.values() if item.url), next(iter(items.values())))
        yield replace(known, lines=[line for item in items.values() for line in item.lines])


def _persons(matched: Iterable[_Decision]) -> Mapping[uuid.UUID, Person]:
    decided = {match[0].id: match for match in matched}
    urls = account_urls({account.id for _, account, _ in decided.values()}) if decided else {}
    items = closings.views([row for row, _, _ in decided.values()])
    return {
        key: _person(item, account, child, urls.get(account.id, ""))
        for item, (key, (_, account, child)) in zip(items, decided.items(), strict=True)
    }


def _person(item: ClosingView, account: Account, child: Child, url: str) -> Person:
    """Return a closed person, with the school's own closing; another school's document is not named.

    The pupil's page shows the closing if the post may not open the account.
    """
    if not item.is_known and not url:
        return Person(gettext("une personne dont l’accès est suspendu"))
    url = url or url_for("accounts.family", pupil=child.id)
    if not item.is_own:
        return Person(account.display_name, url)
    row, author = item.row, item.who[0].lower() + item.who[1:]
    document = gettext("Document : %(reference)s", reference=row.reference)
    lines = [
        gettext("Motif : « %(reason)s »", reason=row.reason),
        document if row.reference else gettext("Aucun document donné"),
        gettext("Suspension du %(day)s, par %(author)s", day=i18n.day(row.begun_at), author=author),
    ]
    return Person(account.display_name, url, lines)
