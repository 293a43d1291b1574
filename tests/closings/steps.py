"""The words of the stories: what people do, and what they see.

Each step is an act that a person can do today: a page of the parents or of the desk, a command, or a school file. What
is seen is read from the pages, from UserInfo, from the list of notices and from the mails that were delivered. No word
here reads or writes a column that says whether somebody is closed out: if the tables change, only this module changes,
and the stories stay as they are.
"""

import csv
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from http import HTTPStatus

from flask.testing import FlaskClient
from sqlalchemy import delete, select
from werkzeug.test import TestResponse

from idp.accounts.models import School, SchoolNotice
from idp.accounts.notices import NOTICE, Notice
from idp.clock import today
from idp.db import db
from idp.desk.alerts import ALERT
from idp.desk.staff.models import Role
from idp.operations.personal_data import rights
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from idp.throttle.counters import ThrottleCounter
from tests.builders import COLLEGE, LYCEE
from tests.closings.world import HEAD, PLACES, POSTS, SECRETARY, Is, Person, Post, Seen, Step, Then, World
from tests.desk.colleagues import post
from tests.email_confirmation.post import text_of
from tests.my_account.changes import change_email
from tests.pages import heading, sign_in, submit
from tests.recovery.steps import ask_password
from tests.relying_party import Attempt
from tests.rostering.aaf_school import Parent, Pupil, Year

PASSWORD = "orage brique hamster violon"
_NAMES = {uai: place for place, uai in PLACES.items()}
_WHY = "vu avec le document"
_HEADINGS = {
    "Activez votre compte": "letter",
    "Votre accès à cet élève est fermé": "tie closed",
    "Vos enfants ne sont pas dans cet ENT": "no child here",
    "Ce courrier a été signalé": "letter reported",
    "Choisissez un nouveau mot de passe": "renew",
    "Connexion": "refused",
    "Consultez votre messagerie": "unconfirmed",
}
_CLOSED = {
    "est suspendu depuis": "suspended",
    "l’adresse mail du compte avait changé": "contested",
    "ne pas être le représentant légal": "disputed",
}
_OF_CLOSINGS = {"not_guardian", "email_contested", "guardian_waits"}
"""The kinds of notices whose answers open or close an access."""
_DECIDES = {"raison", "rejet", "autre", "refus", "raison-lien-fini", "rejet-lien-fini"}
_LINK = re.compile(r"https://connexion\.exemple\.test(/adresse/(?:lien|contestation)/[A-Za-z0-9_-]{43})\b")


# What people do


def file(pupils: Mapping[Pupil, Sequence[Parent]]) -> Step:
    """Have the académie import the whole file of both schools: these pupils, each with these guardians."""

    def act(world: World) -> None:
        year = Year().add(*_BYSTANDERS)
        for pupil, parents in pupils.items():
            year.add(*parents, replace(pupil, parents=tuple((parent.key, "90", "1") for parent in parents)))
        folder = year.write(world.folder / f"file{next(iter(world.files))}")
        answer = world.act("roster", "import", str(folder), "--force")
        assert answer.code == 0, answer.err

    return act


def letter(parent: Parent, reason: str = "") -> Step:
    """Print a guardian's letter, as a list for a mail merge; the guardian has it from now on."""

    def act(world: World) -> None:
        person, out = world.person(parent), world.folder / f"letters{next(iter(world.files))}.csv"
        more = ["--reason", reason] if reason else []
        answer = world.act("letters", "print", "--username", person.username, "--csv", str(out), *more)
        if answer.code == 0:
            [row] = csv.DictReader(out.read_text("utf-8-sig").splitlines(), delimiter=";")
            person.secret = row["provisional_password"]
        else:
            assert out.exists() is False

    return act


def activate(*parents: Parent, mailbox: str = "") -> Step:
    """Print the letters of guardians, activate the accounts, and confirm the mailboxes, which may be one for all."""

    def act(world: World) -> None:
        for parent in parents:
            letter(parent)(world)
            person, browser = world.person(parent), world.app.test_client()
            person.mailbox = mailbox or person.mailbox
            page = sign_in(browser, "/connexion", person.username, person.secret)
            submit(browser, page, nouveau=PASSWORD, confirmation=PASSWORD, mail=person.mailbox)
            _confirm(world, browser)
            person.secret = PASSWORD

    return act


def close(parent: Parent, *, by: Post = HEAD, child: Pupil | None = None, days: int | None = None) -> Step:
    """Suspend a whole account or its tie to one child, without an end or for some days, today being the first."""

    def act(world: World) -> None:
        scope = world.child(child).hex if child else "compte"
        end = {"end": "ouverte"} if days is None else {"end": "jour", "until": f"{today() + timedelta(days - 1)}"}
        path = f"/comptes/{world.person(parent).account}/suspension"
        done = post(world.desk(by), path, scope=scope, reason=_WHY, **(end if by.place else {}))
        assert done.status_code == HTTPStatus.SEE_OTHER, done.text

    return act


def reopen(parent: Parent, *, by: Post = HEAD) -> Step:
    """Reopen what a person of the desk may reopen of a guardian."""

    def act(world: World) -> None:
        browser = world.desk(by)
        paths = _reopenings(browser, world.person(parent).account)
        assert paths
        for path in paths:
            assert post(browser, path, reason=_WHY).status_code == HTTPStatus.SEE_OTHER

    return act


def reopen_by_engineer(parent: Parent) -> Step:
    """Reopen all that is suspended of a guardian by a command."""

    def act(world: World) -> None:
        answer = world.act("account", "reopen", world.person(parent).username, "--reason", _WHY)
        assert answer.code == 0, answer.err

    return act


def dispute(parent: Parent, *pupils: Pupil) -> Step:
    """Have the reader of a new letter tap « Ce n’est pas votre enfant ? »."""

    def act(world: World) -> None:
        letter(parent)(world)
        browser, person = world.app.test_client(), world.person(parent)
        page = sign_in(browser, "/connexion", person.username, person.secret)
        question = browser.get(page.request.full_path.replace("/activation?", "/activation/non-representant?"))
        done = submit(browser, question, enfant=[world.child(pupil).hex for pupil in pupils])
        assert heading(done) == "Merci, c’est noté"

    return act


def call(parent: Parent, child: Pupil, *, by: Post = SECRETARY) -> Step:
    """Have somebody say on the telephone, in a guardian's name: « Ce n’est pas mon enfant »."""

    def act(world: World) -> None:
        path = f"/comptes/{world.person(parent).account}/pas-mon-enfant/{world.child(child)}"
        done = post(world.desk(by), path, caller="la personne, 06 12 34 56 78", reason="ce n’est pas mon enfant")
        assert done.status_code == HTTPStatus.SEE_OTHER, done.text

    return act


def contest(parent: Parent, mailbox: str) -> Step:
    """Change a guardian's mailbox, and have the reader of the former one tap « Ce n’était pas moi »."""

    def act(world: World) -> None:
        change_email(world.enter(parent), mailbox, PASSWORD)
        _confirm(world, world.app.test_client())
        world.person(parent).mailbox = mailbox
        alarm = _link_in(world.deliver(), "/adresse/contestation/")
        browser = world.app.test_client()
        submit(browser, browser.get(alarm))

    return act


def settle(parent: Parent, answer: str, *, by: Post = SECRETARY, kind: str = "") -> Step:
    """Answer the notice about a guardian in « Décisions »; `answer` is the last part of the page's URL."""

    def act(world: World) -> None:
        notices = select(SchoolNotice.id).where(SchoolNotice.account_id == world.person(parent).account)
        at_school = SchoolNotice.school_id.in_(select(School.id).where(School.uai == PLACES[by.place]))
        chosen = notices.where(at_school, SchoolNotice.kind == kind if kind else SchoolNotice.settled_at.is_(None))
        done = post(
            world.desk(by), f"/signalements/{db.session.scalars(chosen).one()}/{answer}", sentence=_WHY, child="tous"
        )
        assert done.status_code == HTTPStatus.SEE_OTHER, done.text
        assert "tard" not in done.headers["Location"]

    return act


def take_back(parent: Parent, child: Pupil, *, by: Post = HEAD) -> Step:
    def act(world: World) -> None:
        path = f"/comptes/{world.person(parent).account}/pas-mon-enfant/{world.child(child)}/retour"
        assert post(world.desk(by), path, reason=_WHY).status_code == HTTPStatus.SEE_OTHER

    return act


def add_letter(parent: Parent, other: Parent) -> Step:
    """Have a guardian add another letter of theirs to the own account."""

    def act(world: World) -> None:
        letter(other)(world)
        person, browser = world.person(other), world.enter(parent)
        done = submit(
            browser, browser.get("/mon-compte/courrier"), identifiant=person.username, mot_de_passe=person.secret
        )
        assert done.status_code == HTTPStatus.OK
        assert "Ce courrier n’a pas été ajouté" not in done.text

    return act


def erase(parent: Parent) -> Step:
    def act(world: World) -> None:
        rights.erase(world.person(parent).account, _WHY)

    return act


def later(days: int) -> Step:
    def act(world: World) -> None:
        world.wait(days)

    return act


def _confirm(world: World, browser: FlaskClient) -> None:
    submit(browser, browser.get(_link_in(world.deliver(), "/adresse/lien/")), mot_de_passe=PASSWORD)


def _link_in(mails: Sequence[EmailMessage], path: str) -> str:
    links = [link for mail in mails for link in _LINK.findall(text_of(mail)) if link.startswith(path)]
    return str(links[-1])


_BYSTANDERS = (
    Parent("9109", "Odile", "TIERS"),
    Pupil("9209", "Ugo", "TIERS", COLLEGE, parents=(("9109", "10", "1"),)),
    Pupil("9208", "Ève", "TIERS", LYCEE, parents=(("9109", "10", "1"),)),
)
"""Another family, which keeps both schools in each file."""


# What people see


def after_each_step(world: World, story: Sequence[Step | Then]) -> Iterator[tuple[Seen, Seen]]:
    """Take the steps of a story; yield after each what people see, and what they are to see."""
    for entry in story:
        step, expected = entry if isinstance(entry, Then) else (entry, None)
        forget_tries()
        step(world)
        sent = mails(world)
        if expected is not None:
            guardians = tuple(_is(world, item.parent) for item in expected.guardians)
            yield Seen(guardians, open_notices(), sent), expected


def _is(world: World, parent: Parent) -> Is:
    person = world.person(parent)
    page, children = _enter_ent(world, person)
    return Is(parent, page, children, _recovers(world, person), _deciders(world, person))


def open_notices() -> str:
    rows = db.session.execute(
        select(SchoolNotice.kind, School.uai)
        .join(School, School.id == SchoolNotice.school_id)
        .where(SchoolNotice.settled_at.is_(None))
    )
    return " ".join(sorted(f"{kind}@{_NAMES[uai]}" for kind, uai in rows))


def mails(world: World) -> str:
    """Deliver the mails that wait; return those about accounts that went out, and the alerts to heads.

    Each try to enter is a sign-in on a new device: those mails do not count.
    """
    db.session.rollback()
    waiting = select(OutboxMessage.id, OutboxMessage.kind, OutboxMessage.payload).where(
        OutboxMessage.finished_at.is_(None), OutboxMessage.kind.in_([NOTICE, ALERT])
    )
    rows = db.session.execute(waiting).all()
    names = {key: str(payload["notice" if kind == NOTICE else "alert"]) for key, kind, payload in rows}
    world.deliver()
    sent = select(OutboxMessage.id).where(OutboxMessage.id.in_(names), OutboxMessage.outcome == Outcome.DONE.value)
    delivered = [names[key] for key in db.session.scalars(sent)]
    return " ".join(sorted(name for name in delivered if name != Notice.NEW_DEVICE.value))


def forget_tries() -> None:
    """Reset all rate limits: what is seen is tried after each step."""
    db.session.execute(delete(ThrottleCounter))
    db.session.commit()


def _enter_ent(world: World, person: Person) -> tuple[str, str]:
    """Try to enter the ENT with the present secret; return the page and the children.

    The page also says if the ENT still gets by its former token what the person has no access to any more.
    """
    browser, attempt = world.app.test_client(), Attempt()
    former = _children(world, browser, person)
    page, person.token = sign_in(browser, world.ent.url(attempt), person.username, person.secret), ""
    if page.status_code != HTTPStatus.OK:
        tokens = world.ent.tokens(browser, world.ent.answer(page)["code"], attempt)
        person.token = tokens["access_token"]
    present = _children(world, browser, person)
    seen = "open" if person.token else _page_of(page)
    return seen if former in {"", present} else f"{seen}, but its former token gives the ENT {former}", present


def _children(world: World, browser: FlaskClient, person: Person) -> str:
    """Return the children whom the ENT gets by the last token of a person."""
    info = world.ent.userinfo(browser, person.token).get_json() if person.token else {}
    return " ".join(sorted(child["given_name"] for child in info.get("children", [])))


def _page_of(page: TestResponse) -> str:
    title = heading(page)
    if title == "Ce compte est fermé pour le moment":
        return next(code for words, code in _CLOSED.items() if words in _plain(page))
    return _HEADINGS.get(title, title)


def _recovers(world: World, person: Person) -> bool:
    forget_tries()
    ask_password(world.app.test_client(), person.username)
    return any("/mot-de-passe/lien/" in text_of(mail) for mail in world.deliver())


def _deciders(world: World, person: Person) -> str:
    return " ".join(str(chosen) for chosen in POSTS if _may_decide(world, chosen, person.account))


def _may_decide(world: World, chosen: Post, account: uuid.UUID) -> bool:
    """Return whether a person of the desk is offered to end something that closes an account or a tie of it.

    A secretary may only answer notices (`tests.desk.test_matrix`).
    """
    browser = world.desk(chosen)
    if chosen.role is not Role.SECRETARY and _reopenings(browser, account):
        return True
    notices = select(SchoolNotice.id).where(
        SchoolNotice.account_id == account, SchoolNotice.settled_at.is_(None), SchoolNotice.kind.in_(_OF_CLOSINGS)
    )
    page = browser.get("/signalements").text if (keys := db.session.scalars(notices).all()) else ""
    return any(f"/signalements/{key}/{answer}" in page for key in keys for answer in _DECIDES)


def _reopenings(browser: FlaskClient, account: uuid.UUID) -> list[str]:
    """Return the pages that a person of the desk is offered to reopen something of an account."""
    own = browser.get(f"/comptes/{account}")
    pages = [own.text]
    if own.status_code != HTTPStatus.OK:  # a former guardian: the list leads to the pupil
        listed = browser.get("/suspensions").text
        pages = [listed, *(browser.get(path).text for path in re.findall(r'href="(/familles/[0-9a-f-]+)', listed))]
    offered = re.compile(
        rf'href="(/comptes/{account}/(?:suspension/[0-9a-f-]+/reouverture|pas-mon-enfant/[0-9a-f-]+/retour))'
    )
    return list(dict.fromkeys(path for page in pages for path in offered.findall(page)))


def _plain(page: TestResponse) -> str:
    return page.get_data(as_text=True).replace("\u202f", " ").replace("\xa0", " ")
