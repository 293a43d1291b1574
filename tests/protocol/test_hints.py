"""ID tokens as hints of authorize and logout (security rows A-18, X-02); forgeries are in test_jose."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt

from idp.accounts.models import Account
from idp.oidc.keys import rotation
from idp.oidc.tokens import issued
from idp.services import services_of
from tests.builders import Build
from tests.protocol.flow import tokens_for
from tests.relying_party import Attempt, RelyingParty


@pytest.mark.row("A-18")
def test_a_hint_is_accepted_for_its_own_client_only(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.2."""
    other = build.ent("Horizon", "horizon.test", subject="public")
    token = tokens_for(browser, other)["id_token"]
    assert ent.answer(browser.get(ent.url(Attempt(), id_token_hint=token)))["error"] == "invalid_request"
    assert other.answer(browser.get(other.url(Attempt(), id_token_hint=token)))["code"]


@pytest.mark.row("A-18")
def test_a_hint_signed_by_a_retired_key_is_refused(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.2."""
    token = tokens_for(browser, ent)["id_token"]
    [jwk] = browser.get("/jwks.json").get_json()["keys"]
    rotation.rotate(build.settings, at_once=True)
    services_of(app).server.ring.forget()
    assert ent.answer(browser.get(ent.url(Attempt(), id_token_hint=token)))["code"]
    assert rotation.retire(jwk["kid"])
    services_of(app).server.ring.forget()
    assert ent.answer(browser.get(ent.url(Attempt(), id_token_hint=token)))["error"] == "invalid_request"


@pytest.mark.row("X-02")
@pytest.mark.parametrize("missing", ["sub", "sid"])
def test_a_token_of_another_type_is_refused_as_a_hint(app: Flask, build: Build, missing: str) -> None:
    """RFC 8725, 3.12."""
    server = services_of(app).server
    signer = server.ring.signer("RS256")
    claims: dict[str, object] = {"iss": build.settings.issuer, "sub": "a", "sid": "b", "aud": "c"}

    def read(changed: dict[str, object], typ: str = "JWT") -> object:
        token = jwt.encode({"alg": "RS256", "kid": signer.kid, "typ": typ}, changed, signer.key)
        return issued.read_id_token(build.settings, server.ring, token)

    assert read(claims) == claims
    assert read({name: value for name, value in claims.items() if name != missing}) is None
    assert read({**claims, missing: 7}) is None
    assert read({**claims, "iss": f"{build.settings.issuer}/"}) is None
    assert read(claims, typ="logout+jwt") is None
