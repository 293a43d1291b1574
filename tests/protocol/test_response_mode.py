"""Response modes: in the query, or as a form that the browser posts (security row A-12; Form Post Mode 1.0)."""

import json
from html import escape
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.db import db
from tests.builders import Build
from tests.pages import follow, heading
from tests.protocol.flow import HOST, posted_answer, stays_here
from tests.protocol.test_authorize import ANSWERS
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row
from tests.signatures import b64

HOSTILE = "\"'><script>alert(1)</script> é 日本 😀 &amp;+%0A\\"
FORM, EVIL = "form_post", "https://evil.test/cb"


@pytest.mark.row("A-12")
def test_the_state_is_escaped_in_the_page(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # Form Post Response Mode 1.0, 2. One script, a file of the service, and a policy that allows no other.
    page = browser.get(ent.url(Attempt(state=HOSTILE), response_mode=FORM))
    text = page.get_data(as_text=True)
    assert "<script>" not in text
    assert escape(HOSTILE).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in text
    [policy] = page.headers.getlist("Content-Security-Policy")
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "form-action" not in policy  # the client may redirect, and Chromium applies form-action to redirects
    refused = browser.get(ent.url(Attempt(), client_id="nobody", response_mode=FORM))
    assert "form-action 'self'" in refused.headers["Content-Security-Policy"], "on that answer alone"


@pytest.mark.row("A-12")
@each_row(
    "changes",
    [parameters for parameters in ANSWERS if "response_mode" not in parameters],
)
def test_every_answer_honours_the_mode(
    browser: FlaskClient, ent: RelyingParty, session: Account, unhurried: None, changes: dict[str, str | None]
) -> None:
    # Form Post Response Mode 1.0, 2; OpenID Connect Core 1.0, 3.1.2.6.
    attempt = Attempt(state=HOSTILE)
    answer = posted_answer(ent, browser.get(ent.url(attempt, response_mode=FORM, **changes)))
    in_query = ent.answer(browser.get(ent.url(attempt, **changes)))
    assert (answer.keys(), answer["state"]) == (in_query.keys(), HOSTILE)
    fresh = {"code": "", "session_state": ""}  # random for each response
    assert {**answer, **fresh} == {**in_query, **fresh}


@pytest.mark.row("A-12")
def test_a_request_that_cannot_be_read_is_answered_in_its_mode_too(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RFC 6749, 3.1.
    url = ent.url(Attempt(), response_mode=FORM)
    assert posted_answer(ent, browser.get(f"{url}&nonce=twice"))["error"] == "invalid_request"
    assert ent.answer(browser.get(f"{url}&response_mode={FORM}"))["error"] == "invalid_request"
    stays_here(browser.get(f"{url}&state=twice"))
    stays_here(browser.get(ent.url(Attempt(), response_mode=FORM, redirect_uri="https://evil.test/cb")))


@pytest.mark.row("A-12")
@each_row("mode", ["fragment", "jwt", "query.jwt", "form_post.jwt", "web_message", "FORM_POST", "x"])
def test_an_unknown_response_mode_is_refused_on_a_page(
    browser: FlaskClient, ent: RelyingParty, session: Account, mode: str
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6.
    page = browser.get(ent.url(Attempt(state=HOSTILE), response_mode=mode))
    assert "response_mode must be one of: query, form_post" in stays_here(page)
    assert "<script>" not in page.get_data(as_text=True)


@pytest.mark.row("A-12")
def test_the_query_is_the_default_and_may_be_asked_for(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # Multiple Response Type Encoding Practices 1.0, 2.1.
    for mode in (None, "", "query"):
        assert ent.answer(browser.get(ent.url(Attempt(), response_mode=mode)))["code"]


@pytest.mark.row("A-12")
def test_a_state_that_a_form_would_change_is_not_sent_changed(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RFC 6749, 4.1.2. Browsers post line ends as CR LF.
    for state in ("a\nb", "a\rb", "a\r\nb"):
        stays_here(browser.get(ent.url(Attempt(state=state), response_mode=FORM)))
        assert ent.answer(browser.get(ent.url(Attempt(state=state))))["state"] == state


@pytest.mark.row("A-12")
def test_errors_after_a_step_are_posted_too(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6.
    ent, attempt = build.ent(charter="provider"), Attempt(state=HOSTILE)
    build.publish(ent, "1")
    url = ent.url(attempt, response_mode=FORM)
    assert posted_answer(ent, browser.get(f"{url}&prompt=none"))["error"] == "consent_required"
    charter = follow(browser, browser.get(url))
    assert heading(charter) == "Charte ENT"
    declined = follow(browser, browser.get(charter.request.full_path.replace("/charte?", "/charte/refus?")))
    answer = posted_answer(ent, declined)
    assert (answer["error"], answer["state"]) == ("access_denied", HOSTILE)
    browser.delete_cookie("__Host-ss", domain=HOST)
    assert posted_answer(ent, browser.get(f"{url}&prompt=none"))["error"] == "login_required"
    db.session.rollback()


TWICE = b'{"response_mode":"form_post","response_mode":"query"}'


def object_asking(mode: object, header: bytes = b'{"alg":"none"}') -> str:
    return f"{b64(header)}.{b64(json.dumps({'response_mode': mode, 'redirect_uri': EVIL}).encode())}."


@pytest.mark.row("A-13")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_request_object_is_answered_in_the_mode_that_it_asks_for(
    browser: FlaskClient, ent: RelyingParty, session: Account, method: str
) -> None:
    # OpenID Connect Core 1.0, 6.1.
    attempt = Attempt(state=HOSTILE)

    def answer(**changes: str) -> TestResponse:
        url = ent.url(attempt, **changes)
        if method == "GET":
            return browser.get(url)
        return follow(browser, browser.post("/authorize", data=dict(parse_qsl(urlsplit(url).query))))

    for outer in ({}, {"response_mode": "query"}):
        refusal = posted_answer(ent, answer(request=object_asking(FORM), **outer))
        assert (refusal["error"], refusal["state"]) == ("request_not_supported", HOSTILE)
    refusal = ent.answer(answer(request=object_asking("query"), response_mode=FORM))
    assert refusal["error"] == "request_not_supported"


@pytest.mark.row("A-13")
@each_row(
    "value",
    [
        *(object_asking(mode) for mode in ("fragment", "FORM_POST", "", None, [FORM], {FORM: 1})),
        *("x", "..", "a.b.c", "a.b.c.d.e", f"e30.{b64(b'[')}.", f"e30.{b64(b'[]')}.", f"e30.{b64(bytes([255]))}.x"),
        f"e30.{b64(b'[' * 5000)}.",
        f"e30.{b64(TWICE)}.",
    ],
)
def test_an_invalid_request_object_does_not_change_the_mode(
    browser: FlaskClient, ent: RelyingParty, session: Account, value: str
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6.
    refusal = ent.answer(browser.get(ent.url(Attempt(), request=value)))
    assert refusal["error"] == "request_not_supported"
    assert posted_answer(ent, browser.get(ent.url(Attempt(), request=value, response_mode=FORM)))["error"]


@pytest.mark.row("A-13")
def test_a_request_object_does_not_redirect_to_an_unregistered_uri(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    page = browser.get(ent.url(Attempt(), request=object_asking(FORM), redirect_uri=EVIL))
    assert "invalid redirect_uri" in stays_here(page)
    assert EVIL not in page.text
    stays_here(browser.get(ent.url(Attempt(state="a\nb"), request=object_asking(FORM))))
