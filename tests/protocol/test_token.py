"""Codes and tokens: their use, introspection and revocation (security rows T-01 to T-25)."""

import re
import string
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from idp import opaque
from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.sessions import manager
from idp.sessions.models import Session
from tests.builders import Build
from tests.dpop_party import Key, KeyedParty
from tests.pages import cookie_value, heading
from tests.protocol.flow import OFFLINE, code_for, refused, tokens_for
from tests.recovery.steps import FORM, mailed_link
from tests.relying_party import Attempt, RelyingParty


def events(kind: str) -> int:
    return len(db.session.scalars(select(AuditEntry).where(AuditEntry.kind == kind)).all())


@pytest.mark.row("T-01")
def test_a_code_older_than_sixty_seconds_is_refused(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 6749, 4.1.2; FAPI 2.0 Security Profile, 5.3.2.1.
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        codes = [code_for(browser, ent, attempt) for _ in range(2)]
        clock.shift(59)
        assert ent.exchange(browser, codes[0], attempt).status_code == 200
        clock.shift(2)
        refused(ent.exchange(browser, codes[1], attempt), "invalid_grant")


@pytest.mark.row("T-02")
def test_replayed_code_revokes_its_tokens(browser: FlaskClient, build: Build, session: Account) -> None:
    # RFC 6749, 4.1.2.
    ent, attempt = build.ent(scopes=OFFLINE), Attempt()
    code = code_for(browser, ent, attempt, scope=OFFLINE)
    tokens = ent.tokens(browser, code, attempt)
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 200
    refused(ent.exchange(browser, code, attempt), "invalid_grant")
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 401
    refused(ent.refresh(browser, tokens["refresh_token"]), "invalid_grant")
    assert events("code.reused") == 1
    refused(ent.exchange(browser, code, attempt, code_verifier=Attempt().verifier), "invalid_grant")


@pytest.mark.row("T-02")
def test_replay_of_ended_tokens_is_recorded_once_an_hour(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 9700, 4.5. A client that repeats a replay does not fill the journal.
    code = code_for(browser, ent, attempt)
    tokens = ent.tokens(browser, code, attempt)
    assert browser.post("/revoke", data={"token": tokens["access_token"]}, headers=ent.basic()).status_code == 200
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        for expected in (1, 2):
            for _ in range(3):
                refused(ent.exchange(browser, code, attempt), "invalid_grant")
                assert events("code.reused") == expected
            clock.shift(3_601)


@pytest.mark.row("T-02")
def test_a_late_first_use_is_not_recorded_as_reuse(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 6749, 4.1.2; Security row T-02.
    code = code_for(browser, ent, attempt)
    db.session.scalars(select(Session)).one().ended_at = datetime.now(UTC)
    db.session.commit()
    refused(ent.exchange(browser, code, attempt), "invalid_grant")
    assert events("code.reused") == 0
    refused(ent.exchange(browser, code, attempt), "invalid_grant")


@pytest.mark.row("T-04")
def test_the_redirect_uri_must_be_there_and_the_same(browser: FlaskClient, build: Build, session: Account) -> None:
    # RFC 6749, 4.1.3.
    ent, attempt = build.ent(redirect_uris=["https://ent.test/cb", "https://ent.test/cb2"]), Attempt()
    code = code_for(browser, ent, attempt)
    for uri in (None, "", "https://ent.test/cb2", "https://ent.test/cb/", "é"):
        refused(ent.exchange(browser, code, attempt, redirect_uri=uri), "invalid_grant")
    ent.tokens(browser, code, attempt)


@pytest.mark.row("T-05")
def test_a_verifier_that_is_missing_wrong_or_malformed_is_refused(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 7636, 4.6, 4.1.
    code = code_for(browser, ent, attempt)
    for verifier in (None, "", Attempt().verifier, attempt.challenge):
        refused(ent.exchange(browser, code, attempt, code_verifier=verifier), "invalid_grant")
    for verifier in ("a" * 42, "a" * 129, "a" * 42 + "+", "é" * 43, "a" * 42 + " "):
        refused(ent.exchange(browser, code, attempt, code_verifier=verifier), "invalid_request")
    ent.tokens(browser, code, attempt)


@pytest.mark.row("T-07")
def test_a_wrong_secret_without_challenge_is_unauthorized(browser: FlaskClient, build: Build, session: Account) -> None:
    # RFC 6749, 3.2.1.
    for method in ("client_secret_basic", "client_secret_post"):
        ent, attempt = build.ent(pkce_required=False, auth_method=method), Attempt()
        code = code_for(browser, ent, attempt, code_challenge=None, code_challenge_method=None)
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": ent.redirect_uri,
            "client_id": ent.client_id,
        }
        for secret in ({}, {"client_secret": "false"}, {"client_secret": ""}):
            refused(browser.post("/token", data=body | secret), "invalid_client", 401)


@pytest.mark.row("T-07")
def test_a_public_client_proves_itself_by_its_verifier_alone(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # RFC 9700, 2.1.1; OpenID Connect Core 1.0, 9.
    ent, attempt = build.ent(auth_method="none"), Attempt()
    assert ent.secret is None
    code = code_for(browser, ent, attempt)
    refused(ent.exchange(browser, code, attempt, code_verifier=None), "invalid_request")
    refused(ent.exchange(browser, code, attempt, client_secret="x"), "invalid_client", 401)
    refused(ent.exchange(browser, code, attempt, code_verifier=Attempt().verifier), "invalid_grant")
    assert ent.tokens(browser, code, attempt)["claims"]["aud"] == ent.client_id


@pytest.mark.row("T-17")
def test_the_answer_says_what_is_true_and_no_more(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 6749, 5.1; OpenID Connect Core 1.0, 3.1.3.3.
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        response = ent.exchange(browser, code_for(browser, ent, attempt), attempt)
        assert (response.headers["Cache-Control"], response.mimetype) == ("no-store", "application/json")
        body = response.get_json()
        assert set(body) == {"access_token", "token_type", "expires_in", "scope", "id_token"}
        assert body["token_type"] == "Bearer"
        clock.shift(body["expires_in"] - 1)
        assert ent.userinfo(browser, body["access_token"]).status_code == 200
        clock.shift(2)
        assert ent.userinfo(browser, body["access_token"]).status_code == 401
    offline = build.ent("Horizon", "horizon.test", scopes=OFFLINE)
    assert "refresh_token" not in tokens_for(browser, offline)
    assert "refresh_token" in tokens_for(browser, offline, scope=OFFLINE)


@pytest.mark.row("T-24")
def test_values_have_256_bits_in_an_alphabet_that_needs_no_encoding(app: Flask) -> None:
    # RFC 6749, 10.10.
    alphabet = set(string.ascii_letters + string.digits + "-_")
    seen = {opaque.new_value() for _ in range(100_000)}
    assert len(seen) == 100_000
    assert set().union(*map(set, seen)) == alphabet
    assert {len(value) for value in seen} == {43}


@pytest.mark.row("T-24")
def test_no_secret_is_stored_in_clear(browser: FlaskClient, build: Build, session: Account) -> None:
    # RFC 6819, 5.1.4.1.3.
    ent, attempt = build.ent(scopes=OFFLINE), Attempt()
    code = code_for(browser, ent, attempt, scope=OFFLINE)
    tokens = ent.tokens(browser, code, attempt)
    cookie = cookie_value(browser)
    secrets = [code, tokens["access_token"], tokens["refresh_token"], tokens["id_token"], cookie, ent.secret]
    for value in secrets[:3]:
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", str(value))
    everything = "\n".join(
        str(row)
        for table in db.metadata.tables
        for row in db.session.execute(text(f'SELECT * FROM "{table}"'))  # noqa: S608 - our own table names
    )
    assert ent.client_id in everything  # what is no secret is found, so the search works
    for value in secrets:
        assert str(value) not in everything


@pytest.mark.row("T-25")
def test_a_value_of_one_kind_is_refused_as_another_kind(browser: FlaskClient, build: Build, session: Account) -> None:
    # Security row T-25; RFC 6749, 4.1.3, 6; RFC 6750, 2; CVE-2026-4282.
    ent, attempt = build.ent(scopes=OFFLINE), Attempt()
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    cookie = cookie_value(browser)
    code = code_for(browser, ent, attempt)
    for value in (tokens["access_token"], tokens["refresh_token"], tokens["id_token"][:200], cookie):
        refused(ent.exchange(browser, value, attempt), "invalid_grant")
    for value in (tokens["access_token"], tokens["id_token"][:200], code, cookie):
        refused(ent.refresh(browser, value), "invalid_grant")
    for value in (tokens["refresh_token"], tokens["id_token"], code, cookie):
        assert ent.userinfo(browser, value).status_code == 401
    for value in (code, tokens["access_token"], cookie):
        assert "Confirmer</button>" not in browser.get(f"/adresse/lien/{value}").get_data(as_text=True)
    ent.tokens(browser, code, attempt)


@pytest.mark.row("T-25")
def test_a_mailed_link_is_refused_as_a_protocol_value_and_by_other_pages(
    app: Flask, browser: FlaskClient, build: Build, session: Account
) -> None:
    # RFC 6749, 10.10.
    ent = build.ent(scopes=OFFLINE)
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    link = mailed_link(app, browser, session)
    value = link.rpartition("/")[2]
    refused(ent.exchange(browser, value, Attempt()), "invalid_grant")
    refused(ent.refresh(browser, value), "invalid_grant")
    assert ent.userinfo(browser, value).status_code == 401
    assert browser.get(f"/adresse/lien/{value}").status_code == 410
    for other in (tokens["access_token"], tokens["refresh_token"]):
        assert browser.get(link.replace(value, other)).status_code == 410
    assert heading(browser.get(link)) == FORM


def post(browser: FlaskClient, path: str, offline: RelyingParty, token: str, **more: str) -> TestResponse:
    return browser.post(path, data={"token": token, **more}, headers=offline.basic())


def revoked(browser: FlaskClient, offline: RelyingParty, token: str, **more: str) -> None:
    answer = post(browser, "/revoke", offline, token, **more)
    assert (answer.status_code, answer.get_json()) == (200, {})


def introspect(browser: FlaskClient, offline: RelyingParty, token: str, **more: str) -> dict[str, Any]:
    answer = post(browser, "/introspect", offline, token, **more)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    return dict(answer.get_json())


@pytest.fixture
def offline(build: Build) -> RelyingParty:
    return build.ent(scopes=OFFLINE)


def test_revoking_an_access_token_ends_it_alone(browser: FlaskClient, offline: RelyingParty, session: Account) -> None:
    # RFC 7009, 2.1.
    tokens = tokens_for(browser, offline, scope=OFFLINE)
    revoked(browser, offline, tokens["access_token"])
    assert offline.userinfo(browser, tokens["access_token"]).status_code == 401
    assert offline.refresh(browser, tokens["refresh_token"]).status_code == 200


@pytest.mark.parametrize("hint", ["", "refresh_token", "access_token", "something"])
def test_revoking_a_refresh_token_ends_all_that_came_from_its_sign_in(
    browser: FlaskClient, offline: RelyingParty, session: Account, hint: str
) -> None:
    # RFC 7009, 2.1.
    tokens = tokens_for(browser, offline, scope=OFFLINE)
    renewed = offline.refresh(browser, tokens["refresh_token"]).get_json()
    revoked(browser, offline, tokens["refresh_token"], token_type_hint=hint)
    for pair in (tokens, renewed):
        assert offline.userinfo(browser, pair["access_token"]).status_code == 401
        refused(offline.refresh(browser, pair["refresh_token"]), "invalid_grant")


def test_another_client_s_token_is_refused_and_not_disclosed(
    browser: FlaskClient, build: Build, offline: RelyingParty, session: Account
) -> None:
    # RFC 7009, 2.1; RFC 6749, 5.2.
    tokens, other = tokens_for(browser, offline, scope=OFFLINE), build.ent("Voisin", "voisin.test")
    for token in (tokens["access_token"], tokens["refresh_token"]):
        refused(post(browser, "/revoke", other, token), "invalid_grant")
        assert introspect(browser, other, token) == {"active": False}
    assert offline.userinfo(browser, tokens["access_token"]).status_code == 200
    assert offline.refresh(browser, tokens["refresh_token"]).status_code == 200


def test_revoking_another_client_s_inactive_token_succeeds(
    browser: FlaskClient, build: Build, offline: RelyingParty, session: Account
) -> None:
    # RFC 7009, 2.2.
    tokens, other = tokens_for(browser, offline, scope=OFFLINE), build.ent("Voisin", "voisin.test")
    renewed = offline.refresh(browser, tokens["refresh_token"]).get_json()
    revoked(browser, other, tokens["refresh_token"])  # already used: sent by its own client it would revoke the family
    assert offline.userinfo(browser, renewed["access_token"]).status_code == 200
    revoked(browser, offline, renewed["access_token"])
    revoked(browser, other, renewed["access_token"])
    with time_machine.travel(now() + timedelta(hours=1), tick=False):
        revoked(browser, other, tokens["access_token"])
    manager.end_all(session.id, by="operator")
    db.session.commit()
    revoked(browser, other, renewed["refresh_token"])


@pytest.mark.row("T-25")
def test_revoking_an_unknown_token_succeeds(
    browser: FlaskClient, offline: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 7009, 2.2.
    code = code_for(browser, offline, attempt, scope=OFFLINE)
    for unknown in ("x", "é", "x" * 9000, "a.b.c", code):
        revoked(browser, offline, unknown)
        assert introspect(browser, offline, unknown) == {"active": False}
    offline.tokens(browser, code, attempt)


def test_introspection_describes_an_active_token(browser: FlaskClient, offline: RelyingParty, session: Account) -> None:
    # RFC 7662, 2.2.
    tokens = tokens_for(browser, offline, scope=OFFLINE)
    access = introspect(browser, offline, tokens["access_token"], token_type_hint="access_token")
    claims = tokens["claims"]
    assert access["exp"] > now().timestamp()
    assert {name: access[name] for name in ("active", "client_id", "aud", "token_type", "scope", "iss")} == {
        "active": True,
        "client_id": offline.client_id,
        "aud": offline.client_id,
        "token_type": "Bearer",
        "scope": OFFLINE,
        "iss": offline.issuer,
    }
    assert [access[name] for name in ("sub", "auth_time", "acr")] == [claims[n] for n in ("sub", "auth_time", "acr")]
    refresh = introspect(browser, offline, tokens["refresh_token"])
    assert refresh["active"]
    assert "token_type" not in refresh
    assert "cnf" not in refresh


def test_introspection_names_the_key_of_a_bound_token(browser: FlaskClient, build: Build, session: Account) -> None:
    # RFC 9449, 6.2.
    key = Key.new()
    jwks = {"keys": [{**key.jwk, "kid": key.kid}]}
    offline, attempt = KeyedParty.of(build.ent(auth_method="private_key_jwt", jwks=jwks), client=key), Attempt()
    answer = offline.redeem(browser, code_for(browser, offline, attempt), attempt, offline.fresh_proof())
    introspection = offline.post(browser, "/introspect", {"token": answer.get_json()["access_token"]}, None).get_json()
    assert (introspection["token_type"], introspection["cnf"]) == ("DPoP", {"jkt": offline.key.thumbprint})


def test_introspection_of_an_inactive_token_gives_no_reason(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    # RFC 7662, 2.2.
    tokens = tokens_for(browser, offline, scope=OFFLINE)
    offline.refresh(browser, tokens["refresh_token"])
    assert introspect(browser, offline, tokens["refresh_token"]) == {"active": False}
    assert introspect(browser, offline, tokens["access_token"])["active"]
    manager.end_all(session.id, by="operator")
    db.session.commit()
    assert introspect(browser, offline, tokens["access_token"]) == {"active": False}
