"""The token endpoint and authorization codes (security rows T-01 to T-08, T-12, T-15, T-17, T-24, T-25)."""

import re
import string
from datetime import UTC, datetime

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text

from idp import opaque
from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.db import db
from idp.sessions.models import Session
from tests.builders import Build
from tests.pages import heading
from tests.protocol.flow import OFFLINE, code_for, refused, tokens_for
from tests.recovery.steps import FORM, mailed_link
from tests.relying_party import Attempt, RelyingParty


def events(kind: str) -> int:
    return len(db.session.scalars(select(AuditEntry).where(AuditEntry.kind == kind)).all())


@pytest.mark.row("T-01")
def test_a_code_older_than_sixty_seconds_is_refused(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    """RFC 6749, 4.1.2; FAPI 2.0 Security Profile, 5.3.2.1."""
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        codes = [code_for(browser, ent, attempt) for _ in range(2)]
        clock.shift(59)
        assert ent.exchange(browser, codes[0], attempt).status_code == 200
        clock.shift(2)
        refused(ent.exchange(browser, codes[1], attempt), "invalid_grant")


@pytest.mark.row("T-02")
def test_replayed_code_revokes_its_tokens(browser: FlaskClient, build: Build, session: Account) -> None:
    """RFC 6749, 4.1.2."""
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
    """RFC 9700, 4.5. A client that repeats a replay does not fill the journal."""
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
    """RFC 6749, 4.1.2; Security row T-02."""
    code = code_for(browser, ent, attempt)
    db.session.scalars(select(Session)).one().ended_at = datetime.now(UTC)
    db.session.commit()
    refused(ent.exchange(browser, code, attempt), "invalid_grant")
    assert events("code.reused") == 0
    refused(ent.exchange(browser, code, attempt), "invalid_grant")


@pytest.mark.row("T-03")
def test_another_client_cannot_use_a_code_and_does_not_use_it_up(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    """RFC 6749, 4.1.3; Security row T-03."""
    other, attempt = build.ent("Horizon", "horizon.test"), Attempt()
    code = code_for(browser, ent, attempt)
    for uri in (ent.redirect_uri, other.redirect_uri):
        refused(other.exchange(browser, code, attempt, redirect_uri=uri), "invalid_grant")
    tokens = ent.tokens(browser, code, attempt)
    refused(other.exchange(browser, code, attempt, redirect_uri=ent.redirect_uri), "invalid_grant")
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 200
    assert events("code.reused") == 0


@pytest.mark.row("T-04")
def test_the_redirect_uri_must_be_there_and_the_same(browser: FlaskClient, build: Build, session: Account) -> None:
    """RFC 6749, 4.1.3."""
    ent, attempt = build.ent(redirect_uris=["https://ent.test/cb", "https://ent.test/cb2"]), Attempt()
    code = code_for(browser, ent, attempt)
    for uri in (None, "", "https://ent.test/cb2", "https://ent.test/cb/", "é"):
        refused(ent.exchange(browser, code, attempt, redirect_uri=uri), "invalid_grant")
    ent.tokens(browser, code, attempt)


@pytest.mark.row("T-05")
def test_a_verifier_that_is_missing_wrong_or_malformed_is_refused(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    """RFC 7636, 4.6, 4.1."""
    code = code_for(browser, ent, attempt)
    for verifier in (None, "", Attempt().verifier, attempt.challenge):
        refused(ent.exchange(browser, code, attempt, code_verifier=verifier), "invalid_grant")
    for verifier in ("a" * 42, "a" * 129, "a" * 42 + "+", "é" * 43, "a" * 42 + " "):
        refused(ent.exchange(browser, code, attempt, code_verifier=verifier), "invalid_request")
    ent.tokens(browser, code, attempt)


@pytest.mark.row("T-07")
def test_a_wrong_secret_without_challenge_is_unauthorized(browser: FlaskClient, build: Build, session: Account) -> None:
    """RFC 6749, 3.2.1."""
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
    """RFC 9700, 2.1.1; OpenID Connect Core 1.0, 9."""
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
    """RFC 6749, 5.1; OpenID Connect Core 1.0, 3.1.3.3."""
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        response = ent.exchange(browser, code_for(browser, ent, attempt), attempt)
        assert response.headers["Cache-Control"] == "no-store"
        assert response.mimetype == "application/json"
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
    """RFC 6749, 10.10."""
    alphabet = set(string.ascii_letters + string.digits + "-_")
    seen = {opaque.new_value() for _ in range(100_000)}
    assert len(seen) == 100_000
    assert set().union(*map(set, seen)) == alphabet
    assert {len(value) for value in seen} == {43}


@pytest.mark.row("T-24")
def test_no_secret_is_stored_in_clear(browser: FlaskClient, build: Build, session: Account) -> None:
    """RFC 6819, 5.1.4.1.3."""
    ent, attempt = build.ent(scopes=OFFLINE), Attempt()
    code = code_for(browser, ent, attempt, scope=OFFLINE)
    tokens = ent.tokens(browser, code, attempt)
    cookie = browser.get_cookie("__Host-ss", domain="connexion.exemple.test")
    assert cookie is not None
    secrets = [code, tokens["access_token"], tokens["refresh_token"], tokens["id_token"], cookie.value, ent.secret]
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
    """Security row T-25; RFC 6749, 4.1.3, 6; RFC 6750, 2; CVE-2026-4282."""
    ent, attempt = build.ent(scopes=OFFLINE), Attempt()
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    cookie = browser.get_cookie("__Host-ss", domain="connexion.exemple.test")
    assert cookie is not None
    code = code_for(browser, ent, attempt)
    for value in (tokens["access_token"], tokens["refresh_token"], tokens["id_token"][:200], cookie.value):
        refused(ent.exchange(browser, value, attempt), "invalid_grant")
    for value in (tokens["access_token"], tokens["id_token"][:200], code, cookie.value):
        refused(ent.refresh(browser, value), "invalid_grant")
    for value in (tokens["refresh_token"], tokens["id_token"], code, cookie.value):
        assert ent.userinfo(browser, value).status_code == 401
    for value in (code, tokens["access_token"], cookie.value):
        page = browser.get(f"/adresse/lien/{value}")
        assert "Confirmer</button>" not in page.get_data(as_text=True)
    ent.tokens(browser, code, attempt)


@pytest.mark.row("T-25")
def test_a_mailed_link_is_refused_as_a_protocol_value_and_by_other_pages(
    app: Flask, browser: FlaskClient, build: Build, session: Account
) -> None:
    """RFC 6749, 10.10."""
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
