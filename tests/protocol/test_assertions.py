"""Clients that prove who they are by a JWT that they signed (RFC 7523, Core 9; security row T-16)."""

import json
import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.config import Settings
from idp.oidc.keys import rotation
from idp.registration import registrations
from idp.registration.faults import RegistrationRefusedError
from tests.builders import Build
from tests.dpop_party import Key, KeyedParty, without
from tests.protocol.flow import code_for, refused
from tests.protocol.test_races import rush
from tests.relying_party import Attempt
from tests.signatures import unb64

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
TOKEN = "https://connexion.exemple.test/token"


def jwks(*keys: Key, **members: Any) -> dict[str, Any]:
    return {"keys": [without({**key.jwk, "kid": key.kid, "use": "sig", "alg": key.alg, **members}) for key in keys]}


def signing(build: Build, key: Key, **more: Any) -> KeyedParty:
    options = {"auth_method": "private_key_jwt", "jwks": jwks(key), **more}
    return KeyedParty.of(build.ent(**options), client=key)


def shown(browser: FlaskClient, ent: KeyedParty, assertion: dict[str, str]) -> Any:
    """Send an unknown code: `invalid_grant` says that the client was believed."""
    form = {"grant_type": "authorization_code", "code": "x" * 43, "redirect_uri": ent.redirect_uri}
    return browser.post("/token", data={**form, "code_verifier": "v" * 43, **assertion})


def believed(answer: Any) -> None:
    refused(answer, "invalid_grant")


def not_believed(answer: Any) -> None:
    refused(answer, "invalid_client", 401)


@pytest.fixture(scope="module")
def key() -> Key:
    return Key.new("ES256")


@pytest.mark.row("T-16")
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signed_assertion_authenticates(browser: FlaskClient, build: Build, session: Account, alg: str) -> None:
    # OpenID Connect Core 1.0, 9.
    ent, attempt = signing(build, Key.new(alg)), Attempt()
    answer = ent.redeem(browser, code_for(browser, ent, attempt), attempt, None)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    ent.read(browser, answer.get_json()["id_token"])


@pytest.mark.row("T-16")
@pytest.mark.usefixtures("unhurried")
def test_an_assertion_with_wrong_claims_is_refused(browser: FlaskClient, build: Build, key: Key) -> None:
    # OpenID Connect Core 1.0, 9.
    ent, moment = signing(build, key), int(time.time())
    good: list[dict[str, Any]] = [
        {},
        {"aud": [ent.issuer]},
        {"iat": moment + 10},
        {"iat": None},
        {"nbf": moment + 10},
        {"exp": moment + 600},
        {"exp": float(moment + 100)},
    ]
    for changes in good:
        believed(shown(browser, ent, ent.assertion(**changes)))
    body = {"iss": ent.client_id, "sub": ent.client_id, "aud": ent.issuer, "exp": moment + 60}
    for kind in ("client-authentication+jwt", "JWT", None):
        written = key.sign(without({"alg": "ES256", "kid": key.kid, "typ": kind}), {**body, "jti": f"right {kind}"})
        believed(shown(browser, ent, {**ent.assertion(), "client_assertion": written}))
    odd_times: list[Any] = [None, moment - 300, moment + 365 * 86400, "soon", True, [], 1e400]
    bad: list[dict[str, Any]] = [
        *({"aud": audience} for audience in (None, "", f"{ent.issuer}/", "https://elsewhere.test", [], [1], {"a": 1})),
        *({"aud": audience} for audience in (TOKEN, [TOKEN], [ent.issuer, TOKEN], f"{ent.issuer}/userinfo")),
        *({"iss": name} for name in (None, "", "x", ent.issuer, 5, [ent.client_id])),
        *({"sub": name} for name in (None, "", "x", 5, {"a": 1}, "x" * 5000)),
        *({"exp": when} for when in odd_times),
        *({"iat": when} for when in (moment + 90, "now", True)),
        {"nbf": moment + 90},
        *({"jti": identifier} for identifier in (None, "", 7, "x" * 301)),
    ]
    for changes in bad:
        not_believed(shown(browser, ent, ent.assertion(**changes)))
    for fields in (
        {"client_assertion_type": None},
        {"client_assertion_type": "saml2-bearer"},
        {"client_id": "another"},
    ):
        not_believed(shown(browser, ent, without({**ent.assertion(), **fields})))


@pytest.mark.row("T-16")
def test_an_assertion_is_accepted_once(browser: FlaskClient, build: Build, key: Key) -> None:
    # OpenID Connect Core 1.0, 9.
    ent, other = signing(build, key), signing(build, key, host="autre.test")
    assertion = ent.assertion(jti="one")
    believed(shown(browser, ent, assertion))
    not_believed(shown(browser, ent, assertion))
    not_believed(shown(browser, ent, ent.assertion(jti="one")))
    believed(shown(browser, other, other.assertion(jti="one")))  # each client has its own


@pytest.mark.row("T-16")
@pytest.mark.usefixtures("unhurried")
def test_a_malformed_token_with_a_valid_signature_is_refused(browser: FlaskClient, build: Build, key: Key) -> None:
    # RFC 7519, 4; RFC 7515, 4, 4.1.11.
    ent = signing(build, key)
    fields = ent.assertion()
    head, body = (unb64(part) for part in fields["client_assertion"].split(".")[:2])
    odd: list[tuple[bytes, bytes]] = [
        *((head[:-1] + b"," + more + b"}", body) for more in (
            b'"alg":"ES256"', b'"jwk":%s' % json.dumps(key.jwk).encode(), b'"jku":"https://ent.test/keys"',
            b'"x5u":"https://ent.test/cert"', b'"x5c":["MIIB"]', b'"crit":["exp"]', b'"crit":[]',
            b'"b64":true', b'"zip":"DEF"', b'"pad":"%s"' % (b"x" * 5500), b'"pad":NaN',
        )),
        *((head, body[:-1] + b"," + more + b"}") for more in (
            b'"aud":"%s"' % ent.issuer.encode(), b'"sub":"%s"' % ent.client_id.encode(), b'"pad":Infinity',
            b'"pad":"%s"' % (b"x" * 5500), b'"pad":' + b"[" * 2000, b'"pad":"\xff"',
        )),
        (head.decode().encode("utf-16"), body),
        (head, body.decode().encode("utf-16")),
        (b"[" + head + b"]", body),
        (head, b"[" + body + b"]"),
    ]  # fmt: skip
    for number, parts in enumerate(odd):
        answer = shown(browser, ent, {**fields, "client_assertion": key.sign(*parts)})
        assert answer.status_code == 401, (number, parts)
    more = key.sign(head[:-1] + b',"x5t":"abc","new":{"a":1}}', body[:-1] + b',"new":[1]}')
    believed(shown(browser, ent, {**fields, "client_assertion": more}))


@pytest.mark.row("T-16")
def test_a_client_is_held_to_the_algorithm_that_it_registered(browser: FlaskClient, build: Build) -> None:
    # OpenID Connect Registration 1.0, 2.
    rsa = Key.new("PS256")
    both = {"keys": [{**rsa.jwk, "kid": rsa.kid}]}
    held = KeyedParty.of(build.ent(auth_method="private_key_jwt", jwks=both, auth_alg="PS256"), client=rsa)
    believed(shown(browser, held, held.assertion()))
    held.client = Key("RS256", rsa.private)
    not_believed(shown(browser, held, held.assertion()))


@pytest.mark.row("T-16")
def test_a_client_of_the_profile_names_the_issuer_alone_and_signs_by_no_rs256(
    browser: FlaskClient, build: Build, settings: Settings
) -> None:
    # FAPI 2.0 Security Profile, 5.3.2.1, 5.4.1.
    rotation.rotate(settings, "ES256")
    rsa = Key.new("PS256")
    ent = signing(build, rsa, profile="fapi2", id_token_alg="ES256", jwks={"keys": [{**rsa.jwk, "kid": rsa.kid}]})
    audiences: list[Any] = [TOKEN, [ent.issuer], [ent.issuer, TOKEN], f"{ent.issuer}/"]
    for audience in audiences:
        not_believed(shown(browser, ent, ent.assertion(aud=audience)))
    ent.client = Key("RS256", rsa.private)
    not_believed(shown(browser, ent, ent.assertion()))
    ent.client = rsa
    answer = shown(browser, ent, ent.assertion())
    assert answer.get_json()["error_description"] == "A DPoP proof is needed."


@pytest.mark.row("T-16")
def test_a_client_of_former_times_may_name_the_endpoint_that_is_asked(
    browser: FlaskClient, build: Build, key: Key
) -> None:
    # RFC 9126, 2.
    ent = signing(build, key, assertion_audience="legacy")
    believed(shown(browser, ent, ent.assertion(aud=["https://elsewhere.test", ent.issuer])))
    rows: list[tuple[str, str, int]] = [
        ("/revoke", f"{ent.issuer}/revoke", 200),
        ("/introspect", f"{ent.issuer}/introspect", 200),
        ("/introspect", TOKEN, 200),
        ("/par", f"{ent.issuer}/par", 400),
        ("/introspect", f"{ent.issuer}/revoke", 401),
        ("/token", f"{ent.issuer}/par", 401),
    ]
    for path, audience, status in rows:
        form = {"grant_type": "authorization_code", "token": "x", **ent.assertion(aud=audience)}
        assert browser.post(path, data=form).status_code == status, (path, audience)


@pytest.mark.row("T-16")
def test_a_key_without_a_kid_is_accepted_when_one_key_fits(browser: FlaskClient, build: Build) -> None:
    # OpenID Connect Core 1.0, 10.1. A single key that fits the algorithm leaves no doubt.
    first, second = Key.new("ES256"), Key.new("ES256")
    lone = signing(build, first, jwks={"keys": [first.jwk, {**Key.new("RS256").jwk}]})
    believed(shown(browser, lone, lone.assertion()))
    double = signing(build, first, jwks={"keys": [first.jwk, second.jwk]}, host="deux.test")
    not_believed(shown(browser, double, double.assertion()))


@pytest.mark.row("T-16")
def test_many_processes_send_an_assertion_and_it_is_accepted_once(
    app: Flask, build: Build, key: Key, settings: Settings
) -> None:
    # OpenID Connect Core 1.0, 9.
    parties = [signing(build, key, name=f"Passerelle {n}", host=f"e{n}.test") for n in range(10)]
    form = {"grant_type": "authorization_code", "code": "x" * 43, "code_verifier": "v" * 43}
    requests = [
        {"path": "/token", "method": "POST", "data": {**form, "redirect_uri": ent.redirect_uri, **ent.assertion()}}
        for ent in parties
    ]
    for answers in rush(settings.database_url, settings.issuer, requests, processes=6):
        errors = sorted(error for _status, error, _brought in answers)
        assert errors == ["invalid_client"] * 5 + ["invalid_grant"]


def test_a_client_that_changes_to_keys_has_no_secret_any_more(browser: FlaskClient, build: Build, key: Key) -> None:
    # OpenID Connect Registration 1.0, 3.2.
    ent = signing(build, key)
    assert ent.secret is None
    with pytest.raises(RegistrationRefusedError, match="it has no secret"):
        registrations.rotate_secret(ent.client_id)
