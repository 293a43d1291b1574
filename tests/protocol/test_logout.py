"""RP-initiated logout (security rows L-01 to L-05)."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.db import db
from idp.oidc import registration
from idp.sessions.models import Session
from tests.builders import PASSWORD, Build
from tests.pages import follow, form_token, heading, sign_in
from tests.protocol.flow import one_database, tokens_for
from tests.relying_party import Attempt, RelyingParty

QUESTION = "Voulez-vous vous déconnecter ?"
SIGNED_OUT = "Vous êtes déconnecté"
BYE = "https://ent.test/bye"


def alive() -> int:
    return len(db.session.scalars(select(Session).where(Session.ended_at.is_(None))).all())


def ask(browser: FlaskClient, **parameters: str) -> Any:
    return browser.get("/logout", query_string=parameters)


def test_l01_without_a_hint_nothing_ends_before_the_person_says_so(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    for page in (
        ask(browser),
        ask(browser, client_id=ent.client_id, post_logout_redirect_uri=BYE, state="s"),
        browser.get("/logout", headers={"Sec-Fetch-Dest": "image", "Referer": "https://evil.test/"}),
        follow(browser, browser.post("/logout")),
        follow(browser, browser.post("/logout", data={"client_id": ent.client_id})),
    ):
        assert page.status_code == 200
        assert heading(page) == QUESTION
        assert alive() == 1
    for token in ("", "x", form_token(app.test_client().get("/connexion"))):
        assert browser.post("/logout", data={"csrf_token": token}).status_code == 400
        assert alive() == 1
    question = ask(browser, client_id=ent.client_id)
    hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', question.get_data(as_text=True)))
    after = browser.post("/logout", data={**hidden, "csrf_token": form_token(question)})
    assert heading(after) == SIGNED_OUT
    assert 'href="https://ent.test/"' in after.get_data(as_text=True)
    assert alive() == 0
    assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["error"] == "login_required"
    assert db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "sign_out")).one().result == "ok"


def test_l01_signed_out_already_is_said_without_a_question(browser: FlaskClient, ent: RelyingParty) -> None:
    for page in (ask(browser), follow(browser, browser.post("/logout")), ask(browser, client_id="nobody", state="s")):
        assert page.status_code == 200
        assert heading(page) == SIGNED_OUT


def test_l02_a_hint_that_is_not_this_session_s_asks_and_leads_nowhere(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    others, other = app.test_client(), build.active()
    sign_in(others, "/connexion", other.username, PASSWORD)
    second = build.ent("Horizon", "horizon.test")
    own = tokens_for(browser, ent)["id_token"]
    head, body, signature = own.split(".")
    cases = {
        "another person": {"id_token_hint": tokens_for(others, ent)["id_token"]},
        "other client": {"id_token_hint": tokens_for(browser, second)["id_token"], "client_id": ent.client_id},
        "modified": {"id_token_hint": f"{head}.{body}.{signature[:-6]}AAAAAA"},
        "unsigned": {"id_token_hint": f"eyJhbGciOiJub25lIn0.{body}."},
        "a word": {"id_token_hint": "hint"},
    }
    for name, parameters in cases.items():
        page = ask(browser, post_logout_redirect_uri=BYE, state="s", **parameters)
        assert page.status_code == 200, name
        assert heading(page) == QUESTION, name
        assert alive() == 2, name


def test_l02_a_hint_of_another_issuer_asks(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tokens_for(browser, ent)["id_token"]
    moved = app.extensions["idp.settings"].model_copy(update={"issuer": "https://other.test"})
    monkeypatch.setattr(app.extensions["idp.server"], "settings", moved)
    page = ask(browser, id_token_hint=token, post_logout_redirect_uri=BYE)
    assert heading(page) == QUESTION
    assert alive() == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_l03_an_expired_hint_of_this_session_ends_it_without_a_question(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account, method: str
) -> None:
    token = tokens_for(browser, ent)["id_token"]
    parameters = {"id_token_hint": token, "post_logout_redirect_uri": BYE, "state": "a b&é"}
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=20)):
        if method == "POST":  # comes from another site without cookies; the GET that it becomes has them
            response = follow(browser, app.test_client().post("/logout", data=parameters))
        else:
            response = ask(browser, **parameters)
    assert response.status_code == 303
    assert response.headers["Location"] == f"{BYE}?state=a+b%26%C3%A9"
    assert alive() == 0
    [cookie] = [line for line in response.headers.getlist("Set-Cookie") if line.startswith("__Host-ss=")]
    assert cookie.startswith("__Host-ss=;")
    assert "Max-Age=0" in cookie


def test_l03_the_tokens_of_the_session_die_with_it(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    tokens = tokens_for(browser, ent)
    ask(browser, id_token_hint=tokens["id_token"])
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 401


def test_l04_only_a_registered_address_is_led_back_to(browser: FlaskClient, build: Build, session: Account) -> None:
    ent = build.ent(post_logout_redirect_uris=[BYE, "https://ent.test/bye?a=b"])
    for uri in (
        "https://ent.test/",
        f"{BYE}/",
        f"{BYE}?x=1",
        f"{BYE}#f",
        "//evil.test",
        "https://ent.test\\@evil.test",
        "https://evil.test/bye",
        "javascript:alert(1)",
        f"{BYE}\r\nX: y",
        "",
    ):
        sign_in(browser, "/connexion", session.username, PASSWORD)
        token = tokens_for(browser, ent)["id_token"]
        page = ask(browser, id_token_hint=token, post_logout_redirect_uri=uri, state="s")
        assert page.status_code == 200, uri
        assert heading(page) == SIGNED_OUT
        text = unescape(page.get_data(as_text=True))
        assert 'href="https://ent.test/"' in text  # the ENT's home, as it was registered
        assert "evil.test" not in text
        assert alive() == 0
    sign_in(browser, "/connexion", session.username, PASSWORD)
    token = tokens_for(browser, ent)["id_token"]
    response = ask(browser, id_token_hint=token, post_logout_redirect_uri="https://ent.test/bye?a=b", state="s")
    assert response.headers["Location"] == "https://ent.test/bye?a=b&state=s"


def test_l05_the_state_goes_with_a_registered_address_alone(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    token = tokens_for(browser, ent)["id_token"]
    secret_state = "state-that-nobody-else-has"
    for parameters in ({}, {"post_logout_redirect_uri": "https://evil.test/"}):
        page = ask(browser, id_token_hint=token, state=secret_state, **parameters)
        assert "Location" not in page.headers
        assert secret_state not in page.get_data(as_text=True)
    response = ask(browser, id_token_hint=token, post_logout_redirect_uri=BYE)  # signed out by now: still its own ENT
    assert response.headers["Location"] == BYE


@one_database
def test_l05_a_request_that_cannot_be_read_ends_nothing(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    token = tokens_for(browser, ent)["id_token"]
    for query in (f"id_token_hint={token}&id_token_hint={token}", "id_token_hint=%ff", "state=" + "x" * 15_000):
        assert heading(browser.get(f"/logout?{query}")) == QUESTION
        assert alive() == 1


def test_l05_a_disabled_client_is_not_led_back_to(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    token = tokens_for(browser, ent)["id_token"]
    registration.disable(ent.client_id)
    page = ask(browser, id_token_hint=token, post_logout_redirect_uri=BYE)
    assert page.status_code == 200
    assert "Location" not in page.headers
