"""How a client asks at the token endpoint, and proves who it is (security rows T-08 to T-16)."""

import base64
import re
import time
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.clients import registry
from idp.clock import now
from idp.registration import registrations
from tests.builders import Build
from tests.protocol.flow import code_for, refused, tokens_for
from tests.protocol.listening import listening
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row

FORM = "application/x-www-form-urlencoded"
ENDPOINTS = ("/token", "/par", "/revoke", "/introspect")
"""The endpoints at which a client proves who it is."""
GRANTS = (
    "password",
    "client_credentials",
    "device_code",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "implicit",
    'é"\n',
)


def basic(raw: bytes) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(raw).decode()}"}


def form(ent: RelyingParty, code: str = "x" * 43, **more: str) -> dict[str, str]:
    return {"grant_type": "authorization_code", "code": code, "redirect_uri": ent.redirect_uri, **more}


def ask(browser: FlaskClient, data: Any, **more: Any) -> TestResponse:
    return browser.post("/token", data=data, **more)


@pytest.mark.row("T-08")
def test_two_ways_of_authentication_at_once_are_refused(browser: FlaskClient, ent: RelyingParty) -> None:
    # RFC 6749, 2.3.
    secret = {"client_id": ent.client_id, "client_secret": str(ent.secret)}
    refused(ask(browser, form(ent, **secret), headers=ent.basic()), "invalid_request")
    assertion = {"client_assertion": "a.b.c", "client_assertion_type": "urn:x"}
    refused(ask(browser, form(ent, **assertion), headers=ent.basic()), "invalid_request")
    refused(ask(browser, form(ent, **assertion, **secret)), "invalid_request")


@pytest.mark.row("T-09")
def test_odd_basic_headers_are_unauthorized_and_never_a_fault(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RFC 6749, 5.2.
    for header in (
        basic(f"{ent.client_id}:é".encode()),
        basic(f"{ent.client_id}:".encode() + b"\xff\xfe"),
        basic(ent.client_id.encode()),
        basic(b":"),
        basic(f"{ent.client_id}\x00:{ent.secret}".encode()),
        basic(b"a" * 1_000_000),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic"},
        {"Authorization": "Basic " + "A" * 3},
        {"Authorization": "Bearer abc"},
        {"Authorization": "\xff\xfe"},
    ):
        response = ask(browser, form(ent), headers=header)
        refused(response, "invalid_client", 401)
        assert response.headers["WWW-Authenticate"].startswith('Basic realm="idp", error="invalid_client"')


@pytest.mark.row("T-09")
def test_encoded_halves_of_a_basic_header_are_decoded(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 6749, 2.3.1.
    halves = (str(part).encode().hex(" ").split() for part in (ent.client_id, ent.secret))
    encoded = ":".join("".join(f"%{byte}" for byte in half) for half in halves)
    body = form(ent, code_for(browser, ent, attempt), code_verifier=attempt.verifier)
    assert ask(browser, body, headers=basic(encoded.encode())).status_code == 200


@pytest.mark.row("T-10")
def test_unknown_wrong_and_disabled_get_one_answer_for_one_work(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    # RFC 6749, 5.2; Security row T-10.
    disabled = build.ent("Horizon", "horizon.test")
    tokens_for(browser, disabled)  # a process that keeps it in memory refuses it all the same
    registrations.disable(disabled.client_id)
    cases = {
        "unknown": basic(b"nobody:secret"),
        "wrong": basic(f"{ent.client_id}:secret".encode()),
        "disabled": disabled.basic(),
    }
    answers = {name: ask(browser, form(ent), headers=header) for name, header in cases.items()}
    assert {(r.status_code, r.get_data(), r.headers["WWW-Authenticate"]) for r in answers.values()} == {
        (401, answers["wrong"].get_data(), answers["wrong"].headers["WWW-Authenticate"])
    }
    with listening(app) as seen:  # what takes time is what the database is asked
        counts = {}
        for name, header in cases.items():
            ask(browser, form(ent), headers=header)
            seen.clear()
            ask(browser, form(ent), headers=header)
            counts[name] = [re.sub(r"'[^']*'|\?|%s", "…", text) for text, _values in seen]
    assert counts["unknown"] == counts["wrong"] == counts["disabled"]
    assert any("client" in text for text in counts["wrong"])


def test_the_log_says_which_registered_client_was_refused_and_why(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    # An operator reads which ENT to call; nobody writes a text of their own into the log.

    def reasons(data: dict[str, str], headers: dict[str, str] | None = None) -> list[str]:
        with capture_logs() as lines:
            refused(ask(browser, data, headers=headers), "invalid_client", 401)
        refusals = [line for line in lines if line["event"] in {"client authentication refused", "client is disabled"}]
        assert all(line["client_id"] == ent.client_id for line in refusals)
        assert "secret-invente" not in str(lines)
        return [line.get("reason", line["event"]) for line in refusals]

    wrong = basic(f"{ent.client_id}:secret-invente".encode())
    assert reasons(form(ent), wrong) == ["its secret is wrong"]
    by_post = {"client_id": ent.client_id, "client_secret": str(ent.secret)}
    method = "it authenticated by client_secret_post and is registered for client_secret_basic"
    assert reasons(form(ent, **by_post)) == [method]
    assert reasons(form(ent, client_id=ent.client_id)) == [method.replace("client_secret_post", "none")]
    assert reasons(form(ent), basic(b"inconnu:secret-invente")) == []
    registrations.rotate_secret(ent.client_id, keep=timedelta(hours=1))
    registry.forget()
    with time_machine.travel(now() + timedelta(hours=2)):
        assert reasons(form(ent), ent.basic()) == ["its former secret is not valid any more"]
    registrations.disable(ent.client_id)
    registry.forget()
    assert reasons(form(ent), wrong) == ["client is disabled"]
    assert reasons(form(ent), wrong) == [], "once a minute"


def test_two_secrets_are_good_during_a_rotation_and_one_after_it(browser: FlaskClient, ent: RelyingParty) -> None:
    # OWASP ASVS 5, V 13.3.4. An ENT changes its secret without a moment at which neither works.
    former, current = ent.secret, registrations.rotate_secret(ent.client_id, keep=timedelta(minutes=30))
    for later, good in ((timedelta(), {former, current}), (timedelta(minutes=31), {current})):
        with time_machine.travel(now() + later, tick=False):
            for secret in (former, current):
                ent.secret = secret
                answer = ask(browser, form(ent, code_verifier="v" * 43), headers=ent.basic())
                refused(answer, *(("invalid_grant", 400) if secret in good else ("invalid_client", 401)))


def test_a_process_with_a_cached_registration_accepts_both_secrets_during_a_rotation(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # OWASP ASVS 5, V 13.3.4. What a request proved must be what the client must prove now: the former secret is, until
    # it ends.
    tokens_for(browser, ent)
    former, current = ent.secret, registrations.rotate_secret(ent.client_id)
    cached_client = registry.find(ent.client_id)
    assert cached_client
    assert cached_client.former_secret_digest is None, "it remembers the registration of before"
    for secret in (former, current):
        ent.secret = secret
        assert tokens_for(browser, ent)["access_token"]


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_process_with_a_cached_registration_refuses_a_leaked_secret(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account, path: str
) -> None:
    # RFC 6749, 5.2. Introspection and revocation run no statement that checks the registration's version: they look it
    # up.
    token = tokens_for(browser, ent)["access_token"]
    leaked, disabled = ent.basic(), build.ent("Horizon", "horizon.test")
    tokens_for(browser, disabled)
    registrations.rotate_secret(ent.client_id, keep=timedelta())
    registrations.disable(disabled.client_id)
    for client_id, shown in ((ent.client_id, leaked), (disabled.client_id, disabled.basic())):
        form = {"grant_type": "authorization_code", "code": "x" * 43, "token": token, "client_id": client_id}
        refused(browser.post(path, data=form, headers=shown), "invalid_client", 401)
    assert ent.userinfo(browser, token).status_code == 200


@pytest.mark.row("T-11")
def test_parameters_in_the_address_are_not_read(browser: FlaskClient, build: Build, session: Account) -> None:
    # RFC 6749, 2.3.1; Security row T-11.
    ent, attempt = build.ent(auth_method="client_secret_post"), Attempt()
    whole = form(ent, code_for(browser, ent, attempt), code_verifier=attempt.verifier) | {
        "client_id": ent.client_id,
        "client_secret": str(ent.secret),
    }
    for name in whole:
        rest = {key: value for key, value in whole.items() if key != name}
        refused(ask(browser, rest, query_string={name: whole[name]}), "invalid_request")
    refused(ask(browser, "", content_type=FORM, query_string=whole), "invalid_request")
    assert ask(browser, whole).status_code == 200


@pytest.mark.row("T-12")
@each_row("path", ENDPOINTS)
def test_other_methods_get_the_allowed_method(browser: FlaskClient, ent: RelyingParty, path: str) -> None:
    # RFC 6749, 3.2; RFC 9110, 15.5.6.
    for method in ("GET", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"):
        response = browser.open(path, method=method, headers=ent.basic(), data=form(ent))
        assert (response.status_code, response.headers["Allow"]) == (405, "POST"), method
        if method != "HEAD":
            text = {"error": "invalid_request", "error_description": "this endpoint supports POST"}
            assert response.get_json() == text, method


@pytest.mark.row("T-11", "T-13", "T-14")
@each_row("path", ENDPOINTS)
def test_every_endpoint_reads_one_form_of_a_proven_client(browser: FlaskClient, ent: RelyingParty, path: str) -> None:
    # RFC 6749, 3.2; RFC 7009, 2.1; RFC 7662, 2.1; RFC 9126, 2.3.
    refused(browser.post(path, data=form(ent, token="x", client_id=ent.client_id)), "invalid_client", 401)
    own = ent.basic()
    refused(browser.post(path, data={}, headers=own), "invalid_request", 415)
    refused(browser.post(path, data={"a": "b"}, headers=own), "invalid_request")
    refused(browser.post(path, json={"token": "x"}, headers=own), "invalid_request", 415)
    refused(browser.post(f"{path}?token=x", data={"token": "x"}, headers=own), "invalid_request")
    refused(browser.post(path, data="token=x&token=y", content_type=FORM, headers=own), "invalid_request")
    large = browser.post(path, headers=own, data={"client_id": ent.client_id, "x": "x" * 100_000})
    assert large.status_code == 413


@pytest.mark.row("T-13")
def test_a_parameter_that_stands_twice_is_refused(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 6749, 3.2.
    code = code_for(browser, ent, attempt)
    body = form(ent, code, code_verifier=attempt.verifier, client_id=ent.client_id)
    encoded = "&".join(f"{name}={value}" for name, value in body.items())
    for name in body:
        twice = f"{encoded}&{name}={body[name]}"
        refused(ask(browser, twice, content_type=FORM, headers=ent.basic()), "invalid_request")
    refused(ask(browser, body | {"client_id": "other"}, headers=ent.basic()), "invalid_client", 401)
    assert ask(browser, body, headers=ent.basic()).status_code == 200


@pytest.mark.row("T-14")
def test_other_bodies_than_forms_are_refused_quickly(browser: FlaskClient, ent: RelyingParty) -> None:
    # RFC 6749, 4.1.3; Security row T-14.
    for content_type in ("application/json", "multipart/form-data; boundary=x", "text/plain", ""):
        body = b'{"grant_type": "authorization_code"}'
        refused(ask(browser, body, content_type=content_type, headers=ent.basic()), "invalid_request", 415)
    start = time.thread_time()
    response = ask(browser, b"code=" + b"x" * 10_000_000, content_type=FORM, headers=ent.basic())
    assert response.status_code == 413
    assert time.thread_time() - start < 2
    refused(ask(browser, b"\xff\xfe=%ff", content_type=FORM, headers=ent.basic()), "invalid_request")
    refused(ask(browser, "code=a%00b&grant_type=x", content_type=FORM, headers=ent.basic()), "invalid_request")


@pytest.mark.row("T-15")
def test_other_grants_are_refused(browser: FlaskClient, ent: RelyingParty) -> None:
    # RFC 6749, 5.2.
    for grant in GRANTS:
        body = form(ent) | {"grant_type": grant, "username": "a", "password": "b", "assertion": "a.b.c"}
        refused(ask(browser, body, headers=ent.basic()), "unsupported_grant_type")
    body = {key: value for key, value in form(ent).items() if key != "grant_type"}
    for absent in ({}, {"grant_type": ""}):
        refused(ask(browser, body | absent, headers=ent.basic()), "invalid_request")
    refused(ent.refresh(browser, "x" * 43), "unauthorized_client")
