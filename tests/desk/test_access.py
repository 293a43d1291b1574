"""Who may open a page of the desk, and what comes first."""

import re
import uuid
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp import languages
from idp.audit.models import AuditEntry
from idp.config import Settings
from idp.db import db
from idp.desk import access
from idp.desk.access import refusal
from idp.desk.staff.models import Role
from idp.operations.doctor.proxy import Arrived
from idp.operations.health import ECHO_HEADER, sign_echo
from idp.web.door.door import Door
from idp.web.errors import ServiceBusyError
from idp.web.http import Request
from tests import databases
from tests.desk.colleagues import Colleagues, post
from tests.pages import form_token, heading
from tests.rows import each_row


def test_a_stranger_is_led_to_the_sign_in_and_back(visitor: FlaskClient) -> None:
    answer = visitor.get("/ma-securite")
    assert answer.headers["Location"] == "/connexion?suite=%2Fma-securite"


def test_the_page_of_a_busy_desk_speaks_of_no_families(
    desk: Flask, visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy() -> None:
        raise ServiceBusyError(3)

    monkeypatch.setitem(desk.view_functions, "sign_in.sign_in", access.public(busy))
    answer = visitor.get("/connexion")
    assert answer.status_code == 503
    assert heading(answer) == "Le bureau est très demandé"
    assert "familles" not in answer.get_data(as_text=True).partition("<main")[2]


def test_who_asks_by_too_long_a_url_is_led_home_and_not_to_the_same_url(visitor: FlaskClient) -> None:
    answer = visitor.get("/connexion?x=" + "x" * 8_300)
    assert (answer.status_code, heading(answer)) == (414, "Cette adresse est trop longue")
    links = re.findall(r'class="btn" href="([^"]*)"', answer.text.partition("<main")[2])
    assert links == ["/"]


def test_a_page_from_memory_names_nobody_whoever_is_signed_in(desk: Flask, colleagues: Colleagues) -> None:
    browser, door = colleagues.signed_in(Role.SECRETARY), desk.wsgi_app
    assert isinstance(door, Door)
    home = browser.get("/")
    assert "Sylvie Marchand" in home.text
    asked = home.request.environ
    names = ("REQUEST_METHOD", "PATH_INFO", "HTTP_COOKIE", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme")
    request = Request({**{name: asked[name] for name in names}, "QUERY_STRING": "x" * 8_300})
    for response, status, title in (
        (door.refuse(request, 414), 414, "Cette adresse est trop longue"),
        (door.shed(request), 503, "Le bureau est très demandé"),
    ):
        page = str(response.body, "utf-8")
        assert (response.status, f"<h1>{title}</h1>" in page) == (status, True)
        assert "Sylvie Marchand" not in page


def test_the_desk_is_french_whatever_the_browser_asks_for(
    visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(languages, "OFFERED", ("fr", "en"))
    page = visitor.get("/connexion?langue=en&ui_locales=en", headers={"Accept-Language": "en"})
    assert '<html lang="fr"' in page.text
    assert "lang=" not in str(page.headers.getlist("Set-Cookie"))


def test_a_form_is_sent_with_the_proof_that_opened_its_page(colleagues: Colleagues) -> None:
    browser = colleagues.signed_in(Role.HEAD)
    token = form_token(browser.get("/equipe/inviter"))
    colleagues.age_proofs(timedelta(minutes=9))
    assert browser.post("/equipe/inviter", data={"csrf_token": token}).status_code == 200
    assert browser.get("/equipe/inviter").headers["Location"] == "/preuve?suite=%2Fequipe%2Finviter"


@each_row(
    ("asked", "back"),
    [
        ("/ma-securite", "/"),
        ("/classes/courriers?classe=6e+1", "/classes"),
        ("/classes/liste?classe=6e+1", "/classes/liste?classe=6e+1"),
        ("/comptes/8a5f2c9e-2a3f-4a6e-9d55-0d6a0b1c2d3e/suspension", "/comptes/8a5f2c9e-2a3f-4a6e-9d55-0d6a0b1c2d3e"),
        ("/comptes/8a5f2c9e-2a3f-4a6e-9d55-0d6a0b1c2d3e/courrier", "/comptes/8a5f2c9e-2a3f-4a6e-9d55-0d6a0b1c2d3e"),
        ("/signalements/8a5f2c9e-2a3f-4a6e-9d55-0d6a0b1c2d3e/x", "/signalements/8a5f2c9e-2a3f-4a6e-9d55-0d6a0b1c2d3e"),
        ("/etablissement/mots-de-passe", "/"),
        ("/droits", "/"),
        ("/preuve", "/"),
        ("/connexion/x", "/"),
        ("/static/desk.css", "/"),
        ("/", "/"),
    ],
)
def test_a_person_who_gives_no_proof_goes_back(colleagues: Colleagues, asked: str, back: str) -> None:
    browser = colleagues.signed_in(Role.HEAD, proof_age=timedelta(minutes=11))
    page = browser.get("/preuve", query_string={"suite": asked}).get_data(as_text=True)
    assert f'<a href="{back}">Annuler</a>' in page


def test_a_person_with_two_posts_chooses_one(colleagues: Colleagues) -> None:
    staff = colleagues.person()
    colleagues.grant(staff, Role.SECRETARY)
    lycee = colleagues.grant(staff, Role.HEAD, uai="0599002P")
    browser, _ = colleagues.session(staff)
    assert heading(browser.get("/etablissements")) == "Choisir un établissement"
    colleagues.grant(staff, Role.ENGINEER)
    assert heading(browser.get("/etablissements")) == "Choisir un rôle"
    assert post(browser, "/etablissements", post=str(lycee.id)).headers["Location"] == "/"
    assert "Lycée Louise-Weber" in browser.get("/").get_data(as_text=True)


@pytest.mark.row("K-17")
@each_row(
    ("headers", "is_taken"),
    [
        ({}, True),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": databases.DESK, "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "https://connexion.exemple.test"}, False),
        ({"Origin": f"{databases.DESK}.ailleurs.test"}, False),
        ({"Origin": databases.DESK.replace("https", "http")}, False),
    ],
)
def test_a_form_of_another_site_is_refused_also_with_the_right_token(
    colleagues: Colleagues, headers: dict[str, str], *, is_taken: bool
) -> None:
    browser = colleagues.signed_in()
    token = form_token(browser.get("/etablissements"))
    answer = browser.post("/deconnexion", data={"csrf_token": token}, headers=headers)
    assert answer.status_code == (303 if is_taken else 400)
    assert is_taken or heading(answer) == "Ce formulaire vient d’un autre site"
    assert is_taken or "Rien n’a été fait" in answer.get_data(as_text=True)
    assert (browser.get("/").status_code == 303) is is_taken


@pytest.mark.row("K-16")
def test_refused_pages_do_not_fill_the_journal(colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal, "_ALL", 3)
    staff = colleagues.person()
    colleagues.grant(staff, Role.SECRETARY)
    ids = [str(uuid.uuid4()) for _ in range(20)]
    for key in ids[:17]:
        browser = colleagues.session(staff)[0]  # a new session is no new budget
        assert browser.get(f"/comptes/{key}").status_code == 404
    entries = db.session.scalars(
        select(AuditEntry.details).where(AuditEntry.kind == "desk.refused").order_by(AuditEntry.id)
    ).all()
    assert [entry["count"] for entry in entries] == [1, 2, 3, 4, 8, 16]
    assert [entry["subject"] for entry in entries[:3]] == ids[:3]
    assert colleagues.signed_in().get(f"/comptes/{ids[0]}").status_code == 404
    assert db.session.query(AuditEntry).filter_by(kind="desk.refused").count() == 7, "another person's are noted"


def test_nobody_chooses_the_post_of_another(colleagues: Colleagues) -> None:
    other = colleagues.grant(colleagues.person(), Role.HEAD)
    staff = colleagues.person()
    colleagues.grant(staff, Role.SECRETARY)
    browser, _ = colleagues.session(staff)
    assert post(browser, "/etablissements", post=str(other.id)).status_code == 404
    assert "Secrétariat" in browser.get("/").get_data(as_text=True)


def test_without_a_provider_of_the_academy_there_is_no_such_door(visitor: FlaskClient) -> None:
    page = visitor.get("/connexion")
    assert "académie »" not in page.get_data(as_text=True)
    assert post(visitor, "/connexion/academie", "/connexion").status_code == 404
    assert visitor.get("/connexion/academie/retour").status_code == 404


def test_the_desk_says_to_idp_doctor_that_it_is_the_desk(desk: Flask, settings: Settings) -> None:
    seen = desk.test_client().get("/healthz", headers={ECHO_HEADER: sign_echo(settings)}).get_json()["seen"]
    assert Arrived(**seen).is_desk
