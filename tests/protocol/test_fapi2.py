"""The profile `fapi2`: FAPI 2.0 Security Profile, with private_key_jwt, pushed requests, PKCE and DPoP."""

import time

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from idp.accounts.models import Account
from idp.clients import registry
from idp.clients.models import Client
from idp.config import Settings
from idp.db import db
from idp.oidc.keys import rotation
from idp.oidc.models import Token
from tests.builders import PASSWORD, Build, commit
from tests.databases import settings_for
from tests.dpop_party import Key, KeyedParty
from tests.pages import follow, submit
from tests.protocol.flow import OFFLINE, refused
from tests.relying_party import Attempt

ALGORITHMS = ("ES256", "PS256", "EdDSA", "Ed25519")


@pytest.fixture
def settings(database_url: str) -> Settings:
    return settings_for(database_url, code_lifetime=600)


def registered(build: Build, alg: str = "ES256", name: str = "Passerelle", host: str = "ent.test") -> KeyedParty:
    client = Key.new(alg)
    ent = build.ent(
        name,
        host,
        profile="fapi2",
        auth_method="private_key_jwt",
        auth_alg=alg,
        jwks={"keys": [{**client.jwk, "kid": client.kid, "alg": alg, "use": "sig"}]},
        id_token_alg="ES256",
        scopes=OFFLINE,
    )
    return KeyedParty.of(ent, client=client, key=Key.new(alg))


@pytest.fixture
def party(build: Build, settings: Settings) -> KeyedParty:
    rotation.rotate(settings, "ES256")
    return registered(build)


def code_of(browser: FlaskClient, party: KeyedParty, attempt: Attempt, scope: str = OFFLINE) -> str:
    return party.answer(browser.get(party.opened(party.pushed(browser, attempt, scope=scope))))["code"]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_whole_sign_on_by_the_profile(
    browser: FlaskClient, build: Build, settings: Settings, parent: Account, alg: str
) -> None:
    # FAPI 2.0 Security Profile, 5.3.2 and 5.3.3.
    rotation.rotate(settings, "ES256")
    party, attempt = registered(build, alg), Attempt()
    request_uri = party.pushed(browser, attempt, party.fresh_proof("/par"), scope=OFFLINE)
    page = follow(browser, browser.get(party.opened(request_uri)))
    answer = party.answer(submit(browser, page, identifiant=parent.username, mot_de_passe=PASSWORD))
    assert answer["state"] == attempt.state
    refused(party.redeem(browser, answer["code"], attempt, KeyedParty.of(party).fresh_proof()), "invalid_grant")
    response = party.redeem(browser, answer["code"], attempt, party.fresh_proof())
    assert response.headers["Cache-Control"] == "no-store"
    body = response.get_json()
    assert body["token_type"] == "DPoP"
    claims = party.verify(browser, body["id_token"], attempt, body["access_token"])
    info = party.read_userinfo(browser, body["access_token"])
    assert (info["sub"], info["given_name"]) == (claims["sub"], parent.given_name)
    for _ in range(2):
        again = party.renew(browser, body["refresh_token"], party.fresh_proof()).get_json()
        assert "refresh_token" not in again
        assert again["token_type"] == "DPoP"
        assert party.read_userinfo(browser, again["access_token"])["sub"] == claims["sub"]
    assert party.userinfo(browser, body["access_token"]).status_code == 401


def test_a_refresh_token_is_not_rotated(
    browser: FlaskClient, party: KeyedParty, session: Account, attempt: Attempt
) -> None:
    # FAPI 2.0 Security Profile, 5.3.2.1.
    code = code_of(browser, party, attempt)
    token = party.redeem(browser, code, attempt, party.fresh_proof()).get_json()["refresh_token"]
    start = time.time()
    for day in (10, 20, 29):  # each use gives it two weeks more, within the month of its sign-in
        with time_machine.travel(start + day * 86400):
            assert party.renew(browser, token, party.fresh_proof()).status_code == 200
    with time_machine.travel(start + 31 * 86400):
        refused(party.renew(browser, token, party.fresh_proof()), "invalid_grant")
    count = select(func.count()).select_from(Token)
    assert db.session.scalar(count.where(Token.kind == "r")) == 1
    assert db.session.scalar(count.where(Token.revoked_at.is_not(None))) == 0


def test_a_proof_signed_with_rs256_is_refused(
    browser: FlaskClient, build: Build, settings: Settings, session: Account
) -> None:
    # FAPI 2.0 Security Profile, 5.4.1.
    rotation.rotate(settings, "ES256")
    party, attempt = registered(build, "PS256"), Attempt()
    weak = Key("RS256", party.key.private)
    refused(party.push(browser, attempt, weak.proof("POST", f"{party.issuer}/par")), "invalid_dpop_proof")
    code = code_of(browser, party, attempt)
    refused(party.redeem(browser, code, attempt, weak.proof("POST", f"{party.issuer}/token")), "invalid_dpop_proof")
    tokens = party.redeem(browser, code, attempt, party.fresh_proof()).get_json()
    shown = weak.proof("GET", f"{party.issuer}/userinfo", tokens["access_token"])
    response = party.resource(browser, tokens["access_token"], shown)
    assert (response.status_code, response.get_json()["error"]) == (401, "invalid_dpop_proof")
    renewed = party.renew(browser, tokens["refresh_token"], weak.proof("POST", f"{party.issuer}/token"))
    refused(renewed, "invalid_dpop_proof")
    assert party.read_userinfo(browser, tokens["access_token"])["sub"]


def test_the_profile_overrides_the_other_registered_settings(
    browser: FlaskClient, party: KeyedParty, session: Account
) -> None:
    # FAPI 2.0 Security Profile, 5.3.2.2.
    lenient = {"par_required": False, "dpop_required": False, "pkce_required": False}
    commit(update(Client).values(**lenient, version=Client.version + 1))
    registry.forget()
    assert party.answer(browser.get(party.url(Attempt())))["error"] == "invalid_request"
    refused(party.push(browser, Attempt(), code_challenge=None, code_challenge_method=None), "invalid_request")
    refused(party.push(browser, Attempt(), code_challenge_method="plain"), "invalid_request")
    refused(party.push(browser, Attempt(), response_type="code id_token"), "unsupported_response_type")
    attempt = Attempt()
    code = code_of(browser, party, attempt)
    refused(party.redeem(browser, code, attempt, None), "invalid_request")
    refused(party.redeem(browser, code, attempt, party.fresh_proof(), code_verifier=None), "invalid_grant")
    tokens = party.redeem(browser, code, attempt, party.fresh_proof()).get_json()
    refused(party.renew(browser, tokens["refresh_token"], None), "invalid_request")
    assert party.userinfo(browser, tokens["access_token"]).status_code == 401
