"""UserInfo, and the claims that clients are told (security rows U-01 to U-06, T-18, T-19)."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.oidc.keys import rotation
from idp.oidc.keys.material import ALGORITHMS
from idp.oidc.models import SigningKey, Token
from idp.oidc.tokens import issued
from idp.registration import registrations
from idp.registration.faults import RegistrationRefusedError
from idp.registration.metadata import ClientMetadata
from idp.services import services_of
from tests.builders import COLLEGE, PASSWORD, Build, commit
from tests.pages import sign_in
from tests.protocol.flow import OFFLINE, code_for, tokens_for
from tests.relying_party import Attempt, RelyingParty
from tests.signatures import public_key, unb64, verify

RESERVED = ("iss", "aud", "sub", "exp", "nonce", "azp", "at_hash")
IDENTITY = {"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "azp"}


@pytest.mark.row("U-01")
def test_a_token_is_taken_from_the_header_or_a_posted_form(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 5.3.1, 5.3.2.
    tokens = tokens_for(browser, ent)
    header = {"Authorization": f"Bearer {tokens['access_token']}"}
    answers = [
        browser.get("/userinfo", headers=header),
        browser.post("/userinfo", headers=header),
        browser.get("/userinfo", headers={"Authorization": f"bearer {tokens['access_token']}"}),
        browser.post("/userinfo", data={"access_token": tokens["access_token"]}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.get_json()) == (200, answers[0].get_json())
        assert answer.get_json()["sub"] == tokens["claims"]["sub"]
        assert answer.headers["Cache-Control"] == "no-store"
    both = browser.post("/userinfo", headers=header, data={"access_token": tokens["access_token"]})
    assert (both.status_code, both.get_json()["error"]) == (400, "invalid_request")


@pytest.mark.row("U-02")
def test_a_token_in_the_address_is_refused(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # RFC 9700, 4.3.2.
    token = tokens_for(browser, ent)["access_token"]
    for method in ("GET", "POST"):
        response = browser.open("/userinfo", method=method, query_string={"access_token": token})
        assert response.status_code == 400
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")
        header = {"Authorization": f"Bearer {token}"}
        assert browser.get("/userinfo", query_string={"access_token": token}, headers=header).status_code == 400


@pytest.mark.row("U-03")
def test_an_invalid_access_token_is_unauthorized(browser: FlaskClient, build: Build, session: Account) -> None:
    # RFC 6750, 3.1, 3.
    ent = build.ent(scopes=OFFLINE)
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    for value in (
        "x" * 43,
        tokens["id_token"],
        tokens["refresh_token"],
        tokens["access_token"][:-1],
        f"{tokens['access_token']}=",
        "x" * 1_000_000,
        "a\x00b",
        "é" * 43,
        "\xff" * 43,
    ):
        response = ent.userinfo(browser, value)
        assert response.status_code == 401, value[:50]
        assert response.get_json()["error"] == "invalid_token"
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    for header in ({}, {"Authorization": ""}, {"Authorization": "Bearer "}, ent.basic()):
        response = browser.get("/userinfo", headers=header)
        assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="idp"')
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=601)):
        assert ent.userinfo(browser, tokens["access_token"]).status_code == 401
    commit(update(Token).values(revoked_at=datetime.now(UTC)))
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 401


@pytest.mark.row("U-04")
def test_scopes_decide_which_claims_are_released(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 5.4.
    ent = build.ent()
    build.publish(ent, "2026")

    def fetch_claims(client: RelyingParty, scope: str) -> set[str]:
        return set(client.userinfo(browser, tokens_for(browser, client, scope=scope)["access_token"]).get_json())

    profile = {"name", "given_name", "family_name", "locale", "updated_at"}
    school = {"ENTPersonProfils", "ENTPersonJointure", "FrEduVecteur", "uai", "children"}
    assert fetch_claims(ent, "openid") == {"sub"}
    assert fetch_claims(ent, "openid profile") == {"sub"} | profile
    assert fetch_claims(ent, "openid email") == {"sub", "email", "email_verified"}
    assert fetch_claims(ent, "openid ent") == {"sub"} | school
    assert fetch_claims(ent, "openid charter") == {"sub", "charter_accepted", "charter_version"}
    fixed = build.ent("Horizon", "horizon.test", always_claims=["ent"])
    assert fetch_claims(fixed, "openid") == {"sub"} | school


@pytest.mark.row("U-05")
def test_a_changed_email_is_released_at_once(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # OpenID Connect Core 1.0, 5.3.
    token = tokens_for(browser, ent)["access_token"]
    session.email = "nouvelle@exemple.fr"
    db.session.commit()
    assert ent.userinfo(browser, token).get_json()["email"] == "nouvelle@exemple.fr"


@pytest.mark.row("U-06")
def test_subjects_differ_by_client_and_stay_for_ever(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 8.
    pairwise, second = build.ent(), build.ent("Horizon", "horizon.test")
    public = [build.ent(f"Public {n}", f"p{n}.test", subject="public") for n in (1, 2)]
    aaf = build.ent("Lycée", "aaf.test", subject="aaf", subject_prefix="LIL")

    def sub(client: RelyingParty) -> str:
        tokens = tokens_for(browser, client)
        info = client.userinfo(browser, tokens["access_token"]).get_json()
        assert info["sub"] == tokens["claims"]["sub"]
        return str(info["sub"])

    before = {client.client_id: sub(client) for client in (pairwise, second, *public, aaf)}
    assert before[pairwise.client_id] != before[second.client_id]
    assert before[public[0].client_id] == before[public[1].client_id]
    assert before[aaf.client_id] == f"LIL-{session.join_key}"
    for client in (pairwise, second, *public):
        for known in (session.email, session.join_key, session.username):
            assert str(known) not in before[client.client_id]
    session.email, session.family_name = "autre@exemple.fr", "LEROY"
    db.session.commit()
    assert {client.client_id: sub(client) for client in (pairwise, second, *public, aaf)} == before


@pytest.mark.row("T-18")
def test_an_id_token_says_exactly_what_it_must(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 2.
    ent, attempt = build.ent(), Attempt()
    response = ent.exchange(browser, code_for(browser, ent, attempt, scope="openid profile email ent"), attempt)
    token = response.get_json()["id_token"]
    header = json.loads(unb64(token.split(".")[0]))
    assert set(header) == {"alg", "kid", "typ"}
    assert (header["alg"], header["typ"]) == ("RS256", "JWT")
    claims = ent.verify(browser, token, attempt, response.get_json()["access_token"])
    assert set(claims) == IDENTITY
    assert claims["exp"] - claims["iat"] == 300
    assert isinstance(claims["aud"], str)
    assert claims["auth_time"] <= claims["iat"]
    assert claims["amr"] == ["pwd"]
    silent = code_for(browser, ent, attempt, nonce=None, scope="openid")
    claims = ent.read(browser, ent.exchange(browser, silent, attempt).get_json()["id_token"])
    assert set(claims) == IDENTITY - {"nonce"}
    with_charter = tokens_for(browser, ent, scope="openid charter")["claims"]
    assert set(with_charter) == IDENTITY | {"charter_accepted"}


@pytest.mark.row("T-19")
def test_account_data_do_not_change_a_reserved_claim(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    # OpenID Connect Core 1.0, 2.
    evil = '","iss":"https://evil.test","sub":"1'
    child = build.child(given_name=evil, family_name="iss")
    account = build.active(given_name=evil, family_name="sub|aud", children=[child], join_key="iss")
    sign_in(browser, "/connexion", account.username, PASSWORD)
    tokens = tokens_for(browser, ent)  # verifies iss, aud, azp, nonce, exp, at_hash
    assert set(tokens["claims"]) == IDENTITY | {"charter_accepted"}
    info = ent.userinfo(browser, tokens["access_token"]).get_json()
    assert info["given_name"] == evil
    assert not set(info) & (set(RESERVED) - {"sub"})
    assert info["FrEduVecteur"][0].count("|") == 4


@pytest.mark.row("T-19")
def test_a_client_cannot_be_given_a_reserved_claim(app: Flask, build: Build) -> None:
    # OpenID Connect Core 1.0, 2.
    for name in RESERVED:
        metadata = ClientMetadata(
            name=str(uuid.uuid4()), redirect_uris=["https://a.test/cb"], uais=[COLLEGE], always_claims=[name]
        )
        with pytest.raises(RegistrationRefusedError, match="always_claims"):
            registrations.register(build.settings, metadata)


def opened(browser: FlaskClient, response: TestResponse, alg: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/jwt")
    assert response.headers["Cache-Control"] == "no-store"
    head, body, signature = response.get_data(as_text=True).split(".")
    header = json.loads(unb64(head))
    assert header == {"alg": alg, "kid": header["kid"]}, "nothing that could be taken for an ID token's"
    [jwk] = [key for key in browser.get("/jwks.json").get_json()["keys"] if key["kid"] == header["kid"]]
    assert jwk["alg"] == alg
    verify(alg, public_key(jwk), f"{head}.{body}".encode(), unb64(signature))
    return dict(json.loads(unb64(body)))


@pytest.mark.row("U-01")
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signed_answer_says_who_tells_whom(
    app: Flask, browser: FlaskClient, build: Build, session: Account, alg: str
) -> None:
    # OpenID Connect Core 1.0, 5.3.2.
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
    # RFC 9110, 15.6.4. A client that registered signed responses gets no unsigned one.
    rotation.rotate(build.settings, "ES256", at_once=True)
    ent = build.ent(userinfo_alg="ES256")
    token = tokens_for(browser, ent)["access_token"]
    commit(update(SigningKey).where(SigningKey.alg == "ES256").values(retired_at=now()))
    services_of(app).server.ring.forget()
    response = ent.userinfo(browser, token)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert "Noémie" not in response.get_data(as_text=True)
    rotation.rotate(build.settings, "ES256", at_once=True)
    services_of(app).server.ring.forget()
    assert opened(browser, ent.userinfo(browser, token), "ES256")["given_name"] == "Noémie"


@pytest.mark.row("T-25")
def test_a_signed_answer_is_no_id_token(app: Flask, browser: FlaskClient, build: Build, session: Account) -> None:
    # RFC 8725, 2.8.
    ent = build.ent(userinfo_alg="RS256")
    signed = ent.userinfo(browser, tokens_for(browser, ent)["access_token"]).get_data(as_text=True)
    assert issued.read_id_token(build.settings, services_of(app).server.ring, signed) is None
    assert ent.answer(browser.get(ent.url(Attempt(), id_token_hint=signed)))["error"] == "invalid_request"
    assert ent.userinfo(browser, signed).status_code == 401
