"""UserInfo as a signed JWT, for clients that registered so (security row U-01; OpenID Connect Core 1.0, 5.3.2)."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.oidc.keys import rotation
from idp.oidc.keys.material import ALGORITHMS
from idp.oidc.models import SigningKey
from idp.oidc.tokens import issued
from idp.services import services_of
from tests.builders import Build
from tests.protocol.flow import tokens_for
from tests.relying_party import Attempt
from tests.signatures import public_key, unb64, verify


def opened(browser: FlaskClient, response: TestResponse, alg: str) -> dict[str, Any]:
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/jwt"
    assert response.headers["Cache-Control"] == "no-store"
    head, body, signature = response.get_data(as_text=True).split(".")
    header = json.loads(unb64(head))
    assert header == {"alg": alg, "kid": header["kid"]}, "nothing that could be taken for an ID token's"
    [jwk] = [key for key in browser.get("/jwks.json").get_json()["keys"] if key["kid"] == header["kid"]]
    assert jwk["alg"] == alg
    verify(alg, public_key(jwk), f"{head}.{body}".encode(), unb64(signature))
    claims: dict[str, Any] = json.loads(unb64(body))
    return claims


@pytest.mark.row("U-01")
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signed_answer_says_who_tells_whom(
    app: Flask, browser: FlaskClient, build: Build, session: Account, alg: str
) -> None:
    """OpenID Connect Core 1.0, 5.3.2."""
    if alg != "RS256":
        rotation.rotate(build.settings, alg, at_once=True)
    services_of(app).server.ring.forget()
    assert alg in browser.get("/.well-known/openid-configuration").get_json()["userinfo_signing_alg_values_supported"]
    ent, plain = build.ent(userinfo_alg=alg), build.ent("Horizon", "horizon.test")
    tokens = tokens_for(browser, ent)
    header = {"Authorization": f"Bearer {tokens['access_token']}"}
    answers = [
        opened(browser, browser.get("/userinfo", headers=header), alg),
        opened(browser, browser.post("/userinfo", headers=header), alg),
        opened(browser, browser.post("/userinfo", data={"access_token": tokens["access_token"]}), alg),
    ]
    assert answers[0] == answers[1] == answers[2]
    claims = answers[0]
    assert (claims.pop("iss"), claims.pop("aud")) == (build.settings.issuer, ent.client_id)
    assert claims["sub"] == tokens["claims"]["sub"]
    unsigned = plain.userinfo(browser, tokens_for(browser, plain)["access_token"]).get_json()
    assert {**claims, "sub": ""} == {**unsigned, "sub": ""}


@pytest.mark.row("U-01")
def test_without_a_key_the_client_is_asked_to_retry(
    app: Flask, browser: FlaskClient, build: Build, session: Account
) -> None:
    """RFC 9110, 15.6.4. A client that registered signed responses gets no unsigned one."""
    rotation.rotate(build.settings, "ES256", at_once=True)
    ent = build.ent(userinfo_alg="ES256")
    token = tokens_for(browser, ent)["access_token"]
    db.session.execute(update(SigningKey).where(SigningKey.alg == "ES256").values(retired_at=now()))
    db.session.commit()
    services_of(app).server.ring.forget()
    response = ent.userinfo(browser, token)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert "Noémie" not in response.get_data(as_text=True)
    rotation.rotate(build.settings, "ES256", at_once=True)
    services_of(app).server.ring.forget()
    assert opened(browser, ent.userinfo(browser, token), "ES256")["given_name"] == "Noémie"


@pytest.mark.row("T-25")
def test_a_signed_answer_is_no_id_token(app: Flask, browser: FlaskClient, build: Build, session: Account) -> None:
    """RFC 8725, 2.8."""
    ent = build.ent(userinfo_alg="RS256")
    signed = ent.userinfo(browser, tokens_for(browser, ent)["access_token"]).get_data(as_text=True)
    assert issued.read_id_token(build.settings, services_of(app).server.ring, signed) is None
    assert ent.answer(browser.get(ent.url(Attempt(), id_token_hint=signed)))["error"] == "invalid_request"
    assert ent.userinfo(browser, signed).status_code == 401
