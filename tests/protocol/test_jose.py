"""JOSE regressions wherever this service reads a JWT: hints, client assertions, DPoP proofs (security row X-02)."""

import time
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.oidc.keys import jose
from idp.oidc.tokens import issued
from idp.services import services_of
from tests.builders import Build
from tests.dpop_party import Key, KeyedParty
from tests.pages import heading
from tests.protocol.flow import code_for, refused, tokens_for
from tests.protocol.forgeries import forgeries
from tests.relying_party import Attempt, RelyingParty

_LARGEST_BODY = 64 * 1024


@pytest.fixture(scope="module")
def key() -> Key:
    return Key.new("RS256")


@pytest.fixture
def signing(build: Build, key: Key) -> KeyedParty:
    """An ENT with one key for assertions and DPoP proofs."""
    jwks = {"keys": [{**key.jwk, "kid": key.kid}]}
    return KeyedParty.of(build.ent(auth_method="private_key_jwt", jwks=jwks), client=key, key=key)


def quickly(forged: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield forgeries; the time limit is ten times that of the slowest."""
    for name, token in forged:
        start = time.thread_time()
        yield name, token
        assert time.thread_time() - start < 1, name


@pytest.mark.row("X-02")
def test_a_forged_id_token_is_not_read(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.2; Security row X-02."""
    genuine = tokens_for(browser, ent)["id_token"]
    ring = services_of(app).server.ring
    [jwk] = browser.get("/jwks.json").get_json()["keys"]
    claims = issued.read_id_token(build.settings, ring, genuine)
    assert claims is not None
    assert claims["sid"]
    for name, token in quickly(forgeries(genuine, jwk)):
        assert issued.read_id_token(build.settings, ring, token) is None, name


@pytest.mark.row("X-02")
@pytest.mark.usefixtures("unhurried")
def test_a_forged_id_token_hint_is_refused_by_the_endpoints(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    """OpenID Connect RP-Initiated Logout 1.0, 2; OpenID Connect Core 1.0, 3.1.2.2."""
    genuine = tokens_for(browser, ent)["id_token"]
    [jwk] = browser.get("/jwks.json").get_json()["keys"]
    for name, token in forgeries(genuine, jwk):
        if len(token) > jose.MAX_LENGTH:  # too long for the URL
            continue
        answer = ent.answer(browser.get(ent.url(Attempt(), id_token_hint=token, prompt="none")))
        assert answer["error"] == "invalid_request", name
        page = browser.get("/logout", query_string={"id_token_hint": token})
        assert heading(page) == "Voulez-vous vous déconnecter ?", name


@pytest.mark.row("X-02")
@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("path", ["/token", "/revoke", "/introspect", "/par"])
def test_a_forged_client_assertion_is_refused(
    browser: FlaskClient, signing: KeyedParty, session: Account, path: str
) -> None:
    """RFC 8725, 3.1."""
    genuine = signing.assertion()
    form = {"grant_type": "authorization_code", "code": "x" * 43, "token": "x" * 43, **genuine}
    for name, token in quickly(forgeries(genuine["client_assertion"], {**signing.key.jwk, "kid": signing.key.kid})):
        answer = browser.post(path, data={**form, "client_assertion": token})
        if len(token) > _LARGEST_BODY:
            assert answer.status_code == 413, name
        elif len(token) > 10_000:
            refused(answer, "invalid_request")
        else:
            refused(answer, "invalid_client", 401)
    answer = browser.post(path, data=form)  # the genuine proof is still valid and unused
    assert answer.status_code in {200, 400}, answer.text
    assert (answer.get_json() or {}).get("error") != "invalid_client"


@pytest.mark.row("X-02")
def test_a_forged_proof_is_refused(
    browser: FlaskClient, signing: KeyedParty, session: Account, attempt: Attempt
) -> None:
    """RFC 9449, 7.1."""
    answer = signing.redeem(browser, code_for(browser, signing, attempt), attempt, signing.fresh_proof())
    token = answer.get_json()["access_token"]
    genuine = signing.key.proof("GET", f"{signing.issuer}/userinfo", token, head={"kid": signing.key.kid})
    for name, proof in quickly(forgeries(genuine, {**signing.key.jwk, "kid": signing.key.kid})):
        if "\n" in proof:  # too long for a header
            continue
        answer = signing.resource(browser, token, proof)
        assert answer.status_code == 401, name
        assert answer.get_json()["error"] == "invalid_dpop_proof", name
    assert signing.resource(browser, token, genuine).status_code == 200
