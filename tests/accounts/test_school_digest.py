"""Mails to schools about their notices: at most one a day, and each open notice in one of them."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from functools import partial
from pathlib import Path

import pytest
import time_machine
from flask import Flask

from idp.accounts import school_digest, school_notices
from idp.accounts.models import Account, School
from idp.accounts.school_notices import Kind
from idp.clock import PARIS
from idp.db import db
from idp.mail.smtp import Transport
from idp.outbox.worker import Worker
from idp.services import services_of
from tests import forked, killing
from tests.builders import COLLEGE, LYCEE, Build
from tests.email_confirmation.post import html_of, text_of
from tests.mail.servers import Mailbox, smtp_server
from tests.services import change_services

JOBS = {school_digest.DIGESTS: school_digest.DIGESTS_PERIOD}
MORNING = datetime(2027, 1, 11, 6, 0, tzinfo=UTC)  # 7 h in Paris
SCHOOL_EMAIL = "secretariat@college.test"


@pytest.fixture
def mailbox(app: Flask) -> Iterator[Mailbox]:
    mailbox, settings = Mailbox(), services_of(app).settings
    with smtp_server(mailbox) as port:
        here = settings.model_copy(update={"smtp_url": type(settings.smtp_url)(f"smtp://127.0.0.1:{port}")})
        change_services(app, transport=Transport(here))
        yield mailbox


def work(app: Flask) -> None:
    db.session.rollback()
    worker = Worker(services_of(app).outbox_handlers, jobs=JOBS)
    while worker.run_once():
        pass
    db.session.expire_all()


def with_address(build: Build, uai: str = COLLEGE, email: str | None = SCHOOL_EMAIL) -> School:
    school = build.school(uai)
    school.email = email
    db.session.commit()
    return school


def notice(account: Account, school: School, kind: Kind = Kind.LETTER_GUESSED, other: Account | None = None) -> None:
    school_notices.add(kind, account.id, [school.id], other_account_id=other.id if other else None)
    db.session.commit()


def at(**time: float) -> time_machine.travel:
    return time_machine.travel(MORNING + timedelta(**time), tick=False)


def days_of(mails: list[EmailMessage]) -> Counter[date]:
    return Counter(mail["Date"].datetime.astimezone(PARIS).date() for mail in mails)


def test_school_gets_one_mail_a_day_with_what_is_new(app: Flask, build: Build, mailbox: Mailbox) -> None:
    school = with_address(build)
    first, second, third = (build.active(given_name=name) for name in ("Aline", "Brice", "Chloé"))
    with at(hours=-2):
        notice(first, school)
    with at(hours=1):
        work(app)
        notice(second, school)
        work(app)
    assert [mail["To"] for mail in mailbox.mails()] == [SCHOOL_EMAIL]
    with at(hours=10):
        work(app)
        notice(third, school)
    assert len(mailbox.mails()) == 1, "the day has had its mail"
    for day in (1, 2):
        with at(days=day):
            work(app)
    texts = [text_of(mail) for mail in mailbox.mails()]
    assert [[name for name in ("Aline", "Brice", "Chloé") if name in text] for text in texts] == [
        ["Aline"],
        ["Brice", "Chloé"],
    ]


@pytest.mark.parametrize("contact", ["equipe@academie.test", ""])
def test_mail_names_the_contact_for_answers(app: Flask, build: Build, mailbox: Mailbox, contact: str) -> None:
    school = with_address(build)
    settings = build.settings.model_copy(update={"contact_mail": contact})
    digest = partial(school_digest.hand_over, settings=settings)
    change_services(app, outbox_handlers={**services_of(app).outbox_handlers, school_digest.DIGEST: digest})
    with at():
        notice(build.active(), school)
        work(app)
    [mail] = mailbox.mails()
    where = f" ({contact})" if contact else ""
    for part in (text_of(mail), html_of(mail)):
        assert f"à l’équipe qui gère Scolarité Services{where} : elle la note" in part.replace("\u00a0", " ")


def test_mail_names_children_and_guardians_and_nothing_else(app: Flask, build: Build, mailbox: Mailbox) -> None:
    school = with_address(build)
    child = build.child("Malo <b>", "O'NEILL")
    account = build.active(children=[child], email="secrete@exemple.fr", school_email="fichier@exemple.fr")
    other = build.active(given_name="Karim", family_name="BEN & FILS", email="secrete@exemple.fr")
    with at():
        for kind in Kind:
            pair = kind in {Kind.LETTER_DOUBT, Kind.SHARED_MAILBOX}
            notice(account, school, kind, other if pair else None)
        work(app)
    [mail] = mailbox.mails()
    text, html = text_of(mail), html_of(mail)
    for name in ("Malo <b> O'NEILL", "Mme Noémie LEROY-VANDEPUTTE", "Karim BEN & FILS", "Collège des Tilleuls"):
        assert name in text
    assert "Malo &lt;b&gt; O&#39;NEILL" in html
    assert text.count("Malo") == len(Kind)
    assert "\n\nVérifiez chaque point" in text.replace("\r", "")
    for secret in (account.username, other.username, "secrete@", "fichier@", "http", "6e 1", "argon2"):
        assert secret not in text
        assert secret not in html


@pytest.mark.parametrize(
    ("too_early", "due"),
    [
        (datetime(2027, 3, 27, 5, 59, tzinfo=UTC), datetime(2027, 3, 27, 6, 0, tzinfo=UTC)),  # winter
        (datetime(2027, 3, 28, 4, 59, tzinfo=UTC), datetime(2027, 3, 28, 5, 0, tzinfo=UTC)),  # to summer time
        (datetime(2027, 10, 31, 5, 59, tzinfo=UTC), datetime(2027, 10, 31, 6, 0, tzinfo=UTC)),  # to winter time
    ],
)
def test_mail_goes_at_seven_in_paris_in_summer_and_in_winter(
    app: Flask, build: Build, mailbox: Mailbox, too_early: datetime, due: datetime
) -> None:
    school, account = with_address(build), build.active()
    with time_machine.travel(too_early, tick=False):
        notice(account, school)
        work(app)
    assert mailbox.mails() == []
    with time_machine.travel(due, tick=False):
        work(app)
    assert len(mailbox.mails()) == 1


def test_school_without_address_or_news_gets_no_mail(app: Flask, build: Build, mailbox: Mailbox) -> None:
    silent, quiet, account = build.school(LYCEE), with_address(build), build.active()
    with at():
        notice(account, silent)
        notice(account, quiet)
        school_notices.settle(account.id, by="somebody", school=quiet)
        db.session.commit()
        work(app)
        assert mailbox.mails() == []
        with_address(build, LYCEE, "lycee@exemple.test")
    with at(hours=3):
        work(app)
    assert [mail["To"] for mail in mailbox.mails()] == ["lycee@exemple.test"], "told once it can be"


def test_child_added_to_an_open_notice_is_in_the_next_mail(app: Flask, build: Build, mailbox: Mailbox) -> None:
    """« L’établissement sera prévenu par mail »: also for the second child, after a mail about the first one."""
    school, first, second = with_address(build), build.child("Aline"), build.child("Brice")
    account = build.active(children=[first, second])
    for day in range(5):
        with at(days=day):
            if day < 2:
                school_notices.add(Kind.NOT_GUARDIAN, account.id, {school.id: [(first, second)[day].id]})
            elif day < 4:
                school_notices.add(Kind.OTHER_MAILBOX, account.id, [school.id])
            db.session.commit()
            work(app)
    texts = [text_of(mail) for mail in mailbox.mails()]
    assert ["Brice" in text for text in texts] == [False, True, True, True]
    assert len(texts) == 4, "a report that came twice is told twice"


def test_same_letter_typed_again_brings_no_mail_every_day(app: Flask, build: Build, mailbox: Mailbox) -> None:
    school, account, other = with_address(build), build.active(), build.active(given_name="Karim")
    for day in range(3):
        with at(days=day):
            notice(account, school, Kind.LETTER_DOUBT, other)
            work(app)
    assert len(mailbox.mails()) == 1


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (Kind.NOT_GUARDIAN, "Une personne qui a le courrier de Mme Noémie LEROY-VANDEPUTTE a répondu"),
        (Kind.NOT_GUARDIAN, "« Je ne suis pas le représentant légal ». Ce compte est fermé."),
        (Kind.OTHER_MAILBOX, "la personne qui lit l’adresse mail de votre fichier dit que ce n’est pas elle."),
        (Kind.EMAIL_CHANGE_STOPPED, "LEROY-VANDEPUTTE a été arrêté. Quelqu’un connaissait son mot de passe."),
        (Kind.LETTER_DOUBT, "Une personne dont le compte est supprimé a ajouté le courrier de Mme Noémie"),
    ],
)
def test_mail_names_the_author_of_the_event(
    app: Flask, build: Build, mailbox: Mailbox, kind: Kind, sentence: str
) -> None:
    """The holder of a letter or the reader of a mailbox may be another person than the account's."""
    with at():
        notice(build.active(), with_address(build), kind)
        work(app)
    [mail] = mailbox.mails()
    assert sentence in " ".join(text_of(mail).split())


def test_mail_says_that_somebody_called(app: Flask, build: Build, mailbox: Mailbox) -> None:
    with at():
        account, school = build.active(), with_address(build)
        school_notices.add(Kind.NOT_GUARDIAN, account.id, [school.id], taken_by="desk secretary x")
        db.session.commit()
        work(app)
    [mail] = mailbox.mails()
    text = " ".join(text_of(mail).split())
    assert "Au téléphone, quelqu’un a dit au nom de Mme Noémie LEROY-VANDEPUTTE" in text
    assert "courrier" not in text.partition("Au téléphone")[2].partition(".")[0]


def test_delayed_mail_includes_notices_created_while_it_waited(app: Flask, build: Build, mailbox: Mailbox) -> None:
    school = with_address(build)
    mailbox.at_rcpt = "451 later"
    for day, name in enumerate(("Aline", "Brice", "Chloé")):
        with at(days=day):
            notice(build.active(given_name=name), school)
            work(app)
    mailbox.at_rcpt = "250 OK"
    for hours in (2, 3):
        with at(days=2, hours=hours):
            work(app)
    [mail] = mailbox.mails()
    assert all(name in text_of(mail) for name in ("Aline", "Brice", "Chloé"))


def test_notices_of_a_refused_mail_are_in_the_next_mail(app: Flask, build: Build, mailbox: Mailbox) -> None:
    school = with_address(build)
    mailbox.at_rcpt = "550 no such user"
    with at():
        notice(build.active(given_name="Aline"), school)
        work(app)
    mailbox.at_rcpt = "250 OK"
    with_address(build, email="bonne@college.test")
    for day in (1, 2):
        with at(days=day):
            work(app)
    [mail] = mailbox.mails()
    assert (mail["To"], "Aline" in text_of(mail)) == ("bonne@college.test", True)


def test_lost_server_response_causes_no_second_mail_that_day(app: Flask, build: Build, mailbox: Mailbox) -> None:
    school = with_address(build)
    mailbox.at_data = "drop"
    with at():
        notice(build.active(), school)
        work(app)
    mailbox.at_data = "250 OK"
    for hours in (1, 2, 12):
        with at(hours=hours):
            work(app)
    assert len(mailbox.mails()) == 1
    for day in (1, 2):
        with at(days=day, minutes=1):
            work(app)
    assert list(days_of(mailbox.mails()).values()) == [1, 1], "and it goes again, since nobody knows"


@pytest.mark.parametrize(
    ("act", "points", "days"),
    [
        ("killed", killing.WRITES, 30),
        pytest.param("killed", killing.STATEMENTS, 70, marks=pytest.mark.long),
        ("many", "", 4),
    ],
)
def test_killed_process_causes_no_duplicate_mail_and_no_lost_notice(
    build: Build, tmp_path: Path, act: str, points: str, days: int
) -> None:
    school, mailbox = with_address(build), Mailbox()
    child = build.child()
    accounts = [build.never_activated(given_name=f"Parent{n}x", children=[child]) for n in range(days)]
    keys = [account.id.hex for account in accounts]
    db.session.rollback()
    with smtp_server(mailbox) as port:
        order = {
            "act": act, "points": points, "database": build.settings.database_url, "smtp": f"smtp://127.0.0.1:{port}",
            "start": MORNING.isoformat(), "school": school.id.hex, "accounts": keys,
        }  # fmt: skip
        (tmp_path / "order").write_text(json.dumps(order))
        done = forked.run("tests.accounts.digest_processes", str(tmp_path / "order"), timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    story = json.loads(done.stdout)
    written = len(story) or days
    texts = [text_of(mail) for mail in mailbox.mails()]
    assert max(days_of(mailbox.mails()).values()) == 1
    counts = [sum(f"Parent{n}x" in text for text in texts) for n in range(written)]
    assert min(counts) >= 1
    if act == "many":
        assert counts == [1] * days
    else:
        assert story[-1] == "", "the last worker lived"
        assert "COMMIT" in story
        assert any(text.startswith("UPDATE school ") for text in story), story
