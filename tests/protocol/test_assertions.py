"""Clients that prove who they are by a JWT that they signed (RFC 7523, Core 9; security row T-16)."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.config import Settings
from idp.oidc import client_keys, key_rotation, outgoing, registration
from tests.builders import Build
from tests.databases import settings_for
from tests.dpop_party import Key, KeyedParty, without
from tests.protocol.ent_server import EntServer, Resolver, authority, listening_ent
from tests.protocol.flow import code_for, refused
from tests.protocol.test_races import rush
from tests.relying_party import Attempt

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
TOKEN = "https://connexion.exemple.test/token"


def jwks(*keys: Key, **members: Any) -> dict[str, Any]:
    return {"keys": [without({**key.jwk, "kid": key.kid, "use": "sig", "alg": key.alg, **members}) for key in keys]}


def signing(build: Build, key: Key, **more: Any) -> KeyedParty:
    """Return an ENT that signs with `key`."""
    wanted = {"auth_method": "private_key_jwt", "jwks": jwks(key), **more}
    return KeyedParty.of(build.ent(**wanted), client=key)


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


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_t16_a_signed_assertion_authenticates(browser: FlaskClient, build: Build, session: Account, alg: str) -> None:
    """Core 9: « private_key_jwt: Clients that have registered a public key sign a JWT using that key. »"""
    ent, attempt = signing(build, Key.new(alg)), Attempt()
    answer = ent.redeem(browser, code_for(browser, ent, attempt), attempt, None)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    ent.read(browser, answer.get_json()["id_token"])


@pytest.mark.usefixtures("unhurried")
def test_t16_only_the_right_claims_are_accepted(browser: FlaskClient, build: Build, key: Key) -> None:
    """RFC 7523 3: « The JWT MUST contain an "exp" … a "sub" … an "aud" … »; Core 9 adds `jti`."""
    ent, moment = signing(build, key), int(time.time())
    good: list[dict[str, Any]] = [
        {},
        {"aud": TOKEN},
        {"aud": ["https://elsewhere.test", ent.issuer]},
        {"iat": moment + 10},
        {"iat": None},
        {"nbf": moment + 10},
        {"exp": moment + 600},
        {"exp": float(moment + 100)},
    ]
    for changes in good:
        believed(shown(browser, ent, ent.assertion(**changes)))
    odd_times: list[Any] = [None, moment - 300, moment + 365 * 86400, "soon", True, [], 1e400]
    bad: list[dict[str, Any]] = [
        *({"aud": audience} for audience in (None, "", f"{ent.issuer}/", "https://elsewhere.test", [], [1], {"a": 1})),
        {"aud": f"{ent.issuer}/userinfo"},
        *({"iss": name} for name in (None, "", "x", ent.issuer, 5, [ent.client_id])),
        *({"sub": name} for name in (None, "", "x", 5, {"a": 1}, "x" * 5000)),
        *({"exp": when} for when in odd_times),
        *({"iat": when} for when in (moment + 90, "now", True)),
        {"nbf": moment + 90},
        *({"jti": identifier} for identifier in (None, "", 7, "x" * 301)),
    ]
    for changes in bad:
        not_believed(shown(browser, ent, ent.assertion(**changes)))


def test_t16_an_assertion_counts_once(browser: FlaskClient, build: Build, key: Key) -> None:
    """Core 9: « jti … These tokens MUST only be used once. »"""
    ent, other = signing(build, key), signing(build, key, host="autre.test")
    assertion = ent.assertion(jti="one")
    believed(shown(browser, ent, assertion))
    not_believed(shown(browser, ent, assertion))
    not_believed(shown(browser, ent, ent.assertion(jti="one")))
    believed(shown(browser, other, other.assertion(jti="one")))  # each client has its own


@pytest.mark.usefixtures("unhurried")
def test_t16_the_header_chooses_nothing(browser: FlaskClient, build: Build, key: Key) -> None:
    """RFC 8725 3.1, 3.10: the caller fixes the algorithms, and received claims of keys are not followed."""
    ent, mine = signing(build, key), Key.new("ES256")
    body = {"iss": ent.client_id, "sub": ent.client_id, "aud": ent.issuer, "exp": int(time.time()) + 60}
    right = {"alg": "ES256", "kid": key.kid}
    heads: list[dict[str, Any]] = [
        *(
            {**right, "alg": alg}
            for alg in ("none", "nOnE", "HS256", "RS512", "ES256K", "PS256", "", None, 5, ["ES256"])
        ),
        {**right, "jwk": mine.jwk},
        {**right, "jku": "https://evil.test/keys"},
        {**right, "x5u": "https://evil.test/cert"},
        {**right, "x5c": ["MIIB"]},
        {**right, "crit": ["exp"]},
        {**right, "b64": False},
        {**right, "zip": "DEF"},
        *({**right, "kid": kid} for kid in ("../../x", "' OR 1=1", "x" * 4000, "", 7, None)),
    ]
    for number, head in enumerate(heads):
        fields = ent.assertion()
        fields["client_assertion"] = mine.sign(without(head), {**body, "jti": f"h{number}"})
        not_believed(shown(browser, ent, fields))
    fields["client_assertion"] = key.sign(right, {**body, "jti": "right"})
    believed(shown(browser, ent, fields))


@pytest.mark.usefixtures("unhurried")
def test_t16_what_is_no_token_is_no_proof(browser: FlaskClient, build: Build, key: Key) -> None:
    ent = signing(build, key)
    head, body, signature = ent.assertion()["client_assertion"].split(".")
    odd = [
        *("", ".", "..", "a.b.c", f"{head}.{body}.", f"{head}.{body}", f"{head}.{body}.{signature}.x", "x" * 9000),
        *(f"{head}.{body}.{signature}=", f"{head}. {body}.{signature}", f"{head}.{body}.{signature[:-4]}AAAA"),
        f"{head}.{'A' * 7000}.{signature}",
        key.sign({"alg": "ES256"}, b"[]"),
        key.sign({"alg": "ES256"}, b"\xff"),
        key.sign({"alg": "ES256"}, b"[" * 4000),
        key.sign(b'{"alg":"ES256","alg":"none"}', {"sub": ent.client_id}),
        key.sign({"alg": "ES256"}, b'{"sub":"a","sub":"%s"}' % ent.client_id.encode()),
    ]
    for text in odd:
        not_believed(shown(browser, ent, {**ent.assertion(), "client_assertion": text}))
    for kind in (None, "", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"):
        not_believed(shown(browser, ent, without({**ent.assertion(), "client_assertion_type": kind})))
    not_believed(shown(browser, ent, {**ent.assertion(), "client_id": "another"}))


def test_t16_two_proofs_at_once_are_refused(browser: FlaskClient, build: Build, key: Key) -> None:
    """RFC 6749 2.3: « The client MUST NOT use more than one authentication method in each request. »"""
    ent = signing(build, key)
    refused(shown(browser, ent, {**ent.assertion(), "client_secret": "x"}), "invalid_request")


def test_t16_a_client_is_held_to_the_algorithm_that_it_registered(browser: FlaskClient, build: Build) -> None:
    """Registration 1.0, 2: « token_endpoint_auth_signing_alg: … algorithm that MUST be used for signing the JWT »."""
    rsa = Key.new("PS256")
    both = {"keys": [{**rsa.jwk, "kid": rsa.kid}]}
    held = KeyedParty.of(build.ent(auth_method="private_key_jwt", jwks=both, auth_alg="PS256"), client=rsa)
    believed(shown(browser, held, held.assertion()))
    held.client = Key("RS256", rsa.private)
    not_believed(shown(browser, held, held.assertion()))


def test_t16_a_client_of_the_profile_names_the_issuer_alone_and_signs_by_no_rs256(
    browser: FlaskClient, build: Build, settings: Settings
) -> None:
    """FAPI 2.0 Security Profile, 5.3.2.1: « shall accept its issuer identifier value … as a string in the aud claim
    received in client authentication assertions »; 5.4.1: « shall use PS256, ES256, or EdDSA ».
    """
    key_rotation.rotate(settings, "ES256")
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


def test_t16_an_assertion_may_name_the_endpoint_that_is_asked(browser: FlaskClient, build: Build, key: Key) -> None:
    """RFC 9126 2: « the authorization server MUST accept its issuer identifier, token endpoint URL, or pushed
    authorization request endpoint URL as values that identify it as an intended audience ».
    """
    ent = signing(build, key)
    for path, audience, status in (
        ("/revoke", f"{ent.issuer}/revoke", 200),
        ("/introspect", f"{ent.issuer}/introspect", 200),
        ("/introspect", TOKEN, 200),
        ("/par", f"{ent.issuer}/par", 400),
        ("/introspect", f"{ent.issuer}/revoke", 401),
        ("/token", f"{ent.issuer}/par", 401),
    ):
        form = {"grant_type": "authorization_code", "token": "x", **ent.assertion(aud=audience)}
        assert browser.post(path, data=form).status_code == status, (path, audience)


def test_t16_a_key_without_a_name_is_good_when_there_is_no_choice(browser: FlaskClient, build: Build) -> None:
    """RFC 7517 4.5: `kid` is optional; a single key that fits the algorithm leaves no doubt."""
    one, two = Key.new("ES256"), Key.new("ES256")
    lone = signing(build, one, jwks={"keys": [one.jwk, {**Key.new("RS256").jwk}]})
    believed(shown(browser, lone, lone.assertion()))
    double = signing(build, one, jwks={"keys": [one.jwk, two.jwk]}, host="deux.test")
    not_believed(shown(browser, double, double.assertion()))


def test_t16_one_assertion_shown_by_many_processes_at_once_counts_once(
    app: Flask, build: Build, key: Key, settings: Settings
) -> None:
    parties = [signing(build, key, name=f"Passerelle {n}", host=f"e{n}.test") for n in range(10)]
    form = {"grant_type": "authorization_code", "code": "x" * 43, "code_verifier": "v" * 43}
    requests = [
        {"path": "/token", "method": "POST", "data": {**form, "redirect_uri": ent.redirect_uri, **ent.assertion()}}
        for ent in parties
    ]
    for answers in rush(settings.database_url, settings.issuer, requests, processes=6):
        errors = sorted(error for _status, error, _brought in answers)
        assert errors == ["invalid_client"] * 5 + ["invalid_grant"]


@pytest.fixture
def ent_server(tmp_path: Path) -> Iterator[tuple[EntServer, Path]]:
    given = authority(tmp_path, "ent.test")
    with listening_ent(given.chain) as server:
        yield server, given.trusted


@pytest.fixture
def fetching(
    request: pytest.FixtureRequest,
    database_url: str,
    ent_server: tuple[EntServer, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Settings that let one name of this house be called, and trust the authority that vouches for it."""
    Resolver(monkeypatch).hosts["ent.test"] = ["127.0.0.1"]
    return settings_for(database_url, outgoing_allow=("ent.test",), ca_bundle=ent_server[1])


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str) -> Settings:
    """Those that fetch, for the tests of `jwks_uri`."""
    if "ent_server" in request.fixturenames:
        found: Settings = request.getfixturevalue("fetching")
        return found
    return settings_for(database_url)


def published(server: EntServer, *keys: Key) -> None:
    server.served["/keys"] = (200, {"Content-Type": "application/json"}, json.dumps(jwks(*keys)).encode())


def at_address(build: Build, server: EntServer, key: Key) -> KeyedParty:
    more = {"auth_method": "private_key_jwt", "jwks_uri": server.uri(path="/keys")}
    return KeyedParty.of(build.ent(**more), client=key)


def test_t16_a_client_changes_the_keys_at_its_address_without_a_word(
    browser: FlaskClient, build: Build, ent_server: tuple[EntServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Core 10.1.1: « the signer can begin using a new key … and signals the change to the verifier using kid »."""
    server, first, second = ent_server[0], Key.new(), Key.new()
    published(server, first)
    ent = at_address(build, server, first)
    for _ in range(3):
        believed(shown(browser, ent, ent.assertion()))
    assert len(server.asked) == 1, "the keys are kept"
    published(server, second)
    ent.client = second
    not_believed(shown(browser, ent, ent.assertion()))  # within the minute nobody is asked again
    assert len(server.asked) == 1
    monkeypatch.setattr(client_keys, "AGAIN_SECONDS", 0.0)
    believed(shown(browser, ent, ent.assertion()))
    ent.client = first
    not_believed(shown(browser, ent, ent.assertion()))


def test_t16_an_address_that_gives_no_keys_is_nobody_s_fault_but_the_client_s(
    browser: FlaskClient, build: Build, ent_server: tuple[EntServer, Path]
) -> None:
    server, key = ent_server[0], Key.new()
    elsewhere = (302, {"Location": server.uri(path="/keys")}, b"")
    answers: list[Any] = [(500, {}, b""), elsewhere, (200, {}, b"["), (200, {}, b"{}"), (200, {}, b'{"keys": 5}')]
    answers += [(200, {}, b'{"keys": [' + b"[" * 50_000), (200, {}, b'{"keys": [7, null, {"kty": "RSA"}]}')]
    for number, answer in enumerate(answers):
        published(server, key)
        ent = KeyedParty.of(
            build.ent(auth_method="private_key_jwt", jwks_uri=server.uri(path=f"/keys?{number}")), client=key
        )
        server.next = [answer, answer]
        not_believed(shown(browser, ent, ent.assertion()))
        server.next = []


@pytest.mark.usefixtures("unhurried")
def test_t16_names_of_keys_that_nobody_has_make_one_request_a_minute(
    browser: FlaskClient, build: Build, ent_server: tuple[EntServer, Path], key: Key
) -> None:
    """Core 10.1.1: an unfamiliar `kid` makes the verifier look again; not as often as anybody likes to invent one."""
    published(ent_server[0], key)
    ent = at_address(build, ent_server[0], key)
    for _ in range(20):
        ent.client = Key.new()
        not_believed(shown(browser, ent, ent.assertion()))
    ent.client = key
    believed(shown(browser, ent, ent.assertion()))
    assert len(ent_server[0].asked) == 1


def test_t16_keys_of_an_address_that_is_down_serve_a_day_longer(
    browser: FlaskClient,
    build: Build,
    ent_server: tuple[EntServer, Path],
    key: Key,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, day = ent_server[0], client_keys.LONGEST_KEPT_SECONDS
    published(server, key)
    ent = at_address(build, server, key)
    believed(shown(browser, ent, ent.assertion()))
    server.served.clear()
    clock = time.monotonic
    for later, judge in ((2 * client_keys.KEPT_SECONDS, believed), (day + 60, not_believed)):
        monkeypatch.setattr(time, "monotonic", lambda later=later: clock() + later)
        judge(shown(browser, ent, ent.assertion()))
    assert len(server.asked) >= 3


def test_t16_an_ent_that_does_not_answer_holds_no_transaction_and_no_other_ent_up(
    app: Flask,
    browser: FlaskClient,
    build: Build,
    ent_server: tuple[EntServer, Path],
    key: Key,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While one ENT's keys are waited for, another's are fetched, and the database is free to write."""
    server, asked, left = ent_server[0], threading.Event(), threading.Event()
    monkeypatch.setattr(outgoing, "TIMEOUT", 60)

    def hang(_handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        left.wait(60)

    published(server, key)
    server.served["/slow"] = hang
    uri = server.uri(path="/slow")
    slow = KeyedParty.of(build.ent("Lent", "lent.test", auth_method="private_key_jwt", jwks_uri=uri), client=key)
    quick = at_address(build, server, key)
    waiting = ThreadPoolExecutor(1).submit(shown, app.test_client(), slow, slow.assertion())
    assert asked.wait(30)
    believed(shown(browser, quick, quick.assertion()))  # a proof is stored, a claim of a code is tried
    assert not waiting.done()
    left.set()
    not_believed(waiting.result(60))


def test_t16_an_ent_that_takes_too_long_is_left(
    browser: FlaskClient,
    build: Build,
    ent_server: tuple[EntServer, Path],
    key: Key,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, left = ent_server[0], threading.Event()
    monkeypatch.setattr(outgoing, "TIMEOUT", 0.5)

    def hang(_handler: BaseHTTPRequestHandler) -> None:
        left.wait(60)

    server.served["/keys"] = hang
    ent = at_address(build, server, key)
    for _ in range(3):
        not_believed(shown(browser, ent, ent.assertion()))
    left.set()
    assert len(server.asked) == 1, "it is not asked again within the minute"


def test_t16_keys_are_not_fetched_from_inside_this_house(browser: FlaskClient, build: Build, key: Key) -> None:
    """OWASP ASVS 5, V 1.3.6: an address that others choose must not lead into the network of the service."""
    with listening_ent(None) as server:
        for address in ("https://127.0.0.1", "https://169.254.169.254", "https://[::1]", "https://10.0.0.1"):
            uri = f"{address}:{server.port}/keys"
            ent = KeyedParty.of(build.ent(auth_method="private_key_jwt", jwks_uri=uri), client=key)
            not_believed(shown(browser, ent, ent.assertion()))
        assert server.asked == []


def test_a_client_that_changes_to_keys_has_no_secret_any_more(browser: FlaskClient, build: Build, key: Key) -> None:
    ent = signing(build, key)
    assert ent.secret is None
    with pytest.raises(registration.RegistrationRefused, match="it has no secret"):
        registration.rotate_secret(ent.client_id)
