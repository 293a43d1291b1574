"""The notices of the schools in scope, ready to be shown: open ones by kind, and those that were settled lately."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any

from flask_babel import gettext
from sqlalchemy import ColumnElement, func, select

from idp.accounts import school_notices
from idp.accounts.models import Account, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db
from idp.desk import access
from idp.desk.access import Right
from idp.desk.naming import account_urls, pupil
from idp.desk.notices import compared, settling
from idp.desk.notices.particular_words import words_of
from idp.desk.notices.settled_words import AUTHORS, sentence
from idp.desk.notices.words import WORDS, Answer, Consequence, Words, worded
from idp.desk.staff import models
from idp.mail.emails import masked_apart

MOST = 100
SETTLED_SINCE = timedelta(days=30)
_ORDER = {kind: place for place, kind in enumerate(WORDS)}


@dataclass(frozen=True)
class Person:
    """A person whom a notice names: the name, and the URL of the account's page if the post may open it."""

    name: str
    url: str = ""
    is_gone: bool = False
    """Whether the account was removed; `name` says so."""


@dataclass(frozen=True)
class Shown:
    """A notice.

    Attributes:
        row: the notice.
        words: what its kind means.
        people: the person that it is about, and the second one that it names, if any.
        school: the school's name, for a post that sees several schools.
        children: the pupils that it concerns, in sentences.
        emails: the former and the present address of a contested change, masked.
        names: the names of these pupils, as a sentence has them.
        answers: the answers that the post may give: the last part of the URL, and what it says.
        is_for_head: whether only the head may answer.
        settled_by: who settled it, if it is settled.
        taken_by: who took the telephone calls that it comes from, if any.
    """

    row: SchoolNotice
    words: Words
    people: Sequence[Person]
    school: str
    children: Sequence[str]
    names: str
    emails: tuple[str | None, str | None]
    answers: Sequence[tuple[Answer, Consequence]]
    is_for_head: bool
    settled_by: str
    taken_by: str

    @property
    def title(self) -> Any:
        """What the kind of notice is called."""
        return self.words.title

    @property
    def sentence(self) -> str:
        """Why the notice is settled."""
        return sentence(self.row.sentence)

    @property
    def who(self) -> str:
        """The names of the people, as a sentence has them."""
        return _and(person.name for person in self.people)

    @property
    def is_about_children(self) -> bool:
        """Whether somebody says of these pupils that they are not their children."""
        return self.row.kind == Kind.NOT_GUARDIAN.value

    def say(self, text: Any) -> str:
        """Return a text of `words` with the names of the people and of the pupils."""
        first, *others = self.people
        other = next((person.name for person in others if not person.is_gone), gettext("quelqu’un d’autre"))
        return str(text) % {"name": first.name, "other": other, "children": self.names or gettext("l’élève")}


def open_count() -> int:
    """Return the number of open notices in scope."""
    return db.session.scalar(select(func.count()).where(access.notices(), school_notices.is_open())) or 0


def for_head_count() -> int:
    """Return the number of open notices in scope that only the head answers."""
    kinds = school_notices.is_open([*settling.FOR_HEAD, Kind.NAME_IN_DOUBT])
    return len(settling.for_head(db.session.scalars(select(SchoolNotice).where(access.notices(), kinds)).all()))


def open_notices() -> list[tuple[Any, list[Shown]]]:
    """Return at most `MOST` open notices in scope, the oldest first, under the title of their kind."""
    rows = _rows(school_notices.is_open(), SchoolNotice.created_at)
    rows.sort(key=lambda row: _ORDER[Kind(row.kind)])
    listed = as_shown(rows)
    return [(title, list(group)) for title, group in groupby(listed, lambda item: item.title)]


def settled_notices() -> list[Shown]:
    """Return the notices in scope that were settled within `SETTLED_SINCE`, the newest first."""
    return as_shown(_rows(SchoolNotice.settled_at >= now() - SETTLED_SINCE, SchoolNotice.settled_at.desc()))


def _rows(condition: ColumnElement[bool], order: Any) -> list[SchoolNotice]:
    statement = select(SchoolNotice).where(access.notices(), condition)
    return list(db.session.scalars(statement.order_by(order, SchoolNotice.id).limit(MOST)))


def as_shown(rows: Sequence[SchoolNotice]) -> list[Shown]:
    """Return notices of the scope as the post may read them."""
    keys = {key for row in rows for key in (row.account_id, row.other_account_id) if key}
    people = {row.id: row for row in db.session.scalars(select(Account).where(Account.id.in_(keys)))}
    urls, schools = account_urls(people), _schools(rows)
    children = school_notices.children_of(rows)
    staff = models.names(key for row in rows for key in (row.settled_by, *row.taken_by))
    open_rows, added = [row for row in rows if row.settled_at is None], settling.added(rows)
    may_answer = access.may(Right.SETTLE_NOTICES)
    answerable = [row for row in rows if may_answer and (row.settled_at is None or row.id in added)]
    disputed, for_head = settling.in_dispute(open_rows), settling.for_head(answerable)
    ended = settling.with_ended_ties(open_rows)
    answers = {
        row.id: settling.answers(
            row, is_disputed=row.id in disputed, is_ended=row.id in ended, is_for_head=row.id in for_head
        )
        for row in answerable
    }
    waits = compared.waits(rows)
    decides = access.may(Right.REOPEN)
    over = {row.id for row in open_rows if row.kind == Kind.NOT_GUARDIAN.value} - disputed
    words = {
        row.id: words_of(row, waits.get(row.id), decides=decides, is_ended=row.id in over, is_added=row.id in added)
        for row in rows
    }
    return [
        Shown(
            row,
            words[row.id],
            list(_people(row, people, urls)),
            schools.get(row.school_id, ""),
            [pupil(child) for child in children[row.id]],
            _and(f"{child.given_name} {child.family_name}" for child in children[row.id]),
            _emails(row, people[row.account_id]),
            list(worded(answers.get(row.id, {}), words[row.id]).items()),
            row.id in for_head,
            _author(row, staff),
            ", ".join(dict.fromkeys(_named(taker, staff) for taker in row.taken_by)),
        )
        for row in rows
    ]


def _and(names: Iterable[str]) -> str:
    return str(gettext(" et ")).join(names)


def _schools(rows: Sequence[SchoolNotice]) -> Mapping[uuid.UUID, str]:
    """Return the names of the notices' schools for a post without a school of its own."""
    if access.post().school is not None:
        return {}
    schools = db.session.scalars(select(School).where(School.id.in_({row.school_id for row in rows})))
    return {school.id: school.name for school in schools}


def _people(row: SchoolNotice, people: Mapping[uuid.UUID, Account], urls: Mapping[uuid.UUID, str]) -> Iterator[Person]:
    """Yield the people of a notice.

    Of the second one only the name is shown, because the two may be separated. The school needs the name to tell
    whether the two are one person; if no child of the second one is in scope, the name has no link.
    """
    yield Person(people[row.account_id].display_name, urls.get(row.account_id, ""))
    if row.other_account_id is None:
        return
    other = people.get(row.other_account_id)
    gone = str(gettext("une personne dont le compte est supprimé"))
    yield Person(other.display_name, urls.get(other.id, "")) if other else Person(gone, is_gone=True)


def _emails(row: SchoolNotice, account: Account) -> tuple[str | None, str | None]:
    if row.kind != Kind.EMAIL_CONTESTED.value or account.contested_at is None:
        return (None, None)
    return masked_apart(account.contested_email, account.email)


def _author(row: SchoolNotice, staff: Mapping[str, str]) -> str:
    """Return who settled a notice: a colleague's name, an act, or the team of the service."""
    if row.settled_at is None:
        return ""
    if row.settled_by in AUTHORS:
        return str(AUTHORS[row.settled_by])
    return _named(row.settled_by, staff)


def _named(actor: str, staff: Mapping[str, str]) -> str:
    """Return a colleague's name, or the team of the service for a command."""
    name = staff.get(actor)
    return str(gettext("l’équipe du service")) if name is None else name or str(gettext("un collègue"))
