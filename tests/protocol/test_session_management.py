"""Session management (OpenID Connect Session Management 1.0): the value, the cookie behind it, the page for frames."""

import hashlib
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.db import db
from idp.sessions import manager
from tests.builders import PASSWORD, Build
from tests.my_account.changes import change_password
from tests.pages import follow, form_token, sign_in, submit
from tests.protocol.flow import HOST, posted_answer
from tests.relying_party import Attempt, RelyingParty

COOKIE = "__Host-bs"


def state(browser: FlaskClient) -> str:
    """Return the OP browser state, as the page for frames reads it; empty when there is none."""
    cookie = browser.get_cookie(COOKIE, domain=HOST)
    return cookie.value if cookie else ""


def agrees(session_state: str, ent: RelyingParty, browser_state: str, origin: str = "https://ent.test") -> bool:
    """Compute what the page for frames does (3.2), with the salt that came."""
    digest, _, salt = session_state.partition(".")
    assert re.fullmatch(r"[!-~]{8,100}", salt), "no space, and enough of it"
    return digest == hashlib.sha256(f"{ent.client_id} {origin} {browser_state} {salt}".encode()).hexdigest()


def set_cookie(response: TestResponse) -> str:
    [line] = [line for line in response.headers.getlist("Set-Cookie") if line.startswith(f"{COOKIE}=")]
    return line


def fetch_session_state(browser: FlaskClient, ent: RelyingParty) -> str:
    return ent.answer(browser.get(ent.url(Attempt())))["session_state"]


def test_the_value_is_a_salted_hash_of_client_origin_and_browser_state(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    # Session Management 1.0, 2.
    first, second = fetch_session_state(browser, ent), fetch_session_state(browser, ent)
    assert agrees(first, ent, state(browser))
    assert agrees(second, ent, state(browser))
    assert first != second, "a salt of its own"
    assert " " not in first
    other = build.ent("Horizon", "horizon.test")
    assert agrees(fetch_session_state(browser, other), other, state(browser), "https://horizon.test")


@pytest.mark.parametrize(
    ("uri", "origin"),
    [
        ("https://ent.test:443/cb", "https://ent.test"),
        ("https://ent.test:8443/cb?a=b", "https://ent.test:8443"),
    ],
)
def test_the_origin_is_the_one_that_browsers_report(
    browser: FlaskClient, build: Build, session: Account, uri: str, origin: str
) -> None:
    # Session Management 1.0, 2.
    ent = build.ent(redirect_uris=[uri])
    ent.redirect_uri = uri
    location = browser.get(ent.url(Attempt())).headers["Location"]
    match = re.search(r"session_state=([^&]+)", location)
    assert match
    assert agrees(match.group(1), ent, state(browser), origin)


def no_cookie_changes(response: TestResponse) -> bool:
    return not any(line.startswith(f"{COOKIE}=") for line in response.headers.getlist("Set-Cookie"))


def test_a_refusal_has_a_session_state_that_a_later_sign_in_changes(
    browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    # Session Management 1.0, 2, 3.2.
    first, second = (ent.answer(browser.get(ent.url(Attempt(), prompt="none"))) for _ in range(2))
    assert first["error"] == second["error"] == "login_required"
    assert agrees(first["session_state"], ent, state(browser))
    assert agrees(second["session_state"], ent, state(browser))
    assert first["session_state"] != second["session_state"]
    assert state(browser) == ""
    posted = posted_answer(ent, browser.get(ent.url(Attempt(), prompt="none", response_mode="form_post")))
    assert agrees(posted["session_state"], ent, "")
    sign_in(browser, ent.url(Attempt()), parent.username, PASSWORD)
    assert not agrees(first["session_state"], ent, state(browser))


def test_a_refusal_during_a_session_has_its_session_state(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # Session Management 1.0, 2.
    answer = ent.answer(browser.get(ent.url(Attempt(), scope="openid address")))
    assert answer["error"] == "invalid_scope"
    assert state(browser)
    assert agrees(answer["session_state"], ent, state(browser))


def test_the_state_is_removed_after_the_session_ended_elsewhere(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # Session Management 1.0, 3.2.
    value = fetch_session_state(browser, ent)
    manager.end_all(session.id, by="operator")
    db.session.commit()
    answer = ent.answer(browser.get(ent.url(Attempt(), prompt="none")))
    assert answer["error"] == "login_required"
    assert state(browser) == ""
    assert agrees(answer["session_state"], ent, "")
    assert not agrees(value, ent, "")


def test_a_request_from_inside_another_site_changes_nothing(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # Session Management 1.0, 3.2. A frame's request comes without the session's cookie (`SameSite=Lax`): it is
    # refused, and no other ENT may take that for a sign-out.
    fetch_session_state(browser, ent)
    frame: FlaskClient = app.test_client()
    frame.set_cookie(COOKIE, state(browser), domain=HOST, secure=True)
    response = frame.get(ent.url(Attempt(), prompt="none"))
    answer = ent.answer(response)
    assert answer["error"] == "login_required"
    assert no_cookie_changes(response)
    assert agrees(answer["session_state"], ent, state(browser))


def test_frames_and_scripts_may_read_the_cookie_and_it_says_nothing(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # Session Management 1.0, 3.2.
    first = browser.get(ent.url(Attempt()))
    line = set_cookie(first)
    assert {part.strip() for part in line.split(";")[1:]} == {"Secure", "SameSite=None", "Path=/"}
    session_cookie = browser.get_cookie("__Host-ss", domain=HOST)
    assert session_cookie
    assert state(browser) != session_cookie.value
    again = browser.get(ent.url(Attempt()))
    assert no_cookie_changes(again), "it has it already"


def test_a_logout_removes_the_state(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # Session Management 1.0, 3.2.
    value = fetch_session_state(browser, ent)
    after = submit(browser, browser.get("/logout"))
    gone = set_cookie(after)
    assert gone.startswith(f"{COOKIE}=;")
    assert {"Max-Age=0", "Secure", "SameSite=None", "Path=/"} <= {part.strip() for part in gone.split(";")}
    assert state(browser) == ""
    assert not agrees(value, ent, "")


def test_the_state_changes_with_the_session_only(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    # Session Management 1.0, 3.2.
    value, former = fetch_session_state(browser, ent), state(browser)
    change_password(browser)  # the same session with another cookie
    assert agrees(value, ent, state(browser)) is False
    assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["session_state"]
    assert state(browser) == former
    other = build.active()
    sign_in(browser, ent.url(Attempt(), prompt="login"), other.username, PASSWORD)
    assert state(browser) not in {"", former}
    assert not agrees(value, ent, state(browser))


def test_another_person_s_sign_in_is_noticed_before_any_ent_asks(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    # Session Management 1.0, 3.2.
    value = fetch_session_state(browser, ent)
    other = build.active()
    page = follow(browser, browser.get(ent.url(Attempt(), prompt="login")))
    answer = browser.post(
        page.request.full_path,
        data={"csrf_token": form_token(page), "identifiant": other.username, "mot-de-passe": PASSWORD},
    )
    assert answer.headers["Location"].startswith("/authorize/resume")
    assert not agrees(value, ent, state(browser))
    [line] = [line for line in answer.headers.getlist("Set-Cookie") if line.startswith("__Host-ss=")]
    assert not line.startswith("__Host-ss=;")


def test_the_page_for_frames_may_be_framed_by_anybody_and_kept(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # Session Management 1.0, 3.3.
    published = browser.get("/.well-known/openid-configuration").get_json()["check_session_iframe"]
    assert published == f"{ent.issuer}/session/check"
    fetch_session_state(browser, ent)
    page = browser.get("/session/check")
    assert page.status_code == 200
    assert "X-Frame-Options" not in page.headers
    [policy] = page.headers.getlist("Content-Security-Policy")
    assert {part.strip() for part in policy.split(";")} == {
        "default-src 'none'",
        "script-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors *",
    }
    assert page.headers.getlist("Cross-Origin-Resource-Policy") == ["cross-origin"]
    assert page.headers.getlist("Cross-Origin-Embedder-Policy") == ["require-corp"]
    assert page.headers.getlist("Cache-Control") == ["public, max-age=3600"]
    assert "Vary" not in page.headers
    assert "Set-Cookie" not in page.headers
    assert page.get_data() == browser.application.test_client().get("/session/check").get_data()
    assert browser.get("/mon-compte").headers["Cross-Origin-Resource-Policy"] == "same-origin"
