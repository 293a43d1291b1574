"""Whom the head compares with a new guardian: the people whose access is closed, and the documents about them."""

import uuid
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
from idp.desk import access, decisions
from idp.desk.access import Right
from idp.desk.decisions import Shown
from idp.desk.naming import account_urls
from idp.web import i18n

_Decision = tuple[Closing, Account, Child]
"""A decision with the person and a pupil whom it concerns."""
_Row = TypeVar("_Row", Child, Account)
_BY_WEIGHT = (Wait.RECOGNISED, Wait.NEW_GUARDIAN, Wait.EXCLUDED)
"""The reasons to wait: a notice about several ties says the first that holds."""


@dataclass(frozen=True)
class Compared:
    """A closed person: the name, the URL of a page about the closing if there is one, and what is to compare.

    `lines` are the reason, the document, the day and the author, for a post that may read them.
    """

    name: str
    url: str = ""
    lines: Sequence[str] = ()


def waits(notices: Collection[SchoolNotice]) -> Mapping[uuid.UUID, Wait]:
    """Return why the head has to decide about the people of open notices, by the notice's id."""
    reasons = {key: {Wait(row.kind) for row in rows} for key, rows in _waiting(notices).items()}
    return {key: min(waits, key=_BY_WEIGHT.index) for key, waits in reasons.items()}


def people(notices: Collection[SchoolNotice]) -> Mapping[uuid.UUID, list[Compared]]:
    """Return the closed people with whom the head compares the person of each open notice.

    They have a closed access to one of the pupils, or to one of the same names, or have the names of the person who
    waits. Other posts compare nobody. As many statements run for many notices as for one.
    """
    by_notice = {
        key: rows
        for key, rows in (_waiting(notices) if access.may(Right.REOPEN) else {}).items()
        if any(row.kind != Wait.EXCLUDED for row in rows)
    }
    if not by_notice:
        return {}
    of_school = {notice.id: notice.school_id for notice in notices}
    decisions = _decisions({of_school[key] for key in by_notice})
    waiting = [row for rows in by_notice.values() for row in rows]
    pupils = _by_id(Child, {row.child_id for row in waiting})
    persons = _by_id(Account, {row.account_id for row in waiting})
    matches = {
        key: [
            decision
            for decision in decisions.get(of_school[key], ())
            if _is_compared(decision, [pupils[row.child_id] for row in rows], persons[rows[0].account_id])
        ]
        for key, rows in by_notice.items()
    }
    erased = _erased(pupils)
    shown = _shown(matches.values())
    return {
        key: [*_merged(shown, matches[key]), *_gone(rows, erased, is_alone=not matches[key])]
        for key, rows in by_notice.items()
    }


def _waiting(notices: Collection[SchoolNotice]) -> Mapping[uuid.UUID, list[Closing]]:
    """Return the rows that wait for the head, by the id of the open notice about them."""
    asked = [row for row in notices if row.kind == Kind.GUARDIAN_WAITS.value and row.settled_at is None]
    keys = {row.account_id for row in asked}
    statement = select(Closing).where(Closing.account_id.in_(keys), Closing.where_waiting(now()))
    waiting = db.session.scalars(statement.execution_options(populate_existing=True)).all() if asked else ()
    by_notice = {
        notice.id: [row for row in waiting if (row.account_id, row.school_id) == (notice.account_id, notice.school_id)]
        for notice in asked
    }
    return {key: rows for key, rows in by_notice.items() if rows}


def _by_id(model: type[_Row], keys: Collection[uuid.UUID | None]) -> dict[uuid.UUID | None, _Row]:
    return {row.id: row for row in db.session.scalars(select(model).where(model.id.in_(keys)))}


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


def _gone(waiting: Sequence[Closing], erased: Collection[uuid.UUID | None], *, is_alone: bool) -> Iterator[Compared]:
    """Yield what is said of a closed person whom no decision names any more."""
    if any(row.child_id in erased for row in waiting):
        yield Compared(str(gettext("une personne effacée depuis")))
    elif is_alone:
        yield Compared(str(gettext("une personne dont la suspension est finie depuis")))


def _merged(shown: Mapping[tuple[uuid.UUID, uuid.UUID], Compared], matched: Iterable[_Decision]) -> Iterator[Compared]:
    """Yield each person once, with all decisions about the person."""
    by_account: dict[uuid.UUID, list[Compared]] = {}
    for row, account, _ in matched:
        by_account.setdefault(account.id, []).append(shown[row.id, account.id])
    for items in by_account.values():
        known = next((item for item in items if item.url), items[0])
        yield replace(known, lines=[line for item in items for line in item.lines])


def _decisions(schools: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[_Decision]]:
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
    by_school: dict[uuid.UUID, list[_Decision]] = {}
    for row, account, child in rows:
        by_school.setdefault(child.school_id, []).append((row, account, child))
    return by_school


def _shown(matches: Iterable[Iterable[_Decision]]) -> Mapping[tuple[uuid.UUID, uuid.UUID], Compared]:
    """Return closed people as the post may know them; another school's document is not named."""
    decided = {(match[0].id, match[1].id): match for matched in matches for match in matched}
    urls = account_urls({account.id for _, account, _ in decided.values()}) if decided else {}
    items = decisions.all_shown([row for row, _, _ in decided.values()])
    return {
        key: _compared(item, account, child, urls.get(account.id, ""))
        for item, (key, (_, account, child)) in zip(items, decided.items(), strict=True)
    }


def _compared(item: Shown, account: Account, child: Child, url: str) -> Compared:
    """Return a closed person. The pupil's page shows the closing if the post may not open the account."""
    if not item.is_known and not url:
        return Compared(str(gettext("une personne dont l’accès est suspendu")))
    url = url or url_for("accounts.family", pupil=child.id)
    return Compared(account.display_name, url, _lines(item) if item.is_own else ())


def _lines(item: Shown) -> Sequence[str]:
    """Return what the school knows of its own closing."""
    row, author = item.row, item.who[0].lower() + item.who[1:]
    document = gettext("Document : %(reference)s", reference=row.reference)
    return [
        gettext("Motif : « %(reason)s »", reason=row.reason),
        document if row.reference else gettext("Aucun document donné"),
        gettext("Suspension du %(day)s, par %(author)s", day=i18n.day(row.begun_at), author=author),
    ]
