"""`Ed25519` (RFC 9864) beside `EdDSA`: two names of one algorithm; this service signs with the older name.

Assertions, proofs and profiles of each name alone are in test_assertions, test_dpop and test_fapi2.
"""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt

from idp.accounts.models import Account
from idp.oidc.keys import rotation
from idp.oidc.tokens import issued
from idp.services import services_of
from tests.builders import Build
from tests.dpop_party import Key, KeyedParty
from tests.protocol.flow import code_for, refused
from tests.protocol.registering import invited, of_another, register, registered
from tests.protocol.test_assertions import believed, jwks, not_believed, shown, signing
from tests.relying_party import Attempt

NAMES = ("EdDSA", "Ed25519")


@pytest.fixture(scope="module")
def key() -> Key:
    return Key.new("Ed25519")


def called(key: Key, alg: str) -> Key:
    return Key(alg, key.private)


@pytest.mark.row("T-16")
@pytest.mark.parametrize("held", ["", *NAMES])
@pytest.mark.parametrize("published", [None, *NAMES])
def test_both_algorithm_names_are_accepted_for_a_registered_key(
    browser: FlaskClient, build: Build, key: Key, held: str, published: str | None
) -> None:
    # RFC 9864, 2.2. A client that registered either name may use both, but no other
    # algorithm.
    ent = signing(build, key, jwks=jwks(key, alg=published), auth_alg=held)
    for name in NAMES:
        ent.client = called(key, name)
        believed(shown(browser, ent, ent.assertion()))


@pytest.mark.row("T-16")
def test_both_algorithm_names_are_refused_for_a_key_of_another_algorithm(
    browser: FlaskClient, build: Build, key: Key
) -> None:
    # RFC 8725, 3.1.
    elliptic = Key.new("ES256")
    held = signing(build, elliptic, jwks=jwks(elliptic, key), auth_alg="ES256")
    believed(shown(browser, held, held.assertion()))
    for name in NAMES:
        held.client = called(key, name)
        not_believed(shown(browser, held, held.assertion()))
    for number, member in enumerate(({"alg": "Ed448"}, {"alg": "ES256"}, {"alg": "ed25519"}, {"crv": "X25519"})):
        odd = {"keys": [*jwks(elliptic)["keys"], *jwks(key, **member)["keys"]]}
        ent = signing(build, elliptic, jwks=odd, host=f"e{number}.test")
        believed(shown(browser, ent, ent.assertion()))
        for name in NAMES:
            ent.client = called(key, name)
            not_believed(shown(browser, ent, ent.assertion()))


def test_a_key_has_one_thumbprint_under_both_names(browser: FlaskClient, build: Build, session: Account) -> None:
    # RFC 9449, 6.1. A thumbprint has no algorithm name: a token is valid with either name.
    party, attempt = KeyedParty.of(build.ent(), key=Key.new("EdDSA")), Attempt()
    answer = party.redeem(browser, code_for(browser, party, attempt), attempt, party.fresh_proof())
    token = answer.get_json()["access_token"]
    for name in NAMES:
        party.key = called(party.key, name)
        assert party.read_userinfo(browser, token)["sub"]


def test_the_provider_signs_with_the_older_algorithm_name(
    app: Flask, browser: FlaskClient, build: Build, session: Account
) -> None:
    # OpenID Connect Discovery 1.0, 3.
    rotation.rotate(build.settings, "EdDSA", at_once=True)
    server = services_of(app).server
    server.ring.forget()
    metadata = browser.get("/.well-known/openid-configuration").get_json()
    for member in ("id_token_signing_alg_values_supported", "userinfo_signing_alg_values_supported"):
        assert metadata[member] == ["RS256", "EdDSA"]
    for member in ("id_token_signed_response_alg", "userinfo_signed_response_alg"):
        refused(register(browser, invited(), **{member: "Ed25519"}), "invalid_client_metadata")
        assert registered(browser, invited(), **of_another(), **{member: "EdDSA"})[member] == "EdDSA"
    signer = server.ring.signer("EdDSA")
    claims = {"iss": build.settings.issuer, "sub": "a", "sid": "b"}
    for name, expected in (("EdDSA", claims), ("Ed25519", None)):
        token = jwt.encode({"alg": name, "kid": signer.kid, "typ": "JWT"}, claims, signer.key, algorithms=[name])
        assert issued.read_id_token(build.settings, server.ring, token) == expected
