"""Signing out of an idle session, which is no longer live but not ended (row L-08)."""

import time
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.db import db
from idp.outbox.queue import OutboxMessage
from idp.sessions.ending import SESSIONS_ENDED
from idp.sessions.models import Session
from tests.builders import PASSWORD, Build
from tests.pages import heading, sign_in
from tests.protocol.flow import HOST, OFFLINE, refused, tokens_for
from tests.protocol.test_logout import BYE, QUESTION, SIGNED_OUT, alive, ask, confirm
from tests.relying_party import Attempt, RelyingParty

IDLE, EXPIRED = timedelta(minutes=70), timedelta(hours=13)
FRONT = "https://horizon.test/front"
pytestmark = [
    pytest.mark.parametrize("alone", [IDLE, EXPIRED], ids=["idle", "expired"]),
]


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


@pytest.mark.row("L-08")
def test_an_ent_that_signs_out_ends_an_idle_session(browser: FlaskClient, evening: Evening, alone: timedelta) -> None:
    # RP-Initiated Logout 1.0, 2. The ENT's own session and the other ENTs' tokens are valid for longer than an idle
    # session at the provider.
    with time_machine.travel(time.time() + alone.total_seconds()):
        page: Any = ask(browser, id_token_hint=evening.hint(), post_logout_redirect_uri=BYE)
        assert (page.status_code, heading(page), page.text.count(f'src="{FRONT}?')) == (200, SIGNED_OUT, 1)
        assert f'href="{BYE}"' in page.text
        evening.all_is_over()


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


@pytest.mark.row("L-08")
def test_an_idle_session_gives_no_access(browser: FlaskClient, evening: Evening, alone: timedelta) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6. A session found for a sign-out must not be used for anything else.
    with time_machine.travel(time.time() + alone.total_seconds()):
        answer = evening.ent.answer(browser.get(evening.ent.url(Attempt(), prompt="none")))
        assert answer["error"] == "login_required"
        assert browser.get("/mon-compte").status_code == 303


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
