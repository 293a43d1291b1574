"""Discovery, keys and their rotation (security rows D-01 to D-06)."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account
from idp.config import ConfigurationError, load
from idp.db import db
from idp.oidc import keys
from idp.oidc.models import SigningKey
from tests.builders import Build
from tests.databases import ISSUER, SECRET
from tests.protocol.flow import OFFLINE, code_for, one_database, step_of, tokens_for
from tests.relying_party import Attempt, RelyingParty, number, unb64

DOCUMENTS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
EVERY_WAY = {
    "token_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post", "none"},
    "grant_types_supported": {"authorization_code", "refresh_token"},
    "response_types_supported": {"code"},
    "response_modes_supported": {"query"},
    "code_challenge_methods_supported": {"S256"},
    "subject_types_supported": {"pairwise", "public"},
    "prompt_values_supported": {"none", "login", "select_account"},
    "scopes_supported": {"openid", "profile", "email", "ent", "charter", "offline_access"},
}


def metadata(browser: FlaskClient) -> dict[str, Any]:
    document: dict[str, Any] = browser.get(DOCUMENTS[0]).get_json()
    return document


def jwks(browser: FlaskClient) -> list[dict[str, Any]]:
    published: list[dict[str, Any]] = browser.get("/jwks.json").get_json()["keys"]
    return published


@one_database
def test_d01_no_header_changes_an_address(browser: FlaskClient) -> None:
    hostile = {
        "Host": "evil.test",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Proto": "http",
        "Forwarded": "host=evil.test;proto=http",
        "X-Original-URL": "https://evil.test/",
    }
    for path in DOCUMENTS:
        honest = browser.get(path)
        assert honest.get_json()["issuer"] == ISSUER
        for name, value in hostile.items():
            answer = browser.get(path, headers={name: value})
            assert answer.status_code in {200, 400}, name
            if answer.status_code == 200:
                assert answer.get_json() == honest.get_json()
        addresses = [v for k, v in honest.get_json().items() if k == "jwks_uri" or k.endswith("_endpoint")]
        assert len(addresses) == 5
        assert all(address.startswith(f"{ISSUER}/") for address in addresses)
        for address in addresses:
            assert browser.get(address.removeprefix(ISSUER)).status_code != 404


@one_database
def test_d02_what_is_announced_is_exactly_this(browser: FlaskClient) -> None:
    document = metadata(browser)
    for name, values in EVERY_WAY.items():
        assert set(document[name]) == values
    for name in ("claims", "request", "request_uri"):
        assert document[f"{name}_parameter_supported"] is False
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["backchannel_logout_supported"] is True
    assert document["backchannel_logout_session_supported"] is True
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]
    for absent in ("registration_endpoint", "revocation_endpoint", "introspection_endpoint", "check_session_iframe"):
        assert absent not in document


def test_d02_every_announced_way_works(browser: FlaskClient, build: Build, session: Account) -> None:
    document = metadata(browser)
    told: set[str] = set()
    scope = " ".join(document["scopes_supported"])
    for method in document["token_endpoint_auth_methods_supported"]:
        for kind in document["subject_types_supported"]:
            ent = build.ent(auth_method=method, scopes=OFFLINE, subject=kind)
            build.publish(ent, "2026")
            attempt = Attempt()
            code = code_for(
                browser,
                ent,
                attempt,
                scope=scope,
                response_mode=document["response_modes_supported"][0],
                acr_values=document["acr_values_supported"][0],
            )
            proof: dict[str, str | None] = {}
            if method == "client_secret_post":
                proof = {"client_id": ent.client_id, "client_secret": ent.secret}
                ent.secret = None  # it goes into the body, not into the header
            response = ent.exchange(browser, code, attempt, **proof)
            assert response.status_code == 200, (method, kind, response.get_json())
            body = response.get_json()
            claims = ent.read(browser, body["id_token"])
            assert claims["acr"] in document["acr_values_supported"]
            told |= set(claims) | set(ent.userinfo(browser, body["access_token"]).get_json())
            assert ent.refresh(browser, body["refresh_token"], **proof).status_code == 200
    assert told | {"charter_accepted_at"} == set(document["claims_supported"])


def test_d02_every_announced_prompt_works_and_no_other(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    for prompt in metadata(browser)["prompt_values_supported"]:
        response = browser.get(ent.url(Attempt(), prompt=prompt))
        if prompt in {"login", "select_account"}:
            assert step_of(response) == "/connexion"
        else:
            assert ent.answer(response)["code"]
    for prompt in ("create", "NONE", "none login", "foo"):
        assert ent.answer(browser.get(ent.url(Attempt(), prompt=prompt)))["error"] == "invalid_request"


def test_d02_another_algorithm_is_announced_once_its_key_signs(
    app: Flask, browser: FlaskClient, build: Build, session: Account
) -> None:
    keys.rotate(build.settings, "ES256")
    app.extensions["idp.server"].ring.forget()
    assert metadata(browser)["id_token_signing_alg_values_supported"] == ["RS256", "ES256"]
    elliptic, ordinary = build.ent(id_token_alg="ES256"), build.ent("Horizon", "horizon.test")
    for ent, alg in ((elliptic, "ES256"), (ordinary, "RS256")):
        token = tokens_for(browser, ent)["id_token"]
        assert json.loads(unb64(token.split(".")[0]))["alg"] == alg


def test_d02_without_a_key_nothing_is_lost(app: Flask, browser: FlaskClient, build: Build, session: Account) -> None:
    ent, attempt = build.ent(id_token_alg="ES256"), Attempt()
    code = code_for(browser, ent, attempt)
    response = ent.exchange(browser, code, attempt)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    keys.rotate(build.settings, "ES256")
    app.extensions["idp.server"].ring.forget()
    ent.tokens(browser, code, attempt)


def test_d03_keys_show_their_public_part_alone_and_a_certificate_of_it(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    keys.rotate(build.settings)
    keys.rotate(build.settings, "ES256")
    app.extensions["idp.server"].ring.forget()
    published = jwks(browser)
    assert len({key["kid"] for key in published}) == len(published) == 3
    for key in published:
        members = {"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}}[key["kty"]]
        assert set(key) == {"kty", "kid", "use", "alg", "x5c"} | members
        assert key["use"] == "sig"
        [encoded] = key["x5c"]
        public = x509.load_der_x509_certificate(base64.b64decode(encoded, validate=True)).public_key()
        if isinstance(public, rsa.RSAPublicKey):
            assert public.key_size == 2048
            assert (public.public_numbers().n, public.public_numbers().e) == (number(key["n"]), number(key["e"]))


def test_d03_private_keys_are_sealed_in_the_database(app: Flask) -> None:
    row = db.session.scalars(select(SigningKey)).one()
    assert b"PRIVATE KEY" not in row.private_sealed
    assert "d" not in row.public_jwk


def test_d04_a_new_key_is_known_a_day_before_it_signs_and_the_old_one_stays(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    ring = app.extensions["idp.server"].ring
    [first] = jwks(browser)
    before = tokens_for(browser, ent)["id_token"]
    second = keys.rotate(build.settings).kid
    ring.forget()
    assert {key["kid"] for key in jwks(browser)} == {first["kid"], second}
    start = datetime.now(UTC)
    for hours, expected in ((0, first["kid"]), (23.9, first["kid"]), (24.1, second)):
        with time_machine.travel(start + timedelta(hours=hours)):
            signer = ring.signer("RS256")
            assert signer.kid == expected, hours
            assert signer.kid in {key["kid"] for key in jwks(browser)}
    assert ent.read(browser, before)  # what the old key signed is still verified
    with time_machine.travel(start + timedelta(hours=25)):
        assert keys.retire(first["kid"])
        ring.forget()
        assert {key["kid"] for key in jwks(browser)} == {second}


def test_d04_an_emergency_rotation_signs_at_once(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    [first] = jwks(browser)
    second = keys.rotate(build.settings, at_once=True).kid
    assert keys.retire(first["kid"])
    assert not keys.retire(second)  # the last one that signs
    app.extensions["idp.server"].ring.forget()
    token = tokens_for(browser, ent)["id_token"]
    assert json.loads(unb64(token.split(".")[0]))["kid"] == second


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"issuer": None}, "IDP_ISSUER"),
        ({"issuer": "http://connexion.exemple.test"}, "must be https"),
        ({"issuer": "http://127.0.0.1:8000"}, "must be https"),
        ({"issuer": "http://exemple.test", "env": "development"}, "must be https"),
        ({"issuer": f"{ISSUER}/"}, "slash"),
        ({"issuer": f"{ISSUER}?a=b"}, "address"),
        ({"issuer": "connexion.exemple.test"}, "address"),
    ],
)
def test_d05_without_a_sound_public_address_nothing_starts(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str | None], fault: str
) -> None:
    for name in ("IDP_ISSUER", "IDP_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    given = {name: value for name, value in settings.items() if value is not None}
    with pytest.raises(ConfigurationError) as refusal:
        load(secret_key=SECRET, **given)
    assert any(fault in line for line in refusal.value.faults), refusal.value.faults


@one_database
def test_d06_only_discovery_and_keys_are_for_other_origins(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    origin = {"Origin": "https://evil.test"}
    for path in (*DOCUMENTS, "/jwks.json"):
        response = browser.get(path, headers=origin)
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in response.headers
        assert response.headers["Cache-Control"] == "public, max-age=3600"
        assert "Set-Cookie" not in response.headers
    for path in ("/userinfo", "/token", "/authorize", "/logout", "/connexion", "/charter", "/mon-compte"):
        for method in ("GET", "OPTIONS", "POST"):
            response = browser.open(path, method=method, headers=origin)
            assert not [name for name in response.headers.keys() if name.startswith("Access-Control-")]  # noqa: SIM118
