"""Revocation (RFC 7009) and introspection (RFC 7662) of a client's own tokens."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.sessions import manager
from tests.builders import Build
from tests.dpop_party import Key, KeyedParty
from tests.protocol.flow import OFFLINE, code_for, refused, tokens_for
from tests.relying_party import Attempt, RelyingParty


def post(browser: FlaskClient, path: str, ent: RelyingParty, token: str, **more: str) -> TestResponse:
    return browser.post(path, data={"token": token, **more}, headers=ent.basic())


def revoked(browser: FlaskClient, ent: RelyingParty, token: str, **more: str) -> None:
    answer = post(browser, "/revoke", ent, token, **more)
    assert (answer.status_code, answer.get_json()) == (200, {})


def introspect(browser: FlaskClient, ent: RelyingParty, token: str, **more: str) -> dict[str, Any]:
    answer = post(browser, "/introspect", ent, token, **more)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    introspection: dict[str, Any] = answer.get_json()
    return introspection


@pytest.fixture
def ent(build: Build) -> RelyingParty:
    return build.ent(scopes=OFFLINE)


def test_revoking_an_access_token_ends_it_alone(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    """RFC 7009, 2.1."""
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    revoked(browser, ent, tokens["access_token"])
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 401
    assert ent.refresh(browser, tokens["refresh_token"]).status_code == 200


@pytest.mark.parametrize("hint", ["", "refresh_token", "access_token", "something"])
def test_revoking_a_refresh_token_ends_all_that_came_from_its_sign_in(
    browser: FlaskClient, ent: RelyingParty, session: Account, hint: str
) -> None:
    """RFC 7009, 2.1."""
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    renewed = ent.refresh(browser, tokens["refresh_token"]).get_json()
    revoked(browser, ent, tokens["refresh_token"], token_type_hint=hint)
    for pair in (tokens, renewed):
        assert ent.userinfo(browser, pair["access_token"]).status_code == 401
        refused(ent.refresh(browser, pair["refresh_token"]), "invalid_grant")


def test_another_client_s_token_is_refused_and_not_disclosed(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    """RFC 7009, 2.1; RFC 6749, 5.2."""
    tokens, other = tokens_for(browser, ent, scope=OFFLINE), build.ent("Voisin", "voisin.test")
    for token in (tokens["access_token"], tokens["refresh_token"]):
        refused(post(browser, "/revoke", other, token), "invalid_grant")
        assert introspect(browser, other, token) == {"active": False}
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 200
    assert ent.refresh(browser, tokens["refresh_token"]).status_code == 200


def test_revoking_another_client_s_inactive_token_succeeds(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    """RFC 7009, 2.2."""
    tokens, other = tokens_for(browser, ent, scope=OFFLINE), build.ent("Voisin", "voisin.test")
    renewed = ent.refresh(browser, tokens["refresh_token"]).get_json()
    revoked(browser, other, tokens["refresh_token"])  # already used: sent by its own client it would revoke the family
    assert ent.userinfo(browser, renewed["access_token"]).status_code == 200
    revoked(browser, ent, renewed["access_token"])
    revoked(browser, other, renewed["access_token"])
    with time_machine.travel(now() + timedelta(hours=1), tick=False):
        revoked(browser, other, tokens["access_token"])
    manager.end_all(session.id, by="operator")
    db.session.commit()
    revoked(browser, other, renewed["refresh_token"])


@pytest.mark.row("T-25")
def test_revoking_an_unknown_token_succeeds(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    """RFC 7009, 2.2."""
    code = code_for(browser, ent, attempt, scope=OFFLINE)
    for text in ("x", "é", "x" * 9000, "a.b.c", code):
        revoked(browser, ent, text)
        assert introspect(browser, ent, text) == {"active": False}
    ent.tokens(browser, code, attempt)


def test_a_public_client_may_revoke_and_not_introspect(browser: FlaskClient, build: Build, session: Account) -> None:
    """RFC 7662, 2.1."""
    ent = build.ent(auth_method="none", scopes=OFFLINE)
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    form = {"token": tokens["access_token"], "client_id": ent.client_id}
    refused(browser.post("/introspect", data=form), "invalid_client", 401)
    assert browser.post("/revoke", data=form).status_code == 200
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 401


def test_introspection_describes_an_active_token(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    """RFC 7662, 2.2."""
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    access = introspect(browser, ent, tokens["access_token"], token_type_hint="access_token")
    claims = tokens["claims"]
    assert access["exp"] > now().timestamp()
    assert {name: access[name] for name in ("active", "client_id", "aud", "token_type", "scope", "iss")} == {
        "active": True,
        "client_id": ent.client_id,
        "aud": ent.client_id,
        "token_type": "Bearer",
        "scope": OFFLINE,
        "iss": ent.issuer,
    }
    assert [access[name] for name in ("sub", "auth_time", "acr")] == [claims[n] for n in ("sub", "auth_time", "acr")]
    refresh = introspect(browser, ent, tokens["refresh_token"])
    assert refresh["active"]
    assert "token_type" not in refresh
    assert "cnf" not in refresh


def test_introspection_names_the_key_of_a_bound_token(browser: FlaskClient, build: Build, session: Account) -> None:
    """RFC 9449, 6.2."""
    key = Key.new()
    jwks = {"keys": [{**key.jwk, "kid": key.kid}]}
    ent, attempt = KeyedParty.of(build.ent(auth_method="private_key_jwt", jwks=jwks), client=key), Attempt()
    answer = ent.redeem(browser, code_for(browser, ent, attempt), attempt, ent.fresh_proof())
    introspection = ent.post(browser, "/introspect", {"token": answer.get_json()["access_token"]}, None).get_json()
    assert introspection["token_type"] == "DPoP"
    assert introspection["cnf"] == {"jkt": ent.key.thumbprint}


def test_introspection_of_an_inactive_token_gives_no_reason(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    """RFC 7662, 2.2."""
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    ent.refresh(browser, tokens["refresh_token"])
    assert introspect(browser, ent, tokens["refresh_token"]) == {"active": False}
    assert introspect(browser, ent, tokens["access_token"])["active"]
    manager.end_all(session.id, by="operator")
    db.session.commit()
    assert introspect(browser, ent, tokens["access_token"]) == {"active": False}
