"""DPoP (RFC 9449): proofs at the token endpoint and at resources, bound tokens and their refresh."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, settings as hypothesis_settings, strategies as st
from sqlalchemy import func, select
from werkzeug.datastructures import Headers
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.db import db
from idp.oidc.models import SpentProof, Token
from tests.builders import Build
from tests.dpop_party import Key, KeyedParty
from tests.protocol.flow import OFFLINE, bound, code_for, refused, tokens_for
from tests.protocol.proofs import ALGORITHMS, NEGATIVES, POSITIVES, WITH_A_TOKEN, Maker, Request, now, without_signature
from tests.relying_party import Attempt

RESOURCES = (("/userinfo", "GET"), ("/userinfo", "POST"), ("/charter", "GET"), ("/charter/acceptance", "POST"))


@pytest.fixture
def party(build: Build, session: Account) -> KeyedParty:
    return KeyedParty.of(build.ent(scopes=OFFLINE))


def challenges(response: TestResponse) -> Iterator[str]:
    yield from response.headers.getlist("WWW-Authenticate")


def unauthorized(response: TestResponse, error: str, scheme: str = "DPoP") -> None:
    assert response.status_code == 401, response.get_data(as_text=True)
    assert response.get_json().get("error", "") == error
    first, second = challenges(response)
    assert first.startswith(f"{scheme} ")
    assert (f'error="{error}"' in first) is bool(error)
    assert {first.partition(" ")[0], second.partition(" ")[0]} == {"DPoP", "Bearer"}
    assert "error" not in second
    [by_dpop] = [text for text in (first, second) if text.startswith("DPoP ")]
    assert f'algs="{" ".join(ALGORITHMS)}"' in by_dpop


def refused_alike(table: dict[str, dict[str, Maker]], status: int, send: Callable[[Maker], TestResponse]) -> None:
    wrong = {}
    for fault, rows in table.items():
        for name, proof_of in rows.items():
            response = send(proof_of)
            body = response.get_json()
            answer = (response.status_code, body["error"], body["error_description"])
            if answer != (status, "invalid_dpop_proof", f"The DPoP proof is refused: {fault}."):
                wrong[name] = answer
    assert wrong == {}


def test_a_proof_that_fails_one_check_gets_no_token(browser: FlaskClient, party: KeyedParty, attempt: Attempt) -> None:
    # RFC 9449, 5.
    code = code_for(browser, party, attempt)
    at = Request(party.key, "POST", f"{party.issuer}/token")
    refused_alike(NEGATIVES, 400, lambda proof_of: party.redeem(browser, code, attempt, proof_of(at)))
    assert db.session.scalar(select(func.count()).select_from(SpentProof)) == 0
    # none of them used the code
    assert party.redeem(browser, code, attempt, at.proof()).status_code == 200


@pytest.mark.row("X-02")
def test_a_proof_that_fails_one_check_is_refused_at_a_resource(browser: FlaskClient, party: KeyedParty) -> None:
    # RFC 9449, 7.1.
    token = bound(browser, party)["access_token"]
    at = Request(party.key, "GET", f"{party.issuer}/userinfo", token)
    refused_alike({**NEGATIVES, **WITH_A_TOKEN}, 401, lambda proof_of: party.resource(browser, token, proof_of(at)))
    # … and confirm that the public key to which the access token is bound matches the public key from the DPoP proof
    unauthorized(party.resource(browser, token, Key.new().proof(at.method, at.url, token)), "invalid_token")
    unauthorized(party.resource(browser, token, without_signature(at)), "invalid_dpop_proof")
    assert party.read_userinfo(browser, token)["sub"]


def test_a_bound_token_without_a_proof_is_refused(browser: FlaskClient, party: KeyedParty) -> None:
    # RFC 9449, 7.1.
    token = bound(browser, party)["access_token"]
    for place, method in RESOURCES:
        answer = browser.open(place, method=method, headers={"Authorization": f"DPoP {token}"})
        unauthorized(answer, "invalid_dpop_proof")
        assert answer.get_json()["error_description"] == "A DPoP proof is needed."


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_equivalent_spellings_of_a_proof_are_accepted(browser: FlaskClient, party: KeyedParty, alg: str) -> None:
    # RFC 9449, 4.3.
    party.key = Key.new(alg)
    attempt = Attempt()
    code = code_for(browser, party, attempt)
    tokens = party.redeem(browser, code, attempt, party.fresh_proof()).get_json()
    assert tokens["token_type"] == "DPoP"
    at = Request(party.key, "GET", f"{party.issuer}/userinfo", tokens["access_token"])
    responses = {
        name: party.resource(browser, tokens["access_token"], proof_of(at)) for name, proof_of in POSITIVES.items()
    }
    assert {name: answer.get_json() for name, answer in responses.items() if answer.status_code != 200} == {}


def test_header_and_scheme_names_are_case_insensitive(browser: FlaskClient, party: KeyedParty) -> None:
    # RFC 9449, 4.1; RFC 9110, 11.1.
    token = bound(browser, party)["access_token"]
    for scheme, name in (("dpop", "dpop"), ("DPOP", "DPOP"), ("DPoP", "dPoP")):
        proof = party.fresh_proof("/userinfo", "GET", token)
        answer = browser.get("/userinfo", headers={"Authorization": f"{scheme} {token}", name: proof})
        assert answer.status_code == 200, scheme
    two = Headers([("Authorization", f"DPoP {token}")])
    for _ in range(2):
        two.add("DPoP", party.fresh_proof("/userinfo", "GET", token))
    unauthorized(browser.get("/userinfo", headers=two), "invalid_dpop_proof")


@pytest.mark.row("D-01")
def test_the_htu_is_compared_with_the_issuer_and_not_the_host_header(
    browser: FlaskClient, party: KeyedParty, attempt: Attempt
) -> None:
    # RFC 9449, 4.3; Security row D-01.
    code = code_for(browser, party, attempt)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": party.redirect_uri,
        "code_verifier": attempt.verifier,
    }
    for host, status in (("evil.test", 400), ("connexion.exemple.test", 200)):
        headers = {**party.basic(), "DPoP": party.key.proof("POST", f"https://{host}/token"), "X-Forwarded-Host": host}
        assert browser.post("/token", data=form, headers=headers).status_code == status


def test_a_proof_is_accepted_once(browser: FlaskClient, party: KeyedParty) -> None:
    # RFC 9449, 11.1.
    token = bound(browser, party)["access_token"]
    proof = party.fresh_proof("/userinfo", "GET", token)
    assert party.resource(browser, token, proof).status_code == 200
    unauthorized(party.resource(browser, token, proof), "invalid_dpop_proof")
    first, second = Attempt(), Attempt()
    codes = [code_for(browser, party, attempt) for attempt in (first, second)]
    proof = party.fresh_proof()
    assert party.redeem(browser, codes[0], first, proof).status_code == 200
    refused(party.redeem(browser, codes[1], second, proof), "invalid_dpop_proof")
    # proofs of another key have separate identifiers
    for keyed in (party, KeyedParty.of(party)):
        attempt = Attempt()
        keyed_proof = keyed.key.proof("POST", f"{party.issuer}/token", jti="1")
        assert keyed.redeem(browser, code_for(browser, party, attempt), attempt, keyed_proof).status_code == 200


def test_a_proof_is_stored_until_it_expires(browser: FlaskClient, party: KeyedParty) -> None:
    # RFC 9449, 11.1.
    token = bound(browser, party)["access_token"]
    proof = party.key.proof("GET", f"{party.issuer}/userinfo", token, iat=now() + 55)
    assert party.resource(browser, token, proof).status_code == 200
    newest = db.session.scalar(select(func.max(SpentProof.expires_at)))
    assert newest is not None
    assert newest.timestamp() > now() + 55 + 60


def test_bound_and_plain_tokens_are_accepted_with_their_own_scheme_only(
    browser: FlaskClient, party: KeyedParty
) -> None:
    # RFC 9449, 7.2.
    token = bound(browser, party)["access_token"]
    plain = tokens_for(browser, party)["access_token"]
    for path, method in RESOURCES:
        proof = party.key.proof(method, f"{party.issuer}{path}", token)
        stolen = party.resource(browser, token, proof, scheme="Bearer", path=path, method=method)
        unauthorized(stolen, "invalid_token", "Bearer")
        unauthorized(party.resource(browser, token, path=path, method=method), "invalid_dpop_proof")
        proof = party.key.proof(method, f"{party.issuer}{path}", plain)
        unauthorized(party.resource(browser, plain, proof, path=path, method=method), "invalid_token")
        unauthorized(party.resource(browser, "x" * 43, proof, path=path, method=method), "invalid_token")
        unauthorized(browser.open(path, method=method), "", "Bearer")
    unauthorized(browser.post("/userinfo", data={"access_token": token}), "invalid_token", "Bearer")
    in_the_address = browser.get("/userinfo", query_string={"access_token": token})
    assert (in_the_address.status_code, in_the_address.get_json()["error"]) == (400, "invalid_request")


def test_the_charter_is_read_and_accepted_with_a_bound_token(
    browser: FlaskClient, build: Build, party: KeyedParty
) -> None:
    # RFC 9449, 7.1; RFC 6750, 3.1.
    build.publish(party, "2026")
    token = bound(browser, party)["access_token"]
    read = party.resource(browser, token, party.fresh_proof("/charter", "GET", token), path="/charter")
    assert (read.status_code, read.get_json()["accepted"]) == (200, False)
    proof = party.fresh_proof("/charter/acceptance", "POST", token)
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
    accepted = browser.post("/charter/acceptance", json={"version": "2026"}, headers=headers)
    assert (accepted.status_code, accepted.get_json()["accepted"]) == (200, True)
    narrow = bound(browser, party, "openid")["access_token"]
    short = party.resource(browser, narrow, party.fresh_proof("/charter", "GET", narrow), path="/charter")
    assert short.status_code == 403
    assert next(challenges(short)).startswith('DPoP error="insufficient_scope"')


@pytest.mark.parametrize("binding", ["dpop_jkt", "a proof at /par"])
def test_a_code_that_names_a_key_is_exchanged_with_that_key_alone(
    browser: FlaskClient, party: KeyedParty, binding: str, attempt: Attempt
) -> None:
    # RFC 9449, 10.
    if binding == "dpop_jkt":
        code = code_for(browser, party, attempt, dpop_jkt=party.key.thumbprint)
    else:
        request_uri = party.pushed(browser, attempt, party.fresh_proof("/par"))
        code = party.answer(browser.get(party.opened(request_uri)))["code"]
    refused(party.redeem(browser, code, attempt, None), "invalid_grant")
    refused(party.redeem(browser, code, attempt, Key.new().proof("POST", f"{party.issuer}/token")), "invalid_grant")
    assert party.redeem(browser, code, attempt, party.fresh_proof()).get_json()["token_type"] == "DPoP"


def test_a_client_that_must_show_proofs_gets_nothing_without(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # RFC 9449, 5.2.
    party, attempt = KeyedParty.of(build.ent(scopes=OFFLINE, dpop_required=True)), Attempt()
    code = code_for(browser, party, attempt, scope=OFFLINE)
    refused(party.redeem(browser, code, attempt, None), "invalid_request")
    tokens = party.redeem(browser, code, attempt, party.fresh_proof()).get_json()
    refused(party.renew(browser, tokens["refresh_token"], None), "invalid_request")
    assert party.renew(browser, tokens["refresh_token"], party.fresh_proof()).status_code == 200


ODD = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    st.sampled_from(["ES256", "EdDSA", "Ed25519", "PS256", "dpop+jwt", "POST", "https://connexion.exemple.test/token"]),
    st.just("\ud800"),
)
JSON = st.recursive(
    ODD, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3))
)
MEMBERS = st.dictionaries(
    st.sampled_from(["typ", "alg", "jwk", "crit", "b64", "kid", "jti", "htm", "htu", "iat", "nbf", "exp", "ath"]), JSON
)
JWKS = st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "alg", "use", "key_ops"]), JSON)


def test_an_arbitrary_proof_causes_no_server_error(browser: FlaskClient, party: KeyedParty) -> None:
    # Security rows, never 5xx; RFC 9449, 4.3.
    token = bound(browser, party)["access_token"]
    at = Request(party.key, "GET", f"{party.issuer}/userinfo", token)

    @hypothesis_settings(max_examples=60, deadline=None, derandomize=True, database=None)  # each is eight requests
    @given(MEMBERS, MEMBERS, JWKS, st.binary(max_size=30))
    def send(head: dict[str, Any], body: dict[str, Any], jwk: dict[str, Any], raw: bytes) -> None:
        signed = at.key.sign({**at.head, **head}, {**at.body, **body})
        keyed = at.proof(head={"jwk": {**at.key.jwk, **jwk}}, jti=repr((head, jwk)))
        for proof in (signed, keyed, at.key.sign(raw, raw), raw.decode("latin-1").translate({10: None, 13: None})):
            for answer in (party.resource(browser, token, proof), party.renew(browser, "x" * 43, proof)):
                assert answer.status_code < 500, answer.get_data()[:300]
                assert answer.mimetype == "application/json"
                assert b"Traceback" not in answer.get_data()

    send()


def test_a_proof_for_an_invented_code_or_token_is_not_stored(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # RFC 9449, 11.1. Invented codes insert no rows.
    public = KeyedParty.of(build.ent("Appli", "appli.test", auth_method="none"))
    for form in (
        {"grant_type": "authorization_code", "code": "x" * 43, "code_verifier": "v" * 43},
        {"grant_type": "refresh_token", "refresh_token": "x" * 43},
    ):
        for _ in range(3):
            assert public.post(browser, "/token", form, public.fresh_proof()).status_code == 400
    assert db.session.scalar(select(func.count()).select_from(SpentProof)) == 0


@pytest.fixture
def public(build: Build, session: Account) -> KeyedParty:
    """A public client, whose refresh tokens are bound to its DPoP key."""
    return KeyedParty.of(build.ent("Appli", "appli.test", scopes=OFFLINE, auth_method="none"))


def alive() -> int:
    return db.session.scalar(select(func.count()).select_from(Token).where(Token.revoked_at.is_(None))) or 0


@pytest.mark.row("T-22")
def test_a_bound_refresh_token_never_becomes_a_bearer_token(browser: FlaskClient, party: KeyedParty) -> None:
    # RFC 9449, 5.
    first = bound(browser, party)
    refused(party.renew(browser, first["refresh_token"], None), "invalid_grant")
    party.key = Key.new()
    second = party.renew(browser, first["refresh_token"], party.fresh_proof()).get_json()
    assert second["token_type"] == "DPoP"
    assert party.read_userinfo(browser, second["access_token"])["sub"]


def test_a_public_client_keeps_its_key(browser: FlaskClient, public: KeyedParty) -> None:
    # RFC 9449, 5.
    first = bound(browser, public)
    refused(public.renew(browser, first["refresh_token"], None), "invalid_grant")
    other = Key.new().proof("POST", f"{public.issuer}/token")
    refused(public.renew(browser, first["refresh_token"], other), "invalid_grant")
    second = public.renew(browser, first["refresh_token"], public.fresh_proof()).get_json()
    assert public.read_userinfo(browser, second["access_token"])["sub"]


@pytest.mark.row("T-22")
@pytest.mark.parametrize("thief_first", [True, False])
def test_a_lost_answer_is_not_given_to_another_key(
    browser: FlaskClient, public: KeyedParty, *, thief_first: bool
) -> None:
    # RFC 9700, 4.14.2.
    token = tokens_for(browser, public, scope=OFFLINE)["refresh_token"]
    proofs = [public.fresh_proof(), None] if thief_first else [None, public.fresh_proof()]
    assert public.renew(browser, token, proofs[0]).status_code == 200
    assert alive() > 0
    refused(public.renew(browser, token, proofs[1]), "invalid_grant")
    assert alive() == 0


@pytest.mark.row("Z-02")
def test_concurrent_refreshes_with_two_keys_get_one_answer(
    app: Flask, browser: FlaskClient, public: KeyedParty
) -> None:
    # RFC 9700, 4.14.2. Neither transaction sees the other's rows.
    for _ in range(10):
        token = tokens_for(browser, public, scope=OFFLINE)["refresh_token"]
        keys = [Key.new() for _ in range(2)]

        def renew(key: Key, token: str = token) -> int:
            with app.app_context():
                proof = key.proof("POST", f"{public.issuer}/token")
                return public.renew(app.test_client(), token, proof).status_code

        with ThreadPoolExecutor(2) as both:
            assert sorted(both.map(renew, keys)) == [200, 400]
        db.session.rollback()
        assert alive() == 0
