"""Session management (OpenID Connect Session Management 1.0), and signing out of an idle session (row L-08)."""

import hashlib
import re
import time
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.db import db
from idp.outbox.queue import OutboxMessage
from idp.sessions import manager
from idp.sessions.ending import SESSIONS_ENDED
from idp.sessions.models import Session
from tests.builders import PASSWORD, Build
from tests.my_account.changes import change_password
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.protocol.flow import HOST, OFFLINE, posted_answer, refused, tokens_for
from tests.protocol.test_logout import BYE, QUESTION, SIGNED_OUT, alive, ask, confirm
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
    match = re.search(r"session_state=([^&]+)", browser.get(ent.url(Attempt())).headers["Location"])
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


def test_a_logout_removes_the_state(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # Session Management 1.0, 3.2.
    value = fetch_session_state(browser, ent)
    gone = set_cookie(submit(browser, browser.get("/logout")))
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


IDLE, EXPIRED = timedelta(minutes=70), timedelta(hours=13)
FRONT = "https://horizon.test/front"


class Evening:
    """A parent with one session and two ENTs, whose session at the provider is idle."""

    def __init__(self, browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
        self.browser = browser
        self.ent = ent
        self.other = build.ent(
            "Horizon",
            "horizon.test",
            frontchannel_logout_uri=FRONT,
            backchannel_logout_uri="https://horizon.test/back",
            scopes=OFFLINE,
        )
        self.first = tokens_for(browser, ent, scope=OFFLINE)
        self.second = tokens_for(browser, self.other, scope=OFFLINE)

    def hint(self) -> str:
        self.first |= self.ent.refresh(self.browser, self.first["refresh_token"]).get_json()
        return str(self.first["id_token"])

    def all_is_over(self) -> None:
        """Check that the session and its tokens have ended, and that the ENTs get logout tokens."""
        assert alive() == 0
        for party, tokens in ((self.ent, self.first), (self.other, self.second)):
            refused(party.refresh(self.browser, tokens["refresh_token"]), "invalid_grant")
        [message] = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == SESSIONS_ENDED)).all()
        [session] = db.session.scalars(select(Session)).all()
        assert message.payload == {"sessions": [str(session.id)]}
        assert db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "sign_out")).one().result == "ok"


def again_opened(browser: FlaskClient) -> FlaskClient:
    """Return the browser after a restart: with persistent cookies, without session cookies."""
    device_cookie, reopened = browser.get_cookie("__Host-dv", domain=HOST), browser.application.test_client()
    assert device_cookie is not None
    reopened.set_cookie("__Host-dv", device_cookie.value, domain=HOST, secure=True)
    return reopened


@pytest.fixture
def evening(browser: FlaskClient, build: Build, session: Account) -> Evening:
    return Evening(browser, build, build.ent(scopes=OFFLINE))


@pytest.mark.parametrize("alone", [IDLE, EXPIRED], ids=["idle", "expired"])
@pytest.mark.row("L-08")
def test_an_ent_that_signs_out_ends_an_idle_session(browser: FlaskClient, evening: Evening, alone: timedelta) -> None:
    # RP-Initiated Logout 1.0, 2. The ENT's own session and the other ENTs' tokens are valid for longer than an idle
    # session at the provider.
    with time_machine.travel(time.time() + alone.total_seconds()):
        page: Any = ask(browser, id_token_hint=evening.hint(), post_logout_redirect_uri=BYE)
        assert (page.status_code, heading(page), page.text.count(f'src="{FRONT}?')) == (200, SIGNED_OUT, 1)
        assert f'href="{BYE}"' in page.text
        evening.all_is_over()


@pytest.mark.parametrize("alone", [IDLE, EXPIRED], ids=["idle", "expired"])
@pytest.mark.row("L-08")
def test_without_a_hint_a_logout_of_an_idle_session_asks_too(
    browser: FlaskClient, evening: Evening, alone: timedelta
) -> None:
    # RP-Initiated Logout 1.0, 2. An image on another site must not sign a family out of its ENTs, not even from an
    # idle session.
    with time_machine.travel(time.time() + alone.total_seconds()):
        question: Any = ask(browser, client_id=evening.ent.client_id)
        assert heading(question) == QUESTION
        assert alive() == 1
        assert heading(confirm(browser, question)) == SIGNED_OUT
        evening.all_is_over()


@pytest.mark.parametrize("alone", [IDLE, EXPIRED], ids=["idle", "expired"])
@pytest.mark.row("L-02")
def test_the_hint_of_another_person_does_not_end_an_idle_session(
    browser: FlaskClient, build: Build, evening: Evening, alone: timedelta
) -> None:
    # RP-Initiated Logout 1.0, 2.
    stranger = browser.application.test_client()
    sign_in(stranger, "/connexion", build.active().username, PASSWORD)
    hint = tokens_for(stranger, evening.ent)["id_token"]
    with time_machine.travel(time.time() + alone.total_seconds()):
        page: Any = ask(browser, id_token_hint=hint, post_logout_redirect_uri=BYE)
        assert heading(page) == QUESTION
        assert alive() == 2
        assert evening.other.refresh(browser, evening.second["refresh_token"]).status_code == 200


@pytest.mark.parametrize("alone", [IDLE, EXPIRED], ids=["idle", "expired"])
@pytest.mark.row("L-08")
def test_an_ent_that_outlived_its_browser_s_session_ends_it_by_its_hint(
    browser: FlaskClient, evening: Evening, alone: timedelta
) -> None:
    # RP-Initiated Logout 1.0, 2. The browser was closed and has lost the provider's cookie, but not the ENT's.
    reopened = again_opened(browser)
    with time_machine.travel(time.time() + alone.total_seconds()):
        page: Any = ask(reopened, id_token_hint=evening.hint(), post_logout_redirect_uri=BYE)
        assert heading(page) == SIGNED_OUT
        assert f'href="{BYE}"' in page.text
        evening.all_is_over()
        again = ask(reopened, id_token_hint=evening.first["id_token"], post_logout_redirect_uri=BYE)
        assert (again.status_code, again.headers["Location"]) == (303, BYE)
        evening.all_is_over()


@pytest.mark.parametrize("alone", [IDLE, EXPIRED], ids=["idle", "expired"])
@pytest.mark.row("L-02")
def test_a_hint_ends_its_own_session_only(browser: FlaskClient, evening: Evening, alone: timedelta) -> None:
    # RP-Initiated Logout 1.0, 2. A second device of the same person is another session.
    laptop = browser.application.test_client()
    [account] = db.session.scalars(select(Account)).all()
    sign_in(laptop, "/connexion", account.username, PASSWORD)
    laptop_tokens = tokens_for(laptop, evening.other, scope=OFFLINE)
    with time_machine.travel(time.time() + alone.total_seconds()):
        ask(again_opened(browser), id_token_hint=evening.hint())
        assert alive() == 1
        assert evening.other.refresh(laptop, laptop_tokens["refresh_token"]).status_code == 200


@pytest.mark.parametrize("alone", [IDLE, EXPIRED], ids=["idle", "expired"])
@pytest.mark.row("L-02")
def test_a_hint_from_a_machine_where_the_person_never_was_ends_nothing(
    browser: FlaskClient, evening: Evening, alone: timedelta
) -> None:
    # RP-Initiated Logout 1.0, 6. A server, or a person with an ID token from a log, must not sign people
    # out.
    stranger = browser.application.test_client()
    with time_machine.travel(time.time() + alone.total_seconds()):
        page: Any = ask(stranger, id_token_hint=evening.hint(), post_logout_redirect_uri=BYE)
        assert (page.status_code, page.headers["Location"]) == (303, BYE)
        assert alive() == 1
        assert evening.other.refresh(browser, evening.second["refresh_token"]).status_code == 200
