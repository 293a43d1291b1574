"""Who is in the stories, and in which form what people see is written: nothing here knows how closings are stored."""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from itertools import count
from pathlib import Path
from typing import NamedTuple

import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account, Child
from idp.config import Settings
from idp.db import db
from idp.desk.staff.models import Role, StaffAccount
from tests.builders import COLLEGE, LYCEE
from tests.commands.conftest import Run
from tests.desk.colleagues import Colleagues
from tests.email_confirmation.post import PostOffice
from tests.pages import heading, sign_in
from tests.relying_party import RelyingParty
from tests.rostering.aaf_school import Parent, Pupil

PLACES = {"college": COLLEGE, "lycee": LYCEE}


class Post(NamedTuple):
    """A role at the desk; the place is "" for the académie."""

    role: Role
    place: str = ""

    def __str__(self) -> str:
        return f"{self.role.value}@{self.place}" if self.place else self.role.value


HEAD, SECRETARY = Post(Role.HEAD, "college"), Post(Role.SECRETARY, "college")
OTHER_HEAD, HELP_DESK = Post(Role.HEAD, "lycee"), Post(Role.HELPDESK)
POSTS = (SECRETARY, HEAD, OTHER_HEAD)
"""The people whose right to decide the stories check."""


@dataclass
class Person:
    """What the stories know of a guardian: the account, the present secret, the mailbox, the ENT's last token."""

    account: uuid.UUID
    username: str
    secret: str = ""
    mailbox: str = ""
    token: str = ""


@dataclass
class World:
    app: Flask
    colleagues: Colleagues
    settings: Settings
    ent: RelyingParty
    act: Run
    clock: time_machine.Traveller
    office: PostOffice
    folder: Path
    people: dict[str, Person] = field(default_factory=dict)
    staff: dict[Post, uuid.UUID] = field(default_factory=dict)
    browsers: dict[Post, FlaskClient] = field(default_factory=dict)
    files: Iterable[int] = field(default_factory=count)

    def person(self, parent: Parent) -> Person:
        if parent.key not in self.people:
            row = db.session.scalars(select(Account).where(Account.roster_key == f"aaf:{parent.key}")).one()
            self.people[parent.key] = Person(row.id, row.username, mailbox=f"{row.username}@exemple.fr")
        return self.people[parent.key]

    def child(self, pupil: Pupil) -> uuid.UUID:
        """Return the key of a pupil whom a file has named."""
        return db.session.scalars(select(Child.id).where(Child.roster_key == f"aaf:{pupil.key}")).one()

    def desk(self, chosen: Post) -> FlaskClient:
        """Return a browser in which a person of the desk has just proved who they are, the same until time passes."""
        if chosen in self.browsers:
            return self.browsers[chosen]
        if chosen not in self.staff:
            staff = self.colleagues.person(str(chosen))
            self.colleagues.grant(staff, chosen.role, uai=PLACES.get(chosen.place, COLLEGE), days=3000)
            self.staff[chosen] = staff.id
        staff = db.session.get_one(StaffAccount, self.staff[chosen])
        browser, _ = self.colleagues.session(staff, reason="" if chosen.place else "ticket 4512")
        self.browsers[chosen] = browser
        return browser

    def wait(self, days: int) -> None:
        self.clock.shift(timedelta(days))
        self.browsers.clear()

    def deliver(self) -> list[EmailMessage]:
        """Have the worker deliver what waits; return the mails that are new."""
        self.office.mailbox.envelopes.clear()
        return self.office.deliver()

    def enter(self, parent: Parent) -> FlaskClient:
        """Sign a guardian in for the pages of the own account."""
        browser, person = self.app.test_client(), self.person(parent)
        assert heading(sign_in(browser, "/connexion", person.username, person.secret)) == "Gérer mon compte"
        return browser


Step = Callable[[World], None]


@dataclass(frozen=True)
class Is:
    """What holds about a guardian.

    Attributes:
        parent: the guardian.
        enters: "open", or the page that stands in the way of the guardian's present secret.
        children: the given names that the ENT gets, in the order of names.
        recovers: whether « Mot de passe oublié » brings a link.
        decided_by: the people of the desk who may end something that closes the guardian out.
    """

    parent: Parent
    enters: str
    children: str = ""
    recovers: bool = False
    decided_by: str = ""


class Seen(NamedTuple):
    """What people see after a step: of guardians, of the open notices, and of the mails since the step before."""

    guardians: tuple[Is, ...]
    notices: str
    mails: str


class Then(NamedTuple):
    step: Step
    seen: Seen


def then(step: Step, *guardians: Is, notices: str = "", mails: str = "") -> Then:
    return Then(step, Seen(guardians, notices, mails))


def enters(parent: Parent, children: str, by: str = "", *, recovers: bool = True) -> Is:
    """Say that a guardian enters the ENT, which gets these children."""
    return Is(parent, "open", children, recovers, by)


def stopped(parent: Parent, page: str, by: str = "", *, recovers: bool = False) -> Is:
    """Say that a guardian does not enter the ENT, and which page stands there."""
    return Is(parent, page, "", recovers, by)
