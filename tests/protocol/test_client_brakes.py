"""The rate limit of failed client authentications (security.md 6.4, token endpoint); valid ones are never limited."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.clock import now
from idp.throttle import limits
from tests.builders import Build
from tests.dpop_party import Key, KeyedParty
from tests.protocol.flow import refused
from tests.protocol.listening import listening
from tests.relying_party import Attempt, RelyingParty

FREE = limits.CLIENT_PROOF.free
WRONG = "faux"
[WINDOW] = limits.CLIENT_PROOF_IP.windows


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(now(), tick=False) as traveller:
        yield traveller


def ask(browser: FlaskClient, client_id: str, secret: str = WRONG, *, at: str = "203.0.113.7") -> TestResponse:
    form = {"grant_type": "authorization_code", "code": "x" * 43, "client_id": client_id, "client_secret": secret}
    return browser.post("/token", data={**form, "code_verifier": "v" * 43}, environ_overrides={"REMOTE_ADDR": at})


def slowed(response: TestResponse, seconds: int) -> None:
    assert (response.status_code, response.get_json()) == (429, {"error": "slow_down"})
    assert response.headers["Retry-After"] == str(seconds)


@pytest.fixture
def ent(build: Build) -> RelyingParty:
    return build.ent(auth_method="client_secret_post")


def test_wrong_secrets_of_a_client_are_looked_at_once_a_second_after_ten(
    browser: FlaskClient, ent: RelyingParty, clock: time_machine.Traveller
) -> None:
    """RFC 6749, 2.3.1; Security parameters, token endpoint."""
    for number in range(FREE):
        refused(ask(browser, ent.client_id, at=f"203.0.113.{number}"), "invalid_client", 401)
    for _ in range(3):
        slowed(ask(browser, ent.client_id), 1)
    for _ in range(3):
        clock.shift(timedelta(seconds=1.1))
        refused(ask(browser, ent.client_id), "invalid_client", 401)
        slowed(ask(browser, ent.client_id), 1)
    clock.shift(limits.CLIENT_PROOF.quiet + timedelta(seconds=1))
    for _ in range(FREE):
        refused(ask(browser, ent.client_id), "invalid_client", 401)


def test_wrong_secrets_of_others_do_not_lock_out_an_ent(
    browser: FlaskClient, ent: RelyingParty, clock: time_machine.Traveller
) -> None:
    """RFC 6749, 2.3.1; Security parameters, token endpoint."""
    for number in range(WINDOW.tries):
        ask(browser, f"nobody{number}")
    for _ in range(2 * FREE):
        ask(browser, ent.client_id, at="203.0.113.9")
    slowed(ask(browser, ent.client_id, at="203.0.113.9"), 1)
    slowed(ask(browser, "nobody"), 60)
    for at in ("203.0.113.7", "203.0.113.9"):
        refused(ask(browser, ent.client_id, str(ent.secret), at=at), "invalid_grant")


def test_an_ip_has_a_hundred_wrong_proofs_a_minute_for_all_clients(
    browser: FlaskClient, ent: RelyingParty, clock: time_machine.Traveller
) -> None:
    """RFC 6749, 2.3.1; Security parameters, token endpoint."""
    for number in range(WINDOW.tries):
        refused(ask(browser, f"nobody{number}", at=f"2001:db8::{number:x}"), "invalid_client", 401)
    slowed(ask(browser, ent.client_id, at="2001:db8::ffff"), 60)
    slowed(ask(browser, "", at="2001:db8::ffff"), 60)  # cached: no query checks whether the limit is over
    refused(ask(browser, ent.client_id, at="2001:db8:0:1::1"), "invalid_client", 401)
    clock.shift(WINDOW.span)
    refused(ask(browser, ent.client_id, at="2001:db8::ffff"), "invalid_client", 401)


@pytest.mark.row("T-10")
def test_a_client_that_does_not_exist_is_slowed_alike(
    browser: FlaskClient, ent: RelyingParty, clock: time_machine.Traveller
) -> None:
    answers = {}
    for name, at in ((ent.client_id, "203.0.113.1"), ("nobody", "203.0.113.2")):
        responses = [ask(browser, name, at=at) for _ in range(FREE + 2)]
        answers[name] = [(a.status_code, a.get_data(), a.headers.get("Retry-After")) for a in responses]
    assert answers[ent.client_id] == answers["nobody"]


def test_all_endpoints_and_all_ways_to_prove_a_name_share_its_count(
    browser: FlaskClient, build: Build, clock: time_machine.Traveller
) -> None:
    """RFC 6749, 2.3.1."""
    key = Key.new()
    ent = KeyedParty.of(build.ent(auth_method="private_key_jwt", jwks={"keys": [key.jwk]}), client=Key.new())
    ent.secret, odd = WRONG, {"grant_type": "authorization_code", "token": "x"}
    for number in range(FREE):
        path = ("/token", "/revoke", "/introspect", "/par")[number % 4]
        proof = ent.assertion() if number % 2 else {}
        answer = browser.post(
            path, data={**odd, "client_id": ent.client_id, **proof}, headers={} if proof else ent.basic()
        )
        refused(answer, "invalid_client", 401)
    for path in ("/token", "/revoke", "/introspect", "/par"):
        without_name = {name: value for name, value in ent.assertion().items() if name != "client_id"}
        slowed(browser.post(path, data={**odd, "client_id": ent.client_id}), 1)
        if path != "/par":  # it also needs the client id in the form
            slowed(browser.post(path, data={**odd, **without_name}), 1)
    ent.client = key
    assert browser.post("/introspect", data={"token": "x", **ent.assertion()}).get_json() == {"active": False}


def test_a_refused_attempt_writes_nothing_and_does_not_sleep(
    app: Flask, browser: FlaskClient, ent: RelyingParty, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 6749, 2.3.1. A refused attempt needs neither a write nor a thread."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    for _ in range(FREE + 1):
        ask(browser, ent.client_id)
    with listening(app) as seen:
        slowed(ask(browser, ent.client_id), 1)
    assert not [text for text, _values in seen if re.match(r"\s*(INSERT|UPDATE|DELETE|WITH)|.*throttle", text)]
    assert slept == []


def test_unauthenticated_pushed_requests_are_rate_limited(
    browser: FlaskClient, build: Build, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9126, 2.3. A pushed request inserts a row, and a public client does not authenticate."""
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
