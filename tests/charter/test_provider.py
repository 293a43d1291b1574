"""The charter that this service shows: before the code, its Markdown, and « Ma charte » (C-01, C-04)."""

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.charter import service
from idp.charter.models import CharterVersion
from idp.clients import registry
from idp.clients.models import Client, ClientSchool
from idp.clock import now
from idp.db import db
from tests.builders import LYCEE, PASSWORD, Build
from tests.charter.tokens import acceptances
from tests.my_account.steps import enter, text_of
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row

CHARTER = "Charte ENT"


@pytest.fixture
def ent(build: Build) -> RelyingParty:
    ent = build.ent(charter="provider")
    build.publish(ent, "1")
    return ent


def _accept(browser: FlaskClient, page: TestResponse, version: str, **more: str) -> TestResponse:
    return submit(browser, page, accepte="y", version=version, **more)


def _refusal(page: TestResponse) -> str:
    start = page.text.index("/charte/refus")
    return page.text[start : page.text.index('"', start)].replace("&amp;", "&")


@pytest.mark.row("C-01")
def test_the_charter_is_accepted_before_the_code(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    account, attempt = build.active(), Attempt()
    page = sign_in(browser, ent.url(attempt), account.username, PASSWORD)
    assert heading(page) == CHARTER
    assert 'name="version" value="1"' in page.text
    assert "<h2>Charte</h2>\n<p>Soyons polis.</p>" in page.text
    assert "checked" not in page.text
    moment = now() + timedelta(seconds=3)
    with time_machine.travel(moment, tick=False):
        answer = ent.answer(_accept(browser, page, "1"))
    assert ent.tokens(browser, answer["code"], attempt)["claims"]["charter_accepted"] is True
    [acceptance] = acceptances()
    assert (acceptance.account_id, acceptance.accepted_at, acceptance.ip) == (account.id, moment, "127.0.0.1")
    assert "code" in ent.answer(browser.get(ent.url(Attempt(), prompt="none")))


@pytest.mark.row("C-01")
def test_refused_charter_gives_no_code_and_allows_sign_out(
    browser: FlaskClient, build: Build, ent: RelyingParty, attempt: Attempt
) -> None:
    page = sign_in(browser, ent.url(attempt), build.active().username, PASSWORD)
    answer = ent.answer(follow(browser, browser.get(_refusal(page))))
    assert (answer["error"], answer["state"]) == ("access_denied", attempt.state)
    assert "code" not in answer
    assert acceptances() == []
    journal = db.session.scalars(select(AuditEntry.result).where(AuditEntry.kind == "charter.refused")).all()
    assert journal == ["refused"]
    assert heading(follow(browser, browser.get(ent.url(Attempt())))) == CHARTER, "nothing is kept against them"
    assert "Se déconnecter" in browser.get("/mon-compte").text
    assert heading(submit(browser, browser.get("/logout"))) == "Vous êtes déconnecté"


@pytest.mark.row("C-01")
def test_an_unticked_box_is_refused_with_an_instruction(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    page = sign_in(browser, ent.url(Attempt()), build.active().username, PASSWORD)
    again = submit(browser, page, version="1")
    assert heading(again) == CHARTER
    assert "Cochez la case pour accepter" in again.text
    assert "<title>Erreur" in again.text
    assert acceptances() == []


@pytest.mark.row("C-01")
def test_a_new_version_has_to_be_accepted_again(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    _accept(browser, sign_in(browser, ent.url(Attempt()), build.active().username, PASSWORD), "1")
    build.publish(ent, "2", "Nouvelle règle.")
    assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["error"] == "consent_required"
    page = follow(browser, browser.get(ent.url(Attempt())))
    assert "Nouvelle règle." in page.text
    assert "code" in ent.answer(_accept(browser, page, "2"))
    assert len(acceptances()) == 2


@pytest.mark.row("C-04")
def test_acceptance_of_another_version_is_refused(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    page = sign_in(browser, ent.url(Attempt()), build.active().username, PASSWORD)
    build.publish(ent, "2", "Nouvelle règle.")
    for version in ("1", "3", "", "x" * 500, "2\x00"):
        again = _accept(browser, page, version)
        assert heading(again) == CHARTER
        assert "La charte a changé entre-temps" in again.text
        assert "Nouvelle règle." in again.text
    assert acceptances() == []


@pytest.mark.row("C-04")
def test_two_clicks_create_one_record_and_one_code(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    page = sign_in(browser, ent.url(Attempt()), build.active().username, PASSWORD)
    assert "code" in ent.answer(_accept(browser, page, "1"))
    second = _accept(browser, page, "1")
    assert second.headers["Location"] == "https://ent.test/", "the ENT has its answer: it is entered anew"
    assert len(acceptances()) == 1


@pytest.mark.row("C-02")
def test_acceptance_without_a_session_is_refused(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    page = sign_in(browser, ent.url(Attempt()), build.active().username, PASSWORD)
    place, data = page.request.full_path, {"accepte": "y", "version": "1"}
    stranger = app.test_client()
    token = form_token(stranger.get("/connexion"))
    for answer in (
        stranger.post(place, data={**data, "csrf_token": token}),
        stranger.post("/charte", data={**data, "csrf_token": token}),
        stranger.get("/charte/refus"),
        browser.post(place, data=data),
    ):
        assert answer.status_code == 400
    browser.delete_cookie("__Host-ss", domain="connexion.exemple.test")
    assert browser.post(place, data={**data, "csrf_token": form_token(page)}).status_code == 303, "to the sign-in"
    assert acceptances() == []


_HOSTILE = """# Titre <script>alert(1)</script>

<script>alert(2)</script>

<img src=x onerror=alert(3)>

![image](https://evil.test/x.png)

[lien](javascript:alert(4)) [sûr](https://ent.test/aide)

[données](data:text/html,<script>alert(5)</script>)

<a href="x" onclick="alert(6)">a</a> {{ 7*7 }}

`<b>code</b>`
"""


@pytest.mark.row("C-02")
def test_sign_out_in_another_tab_leads_to_sign_in_and_back_to_the_charter(
    browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    page = sign_in(browser, ent.url(Attempt()), parent.username, PASSWORD)
    browser.delete_cookie("__Host-ss", domain="connexion.exemple.test")
    for url in (page.request.full_path, _refusal(page)):
        sign_in_page = follow(browser, browser.get(url))
        assert heading(sign_in_page) == "Connexion"
    assert heading(submit(browser, sign_in_page, identifiant=parent.username, mot_de_passe=PASSWORD)) == CHARTER


@pytest.mark.row("C-05")
def test_markdown_becomes_text_and_never_script(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    build.publish(ent, "2", _HOSTILE)
    page = sign_in(browser, ent.url(Attempt()), build.active().username, PASSWORD)
    prose = page.text[page.text.index('<div class="prose') : page.text.index("<form")]
    for tag in ("<script", "<img", '<a href="x"', '<a href="javascript', '<a href="data', "<b>", "<h1"):
        assert tag not in prose
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in prose
    assert '<a href="https://ent.test/aide" rel="noopener noreferrer nofollow">sûr</a> (ent.test)' in prose
    assert "{{ 7*7 }}" in prose


REL = 'rel="noopener noreferrer nofollow"'


@pytest.mark.row("C-05")
def test_a_link_names_the_host_that_it_leads_to() -> None:
    html = service.as_html("Lisez [educonnect.gouv.fr](https://loin.example/a?b=1&c=2 'Aide').")
    assert html == (
        f'<p>Lisez <a href="https://loin.example/a?b=1&amp;c=2" {REL}>educonnect.gouv.fr</a> (loin.example).</p>\n'
    )
    assert service.as_html("<https://ent.test/aide>") == (
        f'<p><a href="https://ent.test/aide" {REL}>https://ent.test/aide</a></p>\n'
    ), "words that are the address say its host already"
    assert "(xn--exmple-cva.fr)" in service.as_html("[a](https://exémple.fr/)"), "no letter that looks like another"


@each_row(
    "url",
    [
        "http://ent.test/",
        "//ent.test/",
        "/deconnexion",
        "aide.html",
        "#bas",
        "javascript:alert(1)",
        "data:text/html,x",
        "mailto:a@b.fr",
        "https://bonne.fr@ailleurs.example/",
        "https:\\\\ailleurs.example/",
        "https://[::1/",
        "https://ent.test:x/",
        "https:///chemin",
    ],
)
@pytest.mark.row("C-05")
def test_another_link_is_text(url: str) -> None:
    text = f"[aide]({url}) et [aide][1]\n\n[1]: {url}"
    assert "<a" not in service.as_html(text)
    assert service.hosts(text) == []


def test_the_hosts_of_all_links_are_listed_once() -> None:
    text = "# [a](https://b.fr/1)\n\n- [c](https://B.fr/2) et <https://a.fr/>\n- [d](http://non.fr)"
    assert service.hosts(text) == ["a.fr", "b.fr"]


PAGE = "/mon-compte/charte"
MORNING = datetime(2026, 9, 2, 18, 51, tzinfo=UTC)  # 20 h 51 in Paris


def _sign_in_and_accept(ent: RelyingParty, account_id: uuid.UUID, version: str) -> None:
    client = registry.find(ent.client_id, fresh=True)
    assert client is not None
    service.accept(client.key, account_id, version, ip="", shown_by="ent")


def _read(html: str) -> list[str]:
    return re.findall(rf'href="({PAGE}/[^"]+)"', html)


def _version(ent: RelyingParty, version: str) -> uuid.UUID:
    statement = select(CharterVersion.id).join(Client, Client.id == CharterVersion.client_id)
    [charter_version] = db.session.scalars(
        statement.where(Client.client_id == ent.client_id, CharterVersion.version == version)
    )
    return charter_version


def test_each_ent_of_my_schools_is_listed_with_what_i_accepted(browser: FlaskClient, build: Build) -> None:
    account = build.active(children=[build.child(), build.child("Inès", uai=LYCEE)])
    passerelle, horizon = build.ent(), build.ent("Horizon", "lycee.test", uais=[LYCEE])
    build.ent("Sans charte", "sans.test")
    with time_machine.travel(MORNING, tick=False):
        build.publish(passerelle, "1", "# Charte\n\nPremière version.")
        build.publish(horizon, "2026-09")
        _sign_in_and_accept(passerelle, account.id, "1")
    enter(browser, account)
    page = browser.get(PAGE)
    text = text_of(page)
    assert heading(page) == "Ma charte"
    assert "Passerelle acceptée Version 1, le 2 septembre 2026 à 20 h 51 Lire la charte de Passerelle" in text
    assert "Horizon Version 2026-09. Pas encore acceptée : elle vous sera proposée à l’entrée." in text
    assert "Sans charte" not in text.partition(" Ma charte ")[2]  # the links to all ENTs are above the title
    assert "Acceptée pour 1 ENT sur 2" in text_of(browser.get("/mon-compte"))


def test_a_new_version_is_pending_and_the_former_stays_readable(browser: FlaskClient, build: Build) -> None:
    account, ent = build.active(), build.ent()
    with time_machine.travel(MORNING, tick=False):
        build.publish(ent, "1", "# Charte\n\nPremière version.")
        _sign_in_and_accept(ent, account.id, "1")
    build.publish(ent, "2", "# Charte\n\nSeconde version.")
    enter(browser, account)
    page = browser.get(PAGE)
    text = text_of(page)
    assert "Version 2. Pas encore acceptée" in text
    assert "Ancienne version 1, acceptée le 2 septembre 2026 à 20 h 51" in text
    current, former = (text_of(browser.get(url)) for url in _read(page.text))
    assert "Seconde version." in current
    assert "Première version." in former
    assert "Vous l’avez acceptée le 2 septembre 2026 à 20 h 51." in former


def test_accepted_charters_stay_when_the_ent_no_longer_serves_the_school(browser: FlaskClient, build: Build) -> None:
    account, ent, other = build.active(), build.ent("Ancien"), build.ent("Fermé", "ferme.test")
    for client in (ent, other):
        build.publish(client, "1")
        _sign_in_and_accept(client, account.id, "1")
    rows = {row.name: row for row in db.session.query(Client)}
    db.session.execute(delete(ClientSchool).where(ClientSchool.client_id == rows["Ancien"].id))
    rows["Fermé"].disabled_at = now()
    db.session.commit()
    enter(browser, account)
    links = _read(browser.get(PAGE).text)
    assert len(links) == 2
    assert [heading(browser.get(url)) for url in links] == ["Charte de Ancien", "Charte de Fermé"]


def test_a_version_of_an_ent_that_is_not_mine_is_not_found(browser: FlaskClient, build: Build) -> None:
    account, ent = build.active(), build.ent("Horizon", uais=[LYCEE])
    build.publish(ent, "1", "# Charte\n\nSecret du lycée.")
    enter(browser, account)
    theirs = str(_version(ent, "1"))
    answers = [browser.get(f"{PAGE}/{value}") for value in (theirs, str(uuid.uuid4()), "1", "x" * 500, "é", "..%2f")]
    assert {answer.status_code for answer in answers} == {404}
    assert all("Secret du lycée" not in answer.text for answer in answers)
    assert "Horizon" not in browser.get(PAGE).text


def test_an_acceptance_of_another_parent_is_not_listed(browser: FlaskClient, build: Build) -> None:
    account, other, ent = build.active(), build.active(), build.ent()
    build.publish(ent, "1")
    _sign_in_and_accept(ent, other.id, "1")
    enter(browser, account)
    assert "acceptée Version" not in text_of(browser.get(PAGE))
    assert "Vous l’avez acceptée" not in text_of(browser.get(_read(browser.get(PAGE).text)[0]))
