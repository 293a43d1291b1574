"""Rate limits of the authorization endpoint for a session and a network."""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.oidc.models import AuthorizationCode
from idp.throttle import limits, local
from tests.pages import heading
from tests.relying_party import Attempt, RelyingParty

pytestmark = pytest.mark.row("A-28")

[SESSION] = limits.AUTHORIZE_SESSION.windows
[NETWORK] = limits.AUTHORIZE_NETWORK.windows


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(now(), tick=False) as traveller:
        yield traveller


def codes() -> int:
    number = db.session.scalar(select(func.count()).select_from(AuthorizationCode)) or 0
    db.session.rollback()
    return number


def test_a_redirect_loop_of_a_session_is_rate_limited(
    clock: time_machine.Traveller, app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    """RFC 6585, 4."""
    for _ in range(SESSION.tries):
        assert browser.get(ent.url(Attempt())).status_code == 303
    stored = codes()
    for _ in range(5):
        answer = browser.get(ent.url(Attempt()))
        assert (answer.status_code, heading(answer)) == (429, "Un peu de patience")
        assert answer.headers["Retry-After"] == "60"
        assert "Il y a eu trop de demandes de connexion en peu de temps." in answer.text
    assert codes() == stored == SESSION.tries
    clock.shift(timedelta(seconds=60))
    assert browser.get(ent.url(Attempt())).status_code == 303


def test_a_hidden_frame_is_answered_and_not_shown_a_page(
    clock: time_machine.Traveller, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    """RFC 6749, 4.1.2.1."""
    for _ in range(SESSION.tries):
        browser.get(ent.url(Attempt(), prompt="none"))
    attempt = Attempt()
    answer = browser.get(ent.url(attempt, prompt="none"))
    assert answer.status_code == 303
    parameters = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert (parameters["error"], parameters["state"]) == (["temporarily_unavailable"], [attempt.state])
    for wrong in ({"redirect_uri": "https://evil.test/cb"}, {"client_id": "nobody"}):
        refused = browser.get(ent.url(Attempt(), **{"prompt": "none", **wrong}))
        assert (refused.status_code, "Location" in refused.headers) == (429, False)


def test_another_session_at_the_same_address_is_not_made_to_wait(
    clock: time_machine.Traveller, app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    """RFC 6819, 4.4.1.11. The limit is per user, so that one parent's loop does not block other parents in the
    school's network.
    """
    for _ in range(SESSION.tries + 1):
        answer = browser.get(ent.url(Attempt()))
    assert answer.status_code == 429
    assert app.test_client().get(ent.url(Attempt())).status_code == 303


def test_the_rate_limit_of_a_network_covers_all_its_sessions(
    clock: time_machine.Traveller, app: Flask, ent: RelyingParty
) -> None:
    """RFC 6585, 4."""
    with app.app_context():
        for number in range(NETWORK.tries):
            assert local.take((limits.AUTHORIZE_NETWORK, "203.0.113.7"), (limits.AUTHORIZE_SESSION, f"{number}")) == 0
    flood, neighbour = app.test_client(), app.test_client()
    flood.environ_base["REMOTE_ADDR"], neighbour.environ_base["REMOTE_ADDR"] = "203.0.113.7", "203.0.113.8"
    assert flood.get(ent.url(Attempt())).status_code == 429
    assert neighbour.get(ent.url(Attempt())).status_code == 303


def test_a_flood_from_a_schools_network_stops_no_session_that_is_live(
    clock: time_machine.Traveller, app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    """RFC 6819, 4.4.1.11. A signed-in person has a separate limit, which other devices with the same IP do not
    use up.
    """
    assert browser.get(ent.url(Attempt())).status_code == 303  # the process has cached that this session is live
    with app.app_context():
        while local.take((limits.AUTHORIZE_NETWORK, "127.0.0.1")) == 0:
            pass
    assert app.test_client().get(ent.url(Attempt())).status_code == 429
    invented = app.test_client()
    invented.set_cookie("__Host-ss", "A" * 43, secure=True)
    assert invented.get(ent.url(Attempt())).status_code == 429, "a cookie that nobody gave out changes nothing"
    for _ in range(SESSION.tries - 1):
        assert browser.get(ent.url(Attempt())).status_code == 303
    assert browser.get(ent.url(Attempt())).status_code == 429, "its own budget holds"


def test_a_step_that_is_repeated_is_counted_too(
    clock: time_machine.Traveller, app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    """RFC 6819, 4.4.1.11. The URL after a step can be opened again and also issues codes."""
    for _ in range(SESSION.tries):
        browser.get(ent.url(Attempt()))
    answer = browser.get("/authorize/resume?demande=x")
    assert (answer.status_code, heading(answer)) == (429, "Un peu de patience")
