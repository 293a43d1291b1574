"""C-01 and C-04 for clients whose charter this service shows, between the sign-in and the code."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from tests.builders import PASSWORD, Build
from tests.charter.tokens import acceptances
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.relying_party import Attempt, RelyingParty

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
    claims = ent.tokens(browser, answer["code"], attempt)["claims"]
    assert claims["charter_accepted"] is True
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
