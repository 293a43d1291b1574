"""`/classes`: the board, reminders, the list for the class teacher."""

import io
import re
from datetime import timedelta
from html import unescape
from urllib.parse import urlsplit

import pypdf
import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Route
from sqlalchemy import text

from idp.accounts import emails
from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk import classes
from idp.desk.jobs.models import Job
from idp.desk.statistics.figures import STATES
from idp.families.standing import Group
from idp.outbox.queue import OutboxMessage
from idp.paths import STATIC
from idp.throttle.counters import ThrottleCounter
from tests.builders import LYCEE, Build
from tests.closed import dispute_tie, suspend
from tests.commands.families import link, parent, pupil
from tests.desk.colleagues import Colleagues, post
from tests.desk.paper import last_job
from tests.desk.trial_jobs import do_all
from tests.pages import heading
from tests.statements.lending import hear
from tests.stories.browser import CHROMIUM

REMIND = "/classes/rappel?classe=6e+1"


@pytest.fixture
def waiting(build: Build) -> list[Account]:
    """Two parents of 6e 1 whose mail address waits, one confirmed, one disputed, one in another class."""
    child = pupil(build, "6e 1")
    people = [
        build.active(children=[child], email=None, pending_email=f"p{n}@exemple.fr", family_name=name)
        for n, name in enumerate(("BERNARD", "ADAM"))
    ]
    build.active(children=[child], family_name="CONFIRME")
    closed = build.active(children=[child], email=None, pending_email="d@exemple.fr", family_name="CONTESTE")
    dispute_tie(link(closed, child))
    build.active(children=[pupil(build, "6e 2")], email=None, pending_email="z@exemple.fr", family_name="ZOLA")
    db.session.commit()
    return people


def test_the_board_counts_each_class_and_their_sum_by_one_statement(
    desk: Flask, colleagues: Colleagues, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    sixth, second = pupil(build, "6e 1"), pupil(build, "6e 10")
    build.active(children=[sixth])
    build.active(children=[sixth], email=None, pending_email="a@exemple.fr")
    build.never_activated(children=[sixth], generation=1)
    build.never_activated(children=[second], provisional_expires_at=now() - timedelta(days=1), generation=1)
    parent(build, second)
    dispute_tie(link(parent(build, second), second))
    build.active(children=[second], password_state=PasswordState.BLOCKED)
    parent(build, pupil(build, "2de 7", LYCEE))
    db.session.commit()
    school = build.school()
    heard: list[str] = []
    hear(monkeypatch, heard.append)
    lines, whole, _ = classes.board(school)
    assert len([statement for statement in heard if "guardianship" in statement]) == 1
    monkeypatch.undo()
    assert [state.value for state in STATES] == [
        "en-service", "a-confirmer", "bloque", "nouveau-courrier", "courrier", "courrier-expire", "sans-courrier",
        "conteste",
    ]  # fmt: skip
    assert [(row.name, row.accounts, *(cell.count for cell in row.cells)) for row in (*lines, whole)] == [
        ("6e 1", 3, 1, 1, 0, 1, 0, 0, 0),
        ("6e 10", 4, 0, 0, 1, 0, 1, 1, 1),
        ("", 7, 1, 1, 1, 1, 1, 1, 1),
    ]
    words = colleagues.signed_in().get("/classes").get_data(as_text=True)
    assert words.index("Tout l’établissement</") < words.index("6e 1<"), "a phone shows one class below the other"
    assert words.count("Rappeler par mail") == 2, "of the school and of 6e 1: in 6e 10 no address waits"


def test_a_parent_counts_in_the_class_of_each_child_and_once_in_the_school(
    desk: Flask, colleagues: Colleagues, build: Build
) -> None:
    sixth, fifth = pupil(build, "6e 1"), pupil(build, "5e 2")
    pupil(build, "4e 3")  # a class without accounts is on the board
    build.active(children=[sixth, fifth, pupil(build, "5e 2", given_name="Zoé")])
    build.never_activated(children=[fifth], family_name="SEUL")
    gone = pupil(build, "3e 4")
    gone.left_at = now()
    db.session.commit()
    lines, whole, _ = classes.board(build.school())
    assert [(row.name, row.accounts) for row in (*lines, whole)] == [
        ("4e 3", 0),
        ("5e 2", 2),
        ("6e 1", 1),
        ("", 2),
    ]
    assert Group.BLOCKED not in {cell.state for cell in whole.cells}, "a rare state has no column without accounts"


def test_each_number_of_the_board_leads_to_as_many_accounts(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    sixth, fifth, nowhere = pupil(build, "6e 1"), pupil(build, "5e 2"), pupil(build, "")
    build.active(children=[sixth, fifth])
    build.active(children=[sixth, nowhere], contested_at=now())
    build.active(children=[fifth], password_state=PasswordState.BLOCKED)
    build.never_activated(children=[sixth, fifth], provisional_expires_at=now() - timedelta(days=1))
    build.never_activated(children=[sixth])
    suspend(build.never_activated(children=[sixth]).id)
    parent(build, nowhere)
    held = build.active(children=[sixth, fifth], email=None, pending_email="a@exemple.fr")
    suspend(held.id, sixth.id)
    browser = colleagues.signed_in()
    page = unescape(browser.get("/classes").get_data(as_text=True))
    links = re.findall(r'<a href="(/recherche\?[^"]+)"><span class="vh">[^<]+</span>(\d+)</a>', page)
    assert len(links) == 21
    for url, number in links:
        words = browser.get(url).get_data(as_text=True)
        assert re.search(rf">{number} comptes?( dans cet état, pour|,) \d+ élève", words), (url, number)
    left_out = "Une personne dont tous les liens avec les élèves d’ici sont suspendus"
    suspend(held.id, fifth.id)
    assert left_out in unescape(browser.get("/classes").get_data(as_text=True))


def test_a_school_without_accounts_says_what_comes_first(desk: Flask, colleagues: Colleagues) -> None:
    assert "importez d’abord" in colleagues.signed_in().get("/classes").get_data(as_text=True)


def remind(browser: FlaskClient) -> str:
    answer = post(browser, REMIND, REMIND)
    return answer.headers.get("Location", "") or answer.get_data(as_text=True)


def test_people_whose_address_waits_are_reminded_once_a_week(
    desk: Flask, colleagues: Colleagues, waiting: list[Account]
) -> None:
    browser = colleagues.signed_in()
    page = browser.get(REMIND).get_data(as_text=True)
    assert "Recevront un mail de rappel : 2" in page
    assert not {"CONFIRME", "CONTESTE", "ZOLA"} & set(page.replace("<", " ").replace(">", " ").split())
    assert "exemple.fr" not in page
    assert remind(browser).startswith("/travaux/")
    do_all()
    assert "Mails de rappel envoyés : 2." in browser.get(f"/travaux/{last_job().id}").get_data(as_text=True)
    assert db.session.query(OutboxMessage).filter_by(kind=emails.CONFIRM_EMAIL).count() == 2
    page = browser.get(REMIND).get_data(as_text=True)
    assert "Déjà rappelés depuis moins d’une semaine : 2" in page
    kinds = text("SELECT count(*) FROM audit WHERE kind = 'email.link_sent' AND staff_id IS NOT NULL")
    assert db.session.scalar(kinds) == 2
    assert db.session.query(ThrottleCounter).filter(ThrottleCounter.limit.like("resend_link_ip%")).count() == 0


def test_one_mailbox_of_two_parents_gets_the_second_reminder_later(
    desk: Flask, colleagues: Colleagues, waiting: list[Account]
) -> None:
    for account in waiting:
        account.pending_email = "Famille@exemple.fr" if account is waiting[0] else "famille@exemple.fr"
    db.session.commit()
    browser = colleagues.signed_in()
    page = browser.get(REMIND).get_data(as_text=True).replace("\u00a0", " ")
    assert "Recevront un mail de rappel : 1" in page
    assert "à la même adresse : 1" in page
    assert "BERNARD" not in page, "the two may be separated"
    remind(browser)
    do_all()
    result = browser.get(f"/travaux/{last_job().id}").get_data(as_text=True)
    assert "Mails de rappel envoyés : 1." in result
    assert "à la même adresse : 1. Réessayez plus tard" in result
    db.session.query(ThrottleCounter).filter(ThrottleCounter.limit.like("resend_link%")).delete()
    db.session.commit()
    page = browser.get(REMIND).get_data(as_text=True)
    assert "Recevront un mail de rappel : 1" in page, "the second one, once the pause is over"


def test_two_jobs_send_one_reminder_to_each(desk: Flask, colleagues: Colleagues, waiting: list[Account]) -> None:
    browser = colleagues.signed_in()
    for _ in range(2):
        post(browser, REMIND)
    do_all()
    assert db.session.query(Job).count() == 2
    assert db.session.query(OutboxMessage).filter_by(kind=emails.CONFIRM_EMAIL).count() == 2


def test_the_list_for_the_teacher_has_names_and_neither_codes_nor_addresses(
    desk: Flask, colleagues: Colleagues, build: Build, waiting: list[Account]
) -> None:
    child = pupil(build, "6e 1", given_name="Zoé")
    rest = parent(build, child, family_name="=HYPERLINK(1)", school_email="file@exemple.fr")
    held = build.never_activated(children=[child, waiting[0].children[0]], family_name="DUPONT")
    parent(build, child, family_name="FERME", disabled_at=now())
    browser = colleagues.signed_in(proof_age=timedelta(minutes=11))
    page = browser.get("/classes/liste?classe=6e+1")
    assert heading(page) == "Reste à activer : 6e 1"
    words = page.get_data(as_text=True)
    assert re.findall("<caption>(.*?)</caption>", words) == ["Responsables\u00a0: 4, avec une ligne pour chaque élève"]
    assert re.search(r"Collège des Tilleuls · le \d+(er)?\s\w+\s\d{4}<", words), "the paper says what it is of"
    for secret in (rest.username, held.username, "exemple.fr", "FERME", "CONFIRME", "CONTESTE", "7K4M"):
        assert secret not in words
    file = browser.get("/classes/liste.csv?classe=6e+1")
    assert file.headers["Content-Disposition"] == "attachment; filename=reste-a-activer-6e-1.csv"
    lines = file.data.decode("utf-8-sig").splitlines()
    assert lines[0] == '"classe";"élève";"responsable";"état"'
    assert lines[1:] == [
        '"6e 1";"LEROY Malo";"ADAM Noémie";"adresse mail à confirmer, par le code ou le lien du mail"',
        '"6e 1";"LEROY Malo";"BERNARD Noémie";"adresse mail à confirmer, par le code ou le lien du mail"',
        '"6e 1";"LEROY Malo";"DUPONT Noémie";"compte à activer avec le courrier"',
        '"6e 1";"LEROY Zoé";"\'=HYPERLINK(1) Noémie";"compte à activer : demander un courrier au secrétariat"',
        '"6e 1";"LEROY Zoé";"DUPONT Noémie";"compte à activer avec le courrier"',
    ]


@pytest.mark.parametrize(("page", "count"), [("courriers", 4), ("rappel", 2), ("liste", 2)])
def test_each_page_that_names_families_of_a_class_is_journaled(
    desk: Flask, colleagues: Colleagues, build: Build, waiting: list[Account], page: str, count: int
) -> None:
    build.ent()
    assert colleagues.signed_in().get(f"/classes/{page}?classe=6e+1").status_code == 200
    entry = db.session.query(AuditEntry).filter_by(kind="desk.class_listed").one()
    assert (entry.details["class_name"], entry.details["count"]) == ("6e 1", count)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_printed_board_has_its_totals_once_before_the_first_class(
    colleagues: Colleagues, build: Build, browser_process: Browser
) -> None:
    build.active(children=[pupil(build, "6e 00")])
    html = colleagues.signed_in().get("/classes").get_data(as_text=True)
    line = html.partition("<tbody>")[2].partition("</tbody>")[0]
    html = html.replace(line, "".join(line.replace("6e 00", f"6e {number:02}") for number in range(40)))

    def answer(route: Route) -> None:
        file = STATIC / urlsplit(route.request.url).path.removeprefix("/static/")
        if file.is_file():
            route.fulfill(path=file)
        else:
            route.fulfill(body=html, content_type="text/html; charset=utf-8")

    page = browser_process.new_page()
    page.route("**/*", answer)
    page.goto("http://bureau.test/")
    sheets = [sheet.extract_text() for sheet in pypdf.PdfReader(io.BytesIO(page.pdf(format="A4"))).pages]
    page.close()
    whole = [re.sub(r"\s+", " ", sheet) for sheet in sheets]
    totals = "Tout l’établissement 1 1 0 0 0 0 0"
    assert len(whole) > 1
    assert [sheet.count(totals) for sheet in whole] == [1] + [0] * (len(whole) - 1), "a head would be on each sheet"
    assert whole[0].index(totals) < whole[0].index("6e 00"), "before the classes, which may be many"
    assert not [sheet for sheet in whole if "À faire" in sheet], "what is to do is for the screen"
