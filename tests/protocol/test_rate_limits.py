"""Rate limits of the protocol: failed proofs of clients, pushed requests, requests of a session or of a network."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.oidc.models import AuthorizationCode
from idp.throttle import counters, limits
from tests.builders import Build
from tests.dpop_party import Key, KeyedParty
from tests.pages import heading
from tests.protocol.flow import refused
from tests.protocol.listening import listening
from tests.relying_party import Attempt, RelyingParty

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


@pytest.mark.row("A-28")
def test_a_redirect_loop_of_a_session_is_rate_limited(
    clock: time_machine.Traveller, app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RFC 6585, 4.
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


@pytest.mark.row("A-28")
def test_a_hidden_frame_is_answered_and_not_shown_a_page(
    clock: time_machine.Traveller, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RFC 6749, 4.1.2.1.
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


@pytest.mark.row("A-28")
def test_the_rate_limit_of_a_network_covers_all_its_sessions(
    clock: time_machine.Traveller, app: Flask, ent: RelyingParty
) -> None:
    # RFC 6585, 4.
    with app.app_context():
        for number in range(NETWORK.tries):
            assert (
                counters.take_in_memory(
                    (limits.AUTHORIZE_NETWORK, "203.0.113.7"), (limits.AUTHORIZE_SESSION, f"{number}")
                )
                == 0
            )
    flood, neighbour = app.test_client(), app.test_client()
    flood.environ_base["REMOTE_ADDR"], neighbour.environ_base["REMOTE_ADDR"] = "203.0.113.7", "203.0.113.8"
    assert flood.get(ent.url(Attempt())).status_code == 429
    assert neighbour.get(ent.url(Attempt())).status_code == 303


@pytest.mark.row("A-28")
def test_a_flood_from_a_schools_network_stops_no_session_that_is_live(
    clock: time_machine.Traveller, app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RFC 6819, 4.4.1.11. A signed-in person has a separate limit, which other devices with the same IP do not
    # use up.
    assert browser.get(ent.url(Attempt())).status_code == 303  # the process has cached that this session is live
    with app.app_context():
        while counters.take_in_memory((limits.AUTHORIZE_NETWORK, "127.0.0.1")) == 0:
            pass
    assert app.test_client().get(ent.url(Attempt())).status_code == 429
    invented = app.test_client()
    invented.set_cookie("__Host-ss", "A" * 43, secure=True)
    assert invented.get(ent.url(Attempt())).status_code == 429, "a cookie that nobody gave out changes nothing"
    for _ in range(SESSION.tries - 1):
        assert browser.get(ent.url(Attempt())).status_code == 303
    assert browser.get(ent.url(Attempt())).status_code == 429, "its own budget holds"


@pytest.mark.row("A-28")
def test_a_step_that_is_repeated_is_counted_too(
    clock: time_machine.Traveller, app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RFC 6819, 4.4.1.11. The URL after a step can be opened again and also issues codes.
    for _ in range(SESSION.tries):
        browser.get(ent.url(Attempt()))
    answer = browser.get("/authorize/resume?demande=x")
    assert (answer.status_code, heading(answer)) == (429, "Un peu de patience")


FREE = limits.CLIENT_PROOF.free
WRONG = "faux"
[WINDOW] = limits.CLIENT_PROOF_IP.windows


def ask(browser: FlaskClient, client_id: str, secret: str = WRONG, *, at: str = "203.0.113.7") -> TestResponse:
    form = {"grant_type": "authorization_code", "code": "x" * 43, "client_id": client_id, "client_secret": secret}
    return browser.post("/token", data={**form, "code_verifier": "v" * 43}, environ_overrides={"REMOTE_ADDR": at})


def slowed(response: TestResponse, seconds: int) -> None:
    assert (response.status_code, response.get_json()) == (429, {"error": "slow_down"})
    assert response.headers["Retry-After"] == str(seconds)


@pytest.fixture
def posting(build: Build) -> RelyingParty:
    return build.ent(auth_method="client_secret_post")


def test_wrong_secrets_of_a_client_are_looked_at_once_a_second_after_ten(
    browser: FlaskClient, posting: RelyingParty, clock: time_machine.Traveller
) -> None:
    # RFC 6749, 2.3.1; Security parameters, token endpoint.
    for number in range(FREE):
        refused(ask(browser, posting.client_id, at=f"203.0.113.{number}"), "invalid_client", 401)
    for _ in range(3):
        slowed(ask(browser, posting.client_id), 1)
    for _ in range(3):
        clock.shift(timedelta(seconds=1.1))
        refused(ask(browser, posting.client_id), "invalid_client", 401)
        slowed(ask(browser, posting.client_id), 1)
    clock.shift(limits.CLIENT_PROOF.quiet + timedelta(seconds=1))
    for _ in range(FREE):
        refused(ask(browser, posting.client_id), "invalid_client", 401)


def test_wrong_secrets_of_others_do_not_lock_out_an_ent(
    browser: FlaskClient, posting: RelyingParty, clock: time_machine.Traveller
) -> None:
    # RFC 6749, 2.3.1; Security parameters, token endpoint.
    for number in range(WINDOW.tries):
        ask(browser, f"nobody{number}")
    for _ in range(2 * FREE):
        ask(browser, posting.client_id, at="203.0.113.9")
    slowed(ask(browser, posting.client_id, at="203.0.113.9"), 1)
    slowed(ask(browser, "nobody"), 60)
    for at in ("203.0.113.7", "203.0.113.9"):
        refused(ask(browser, posting.client_id, str(posting.secret), at=at), "invalid_grant")


def test_an_ip_has_a_hundred_wrong_proofs_a_minute_for_all_clients(
    browser: FlaskClient, posting: RelyingParty, clock: time_machine.Traveller
) -> None:
    # RFC 6749, 2.3.1; Security parameters, token endpoint.
    for number in range(WINDOW.tries):
        refused(ask(browser, f"nobody{number}", at=f"2001:db8::{number:x}"), "invalid_client", 401)
    slowed(ask(browser, posting.client_id, at="2001:db8::ffff"), 60)
    slowed(ask(browser, "", at="2001:db8::ffff"), 60)  # cached: no query checks whether the limit is over
    refused(ask(browser, posting.client_id, at="2001:db8:0:1::1"), "invalid_client", 401)
    clock.shift(WINDOW.span)
    refused(ask(browser, posting.client_id, at="2001:db8::ffff"), "invalid_client", 401)


@pytest.mark.row("T-10")
def test_a_client_that_does_not_exist_is_slowed_alike(
    browser: FlaskClient, posting: RelyingParty, clock: time_machine.Traveller
) -> None:
    answers = {}
    for name, at in ((posting.client_id, "203.0.113.1"), ("nobody", "203.0.113.2")):
        responses = [ask(browser, name, at=at) for _ in range(FREE + 2)]
        answers[name] = [(a.status_code, a.get_data(), a.headers.get("Retry-After")) for a in responses]
    assert answers[posting.client_id] == answers["nobody"]


def test_all_endpoints_and_all_ways_to_prove_a_name_share_its_count(
    browser: FlaskClient, build: Build, clock: time_machine.Traveller
) -> None:
    # RFC 6749, 2.3.1.
    key = Key.new()
    posting = KeyedParty.of(build.ent(auth_method="private_key_jwt", jwks={"keys": [key.jwk]}), client=Key.new())
    posting.secret, odd = WRONG, {"grant_type": "authorization_code", "token": "x"}
    for number in range(FREE):
        path = ("/token", "/revoke", "/introspect", "/par")[number % 4]
        proof = posting.assertion() if number % 2 else {}
        answer = browser.post(
            path, data={**odd, "client_id": posting.client_id, **proof}, headers={} if proof else posting.basic()
        )
        refused(answer, "invalid_client", 401)
    for path in ("/token", "/revoke", "/introspect", "/par"):
        without_name = {name: value for name, value in posting.assertion().items() if name != "client_id"}
        slowed(browser.post(path, data={**odd, "client_id": posting.client_id}), 1)
        if path != "/par":  # it also needs the client id in the form
            slowed(browser.post(path, data={**odd, **without_name}), 1)
    posting.client = key
    assert browser.post("/introspect", data={"token": "x", **posting.assertion()}).get_json() == {"active": False}


def test_a_refused_attempt_writes_nothing_and_does_not_sleep(
    app: Flask,
    browser: FlaskClient,
    posting: RelyingParty,
    clock: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # RFC 6749, 2.3.1. A refused attempt needs neither a write nor a thread.
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    for _ in range(FREE + 1):
        ask(browser, posting.client_id)
    with listening(app) as seen:
        slowed(ask(browser, posting.client_id), 1)
    assert not [text for text, _values in seen if re.match(r"\s*(INSERT|UPDATE|DELETE|WITH)|.*throttle", text)]
    assert slept == []


def test_unauthenticated_pushed_requests_are_rate_limited(
    browser: FlaskClient, build: Build, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    # RFC 9126, 2.3. A pushed request inserts a row, and a public client does not authenticate.
    few = replace(limits.PUSHED_IP, windows=(limits.Window(3, timedelta(minutes=1)),))
    monkeypatch.setattr(limits, "PUSHED_IP", few)
    public = KeyedParty.of(build.ent("Appli", "appli.test", auth_method="none"))
    verified = KeyedParty.of(build.ent())
    refused(public.push(browser, Attempt(), prompt="none login"), "invalid_request")
    for _ in range(2):
        public.pushed(browser, Attempt())
    slowed(public.push(browser, Attempt()), 60)
    verified.pushed(browser, Attempt())
    clock.shift(timedelta(seconds=61))
    public.pushed(browser, Attempt())
