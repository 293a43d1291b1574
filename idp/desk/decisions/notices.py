"""The notices of the schools in scope, as pages show them, and the steps that come after each."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any

from flask import url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import ColumnElement, and_, func, select

from idp.accounts import closing_acts, school_notices
from idp.accounts.closings import Closing, Wait
from idp.accounts.models import Account, Child, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db
from idp.desk import access
from idp.desk.access import Right
from idp.desk.decisions import answers, comparison
from idp.desk.decisions.answers import State
from idp.desk.decisions.comparison import Person
from idp.desk.decisions.words import WORDS, Answer, Consequence, Next, Words
from idp.desk.jobs.kinds import Step
from idp.desk.naming import account_urls, pupil
from idp.desk.staff import models
from idp.families.standing import Group, group_of, standings
from idp.mail.emails import masked_apart

_MOST = 100
SETTLED_SINCE = timedelta(days=30)
_ORDER = {kind: place for place, kind in enumerate(WORDS)}
# The reasons to wait: a notice about several ties says the first that holds.
_BY_WEIGHT = (Wait.RECOGNISED, Wait.NEW_GUARDIAN, Wait.RETURNED)
# The acts that settle a notice by themselves.
_ACTS: Mapping[str, Any] = {
    "parent": _l("la famille"),
    "letter": _l("un nouveau courrier"),
    "import": _l("un import de fichier"),
    "reopening": _l("la réouverture de l’accès"),
}
# The sentences of these acts, as the database has them.
_SENTENCES: Mapping[str, Any] = {
    "a new letter was used": _l("Un nouveau courrier a servi."),
    "new letter": _l("Nouveau courrier"),
    "the file names the same person": _l("Le fichier nomme la même personne."),
    "the letter was added": _l("Le courrier a été ajouté au compte."),
    "unlocked": _l("Compte débloqué"),
    "reopened": _l("L’accès est rouvert."),
}
_LETTER = "new letter: "


@dataclass(frozen=True)
class NoticeView:
    """A notice, with the answers that the post may give.

    Attributes:
        people: the person that it is about, and the second one that it names, if any.
        compared: the people whom the head compares with the first.
        school: the school's name, for a post that sees several schools.
        emails: the former and the present address of a contested change, masked.
        taken_by: who took the telephone calls that it comes from, if any.
    """

    row: SchoolNotice
    state: State
    words: Words
    answers: Mapping[Answer, Consequence]
    people: Sequence[Person]
    compared: Sequence[Person]
    children: Sequence[Child]
    school: str
    emails: tuple[str | None, str | None]
    settled_by: str
    taken_by: str

    @property
    def sentence(self) -> str:
        """Why the notice is settled: a colleague's own sentence, or that of an act."""
        stored = self.row.sentence
        if stored.startswith(_LETTER):
            return f"{_SENTENCES['new letter']} : {stored.removeprefix(_LETTER)}"
        return str(_SENTENCES.get(stored, stored))

    @property
    def who(self) -> str:
        """The names of the people, as a sentence has them."""
        return _and(person.name for person in self.people)

    @property
    def pupils(self) -> str:
        """The pupils that it concerns, each with the class."""
        return " ; ".join(map(pupil, self.children))

    @property
    def is_about_children(self) -> bool:
        """Whether somebody says of these pupils that they are not their children."""
        return self.row.kind == Kind.NOT_GUARDIAN.value

    @property
    def needs_letter(self) -> bool:
        """Whether the person keeps other pupils after a dispute, and needs a letter: a dispute ends one."""
        return self.is_about_children and _is_without_letter(self.row)

    def say(self, text: Any) -> str:
        """Return a text of `words` with the names of the people and of the pupils."""
        first, *others = self.people
        other = next((person.name for person in others if not person.is_gone), gettext("quelqu’un d’autre"))
        names = _and(f"{child.given_name} {child.family_name}" for child in self.children)
        return str(text) % {"name": first.name, "other": other, "children": names or gettext("l’élève")}


def open_count() -> int:
    """Return the number of open notices in scope."""
    return db.session.scalar(select(func.count()).where(access.notices(), school_notices.is_open())) or 0


def for_head_count() -> int:
    """Return the number of open notices that the head answers and the person, who settles others, does not."""
    if access.may(Right.REOPEN) or not access.may(Right.SETTLE_NOTICES):
        return 0
    kinds = school_notices.is_open([*answers.FOR_HEAD, Kind.NAME_IN_DOUBT])
    return len(answers.for_head(db.session.scalars(select(SchoolNotice).where(access.notices(), kinds)).all()))


def open_by_kind() -> list[tuple[Any, list[NoticeView]]]:
    """Return at most `_MOST` open notices in scope, the oldest first, under the title of their kind."""
    rows = _rows(school_notices.is_open(), SchoolNotice.created_at)
    rows.sort(key=lambda row: _ORDER[Kind(row.kind)])
    return [(title, list(group)) for title, group in groupby(views(rows), lambda item: item.words.title)]


def settled_lately(*conditions: ColumnElement[bool]) -> list[SchoolNotice]:
    """Return the notices in scope that were settled within `SETTLED_SINCE`, the newest first."""
    return _rows(and_(SchoolNotice.settled_at >= now() - SETTLED_SINCE, *conditions), SchoolNotice.settled_at.desc())


def _rows(condition: ColumnElement[bool], order: Any) -> list[SchoolNotice]:
    statement = select(SchoolNotice).where(access.notices(), condition)
    return list(db.session.scalars(statement.order_by(order, SchoolNotice.id).limit(_MOST)))


def views(rows: Sequence[SchoolNotice]) -> list[NoticeView]:
    """Return notices of the scope as the post may read them."""
    keys = {key for row in rows for key in (row.account_id, row.other_account_id) if key}
    people = {row.id: row for row in db.session.scalars(select(Account).where(Account.id.in_(keys)))}
    urls, schools, children = account_urls(people), _schools(rows), school_notices.children_of(rows)
    staff = models.names(key for row in rows for key in (row.settled_by, *row.taken_by))
    waiting = comparison.waiting(rows)
    reasons = {key: min((Wait(row.kind) for row in waits), key=_BY_WEIGHT.index) for key, waits in waiting.items()}
    states, compared = answers.states(rows, reasons), comparison.people(waiting)
    contests = closing_acts.contests_of([row.account_id for row in rows if row.kind == Kind.EMAIL_CONTESTED.value])
    words = {row.id: answers.words_of(row, states[row.id]) for row in rows}
    return [
        NoticeView(
            row,
            states[row.id],
            words[row.id],
            answers.possible(row, states[row.id], words[row.id]),
            list(_people(row, people, urls)),
            compared.get(row.id, []),
            children[row.id],
            schools.get(row.school_id, ""),
            _emails(row, people[row.account_id], contests),
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
    gone = gettext("une personne dont le compte est supprimé")
    yield Person(other.display_name, urls.get(other.id, "")) if other else Person(gone, is_gone=True)


def _emails(
    row: SchoolNotice, account: Account, contests: Mapping[uuid.UUID, Closing]
) -> tuple[str | None, str | None]:
    contest = contests.get(account.id) if row.kind == Kind.EMAIL_CONTESTED.value else None
    return masked_apart(contest.email, account.email) if contest else (None, None)


def _author(row: SchoolNotice, staff: Mapping[str, str]) -> str:
    if row.settled_at is None:
        return ""
    return str(_ACTS[row.settled_by]) if row.settled_by in _ACTS else _named(row.settled_by, staff)


def _named(actor: str, staff: Mapping[str, str]) -> str:
    name = staff.get(actor)
    return str(gettext("l’équipe du service")) if name is None else name or str(gettext("un collègue"))


def steps_after(item: NoticeView) -> list[Step]:
    """Return the steps after a settled notice that the post may do, the likeliest first; none for an open notice."""
    if item.row.settled_at is None:
        return []
    answer = answers.given(item.row)
    consequence = answers.consequence(item.row, answer) if answer else None
    coming = consequence.next if consequence else Next.ACCOUNT
    admitted = answer is Answer.ADMIT and _is_without_letter(item.row)
    prints = coming is Next.LETTER or admitted or item.needs_letter
    return [*_of_answer(item, coming, prints=prints), *_accounts_and_families(item)]


def _is_without_letter(row: SchoolNotice) -> bool:
    account = db.session.get_one(Account, row.account_id)
    return group_of(standings(account)) in {Group.NO_LETTER, Group.EXPIRED, Group.RELETTER}


def _of_answer(item: NoticeView, coming: Next, *, prints: bool) -> Iterator[Step]:
    if coming is Next.FILES and access.may(Right.IMPORT_FILES):
        yield Step(gettext("Importer le fichier corrigé"), url_for("files.show"))
    if prints and access.may(Right.PRINT_LETTER):
        is_one = item.row.kind == Kind.LETTER_DOUBT.value
        keys = (item.row.account_id, None if is_one else item.row.other_account_id)
        for person, key in zip(item.people, keys, strict=False):
            if person.url and key:
                label = gettext("Imprimer un courrier pour %(name)s", name=person.name)
                yield Step(label, url_for("letter.show", key=key))


def _accounts_and_families(item: NoticeView) -> Iterator[Step]:
    """Yield the accounts, and the families of the pupils of whom a person said that they are not the own children."""
    for person in item.people:
        if person.url:
            yield Step(gettext("Ouvrir le compte de %(name)s", name=person.name), person.url)
    if not item.is_about_children or not access.may(Right.READ_FAMILIES):
        return
    keys = [child.id for child in item.children]
    for child in db.session.scalars(select(Child).where(Child.id.in_(keys), access.children())):
        label = gettext("Voir la famille de %(name)s", name=f"{child.given_name} {child.family_name}")
        yield Step(label, url_for("accounts.family", pupil=child.id))
