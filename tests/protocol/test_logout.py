"""RP-initiated logout (security rows L-01 to L-05)."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.db import db
from idp.registration import registrations
from idp.sessions.models import Session
from tests.builders import LYCEE, PASSWORD, Build
from tests.pages import follow, form_token, heading, hidden, sign_in, text_beside_menu
from tests.protocol.flow import tokens_for
from tests.relying_party import Attempt, RelyingParty

QUESTION = "Voulez-vous vous déconnecter ?"
SIGNED_OUT = "Vous êtes déconnecté"
BYE = "https://ent.test/bye"
INVALID = "invalid post_logout_redirect_uri"


def alive() -> int:
    return len(db.session.scalars(select(Session).where(Session.ended_at.is_(None))).all())


def ask(browser: FlaskClient, **parameters: str) -> Any:
    return browser.get("/logout", query_string=parameters)


def confirm(browser: FlaskClient, question: TestResponse) -> TestResponse:
    assert heading(question) == QUESTION
    return browser.post(question.request.full_path.rstrip("?"), data=hidden(question))


@pytest.mark.row("L-01")
def test_without_a_hint_nothing_ends_before_the_person_says_so(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RP-Initiated Logout 1.0, 2, 6.
    for page in (
        ask(browser),
        ask(browser, client_id=ent.client_id, post_logout_redirect_uri=BYE, state="s"),
        browser.get("/logout", headers={"Sec-Fetch-Dest": "image", "Referer": "https://evil.test/"}),
        follow(browser, browser.post("/logout")),
        follow(browser, browser.post("/logout", data={"client_id": ent.client_id})),
    ):
        assert (page.status_code, heading(page)) == (200, QUESTION)
        assert alive() == 1
    for token in ("", "x", form_token(app.test_client().get("/connexion"))):
        assert browser.post("/logout", data={"csrf_token": token}).status_code == 400
        assert alive() == 1
    after = confirm(browser, ask(browser, client_id=ent.client_id))
    assert heading(after) == SIGNED_OUT
    assert 'href="https://ent.test/"' in after.get_data(as_text=True)
    assert alive() == 0
    assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["error"] == "login_required"
    assert db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "sign_out")).one().result == "ok"


@pytest.mark.row("L-01")
@pytest.mark.parametrize("renewed", [False, True])
def test_without_a_named_ent_the_page_links_to_the_last_entered_ent(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account, *, renewed: bool
) -> None:
    # RP-Initiated Logout 1.0, 3.
    second = build.ent("Horizon", "horizon.test", home_uri="https://horizon.test/", uais=[LYCEE], audience="everyone")
    third = build.ent("Presqu’île", "presquile.test", uais=[LYCEE], audience="everyone")
    for minutes, party in enumerate((third, second)):
        with time_machine.travel(datetime.now(UTC) + timedelta(minutes=minutes)):
            tokens_for(browser, party)
    if renewed:
        sign_in(browser, "/connexion", session.username, PASSWORD)
    after = confirm(browser, ask(browser))
    assert heading(after) == SIGNED_OUT
    assert re.findall(r'class="btn" href="([^"]+)"', after.text) == ["https://horizon.test/"]
    # a new session that has used no ENT: the link leads to an ENT of the school
    sign_in(browser, "/connexion", session.username, PASSWORD)
    assert re.findall(r'class="btn" href="([^"]+)"', confirm(browser, ask(browser)).text) == ["https://ent.test/"]


@pytest.mark.row("L-01")
def test_a_signed_out_browser_gets_no_question(browser: FlaskClient, ent: RelyingParty) -> None:
    # RP-Initiated Logout 1.0, 4.
    for page in (ask(browser), follow(browser, browser.post("/logout")), ask(browser, client_id="nobody", state="s")):
        assert (page.status_code, heading(page)) == (200, SIGNED_OUT)


@pytest.mark.row("L-02")
def test_a_hint_of_another_session_asks_and_does_not_redirect(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    # RP-Initiated Logout 1.0, 2.
    others, other = app.test_client(), build.active()
    sign_in(others, "/connexion", other.username, PASSWORD)
    second = build.ent("Horizon", "horizon.test")
    head, body, signature = tokens_for(browser, ent)["id_token"].split(".")
    cases = {
        "another person": {"id_token_hint": tokens_for(others, ent)["id_token"]},
        "other client": {"id_token_hint": tokens_for(browser, second)["id_token"], "client_id": ent.client_id},
        "modified": {"id_token_hint": f"{head}.{body}.{signature[:-6]}AAAAAA"},
        "unsigned": {"id_token_hint": f"eyJhbGciOiJub25lIn0.{body}."},
        "a word": {"id_token_hint": "hint"},
        "a forgery for a client": {"id_token_hint": "x.y.z", "client_id": ent.client_id},
    }
    for name, parameters in cases.items():
        page = ask(browser, post_logout_redirect_uri=BYE, state="s", **parameters)
        assert page.status_code == 200, name
        assert heading(page) == QUESTION, name
        assert alive() == 2, name
        after = confirm(browser, page)
        assert (heading(after), "Location" in after.headers) == (SIGNED_OUT, False), name
        assert alive() == 1, "the other person's"
        sign_in(browser, "/connexion", session.username, PASSWORD)


@pytest.mark.row("L-03")
def test_a_hint_of_a_former_session_of_the_same_person_asks_and_then_leads_back(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RP-Initiated Logout 1.0, 2.
    token = tokens_for(browser, ent)["id_token"]
    confirm(browser, ask(browser))
    sign_in(browser, "/connexion", session.username, PASSWORD)
    question = ask(browser, id_token_hint=token, post_logout_redirect_uri=BYE, state="a&b")
    assert alive() == 1
    assert confirm(browser, question).headers["Location"] == f"{BYE}?state=a%26b"
    assert alive() == 0


@pytest.mark.row("L-01")
def test_a_client_id_redirects_to_the_ent_after_the_confirmation(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RP-Initiated Logout 1.0, 2, 3.
    named = {"client_id": ent.client_id, "state": "s"}
    for uri in ("https://ent.test/", f"{BYE}?x=1", "https://evil.test/"):
        after = confirm(browser, ask(browser, **named, post_logout_redirect_uri=uri))
        assert heading(after) == SIGNED_OUT, uri
        assert "evil.test" not in text_beside_menu(after)
        sign_in(browser, "/connexion", session.username, PASSWORD)
    question = ask(browser, **named, post_logout_redirect_uri=BYE)
    assert alive() == 1
    after = confirm(browser, question)
    assert after.headers["Location"] == f"{BYE}?state=s"
    assert alive() == 0
    assert heading(ask(browser, **named, post_logout_redirect_uri=BYE)) == SIGNED_OUT, "nobody says yes to it"


@pytest.mark.row("L-03")
def test_a_post_too_long_for_a_url_asks_and_then_signs_out(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RP-Initiated Logout 1.0, 2. A POST from another site has no cookies. It must not redirect back as if nobody
    # were signed in.
    token, state = tokens_for(browser, ent)["id_token"], "é" * 1300
    parameters = {"id_token_hint": token, "post_logout_redirect_uri": BYE, "state": state}
    question = app.test_client().post("/logout", data=parameters)
    assert heading(question) == QUESTION
    assert alive() == 1
    assert {name: hidden(question)[name] for name in parameters} == parameters
    own = form_token(ask(browser))  # as the browser's cookie would have it
    after = browser.post("/logout", data={**parameters, "csrf_token": own})
    assert after.headers["Location"] == f"{BYE}?{urlencode({'state': state})}"
    assert alive() == 0


@pytest.mark.row("L-03")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_expired_hint_of_this_session_ends_it_without_a_question(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account, method: str
) -> None:
    # RP-Initiated Logout 1.0, 2; Security row L-03.
    token = tokens_for(browser, ent)["id_token"]
    ignored = {"logout_hint": "nobody@exemple.fr \u00e9", "ui_locales": "xx-% de fr-FR", "unknown": "x"}
    parameters = {"id_token_hint": token, "post_logout_redirect_uri": BYE, "state": "a b&é", **ignored}
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=20)):
        if method == "POST":  # no cookies from another site; the GET after the redirect has them
            response = follow(browser, app.test_client().post("/logout", data=parameters))
        else:
            response = ask(browser, **parameters)
    assert (response.status_code, response.headers["Location"]) == (303, f"{BYE}?state=a+b%26%C3%A9")
    assert alive() == 0
    [cookie] = [line for line in response.headers.getlist("Set-Cookie") if line.startswith("__Host-ss=")]
    assert cookie.startswith("__Host-ss=;")
    assert "Max-Age=0" in cookie


@pytest.mark.row("L-04")
def test_an_unregistered_post_logout_redirect_uri_is_ignored(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # RP-Initiated Logout 1.0, 3.
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
    ):
        sign_in(browser, "/connexion", session.username, PASSWORD)
        token = tokens_for(browser, ent)["id_token"]
        question = ask(browser, id_token_hint=token, post_logout_redirect_uri=uri, state="s")
        assert question.status_code == 200, uri
        assert INVALID in question.text
        assert alive() == 1, "the person is asked"
        page = confirm(browser, question)
        assert heading(page) == SIGNED_OUT
        text = unescape(text_beside_menu(page))
        assert INVALID in text
        assert 'href="https://ent.test/"' in text  # the registered home page of the ENT
        assert "evil.test" not in text
        assert alive() == 0
        gone = ask(browser, id_token_hint=token, post_logout_redirect_uri=uri)
        assert (heading(gone), INVALID in gone.text) == (SIGNED_OUT, True), "nobody is left to be asked"
    sign_in(browser, "/connexion", session.username, PASSWORD)
    page = ask(browser, id_token_hint=tokens_for(browser, ent)["id_token"], post_logout_redirect_uri="")
    assert (heading(page), INVALID in page.text) == (SIGNED_OUT, False), "a parameter without a value is none"
    sign_in(browser, "/connexion", session.username, PASSWORD)
    token = tokens_for(browser, ent)["id_token"]
    response = ask(browser, id_token_hint=token, post_logout_redirect_uri="https://ent.test/bye?a=b", state="s")
    assert response.headers["Location"] == "https://ent.test/bye?a=b&state=s"


@pytest.mark.row("L-05")
def test_the_state_goes_with_a_registered_address_alone(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RP-Initiated Logout 1.0, 2; Security row L-05.
    token = tokens_for(browser, ent)["id_token"]
    secret_state = "state-that-nobody-else-has"
    question = ask(browser, id_token_hint=token, state=secret_state, post_logout_redirect_uri="https://evil.test/")
    for page in (confirm(browser, question), ask(browser, id_token_hint=token, state=secret_state)):
        assert "Location" not in page.headers
        assert secret_state not in text_beside_menu(page)
    response = ask(browser, id_token_hint=token, post_logout_redirect_uri=BYE)  # already signed out: still its own ENT
    assert response.headers["Location"] == BYE


@pytest.mark.row("L-05")
def test_a_request_that_cannot_be_read_ends_nothing(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # RP-Initiated Logout 1.0, 4.
    token = tokens_for(browser, ent)["id_token"]
    for query in (f"id_token_hint={token}&id_token_hint={token}", "id_token_hint=%ff", "state=" + "x" * 7_000):
        assert heading(browser.get(f"/logout?{query}")) == QUESTION
        assert alive() == 1


@pytest.mark.row("L-05")
def test_a_logout_does_not_redirect_to_a_disabled_client(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RP-Initiated Logout 1.0, 2. A disabled client counts as not registered.
    token = tokens_for(browser, ent)["id_token"]
    registrations.disable(ent.client_id)
    page = ask(browser, id_token_hint=token, post_logout_redirect_uri=BYE)
    assert page.status_code == 200
    assert "Location" not in page.headers
