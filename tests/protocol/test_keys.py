"""Signing keys: publication, signatures, several nodes (security rows D-03, D-04, X-02)."""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from idp.accounts.models import Account
from idp.config import Settings
from idp.db import db
from idp.oidc.keys import material, ring as keys, rotation
from idp.oidc.keys.material import ALGORITHMS
from idp.oidc.keys.ring import KeyRing
from idp.oidc.tokens import issued
from idp.services import services_of
from tests.builders import Build
from tests.protocol.flow import code_for
from tests.protocol.nodes import node, published
from tests.relying_party import Attempt
from tests.signatures import at_hash, b64, public_key, read, verified

MEMBERS = {
    "RS256": {"kty", "n", "e", "kid", "use", "alg", "x5c"},
    "PS256": {"kty", "n", "e", "kid", "use", "alg", "x5c"},
    "ES256": {"kty", "crv", "x", "y", "kid", "use", "alg", "x5c"},
    "EdDSA": {"kty", "crv", "x", "kid", "use", "alg"},
}


@pytest.fixture
def every_key(app: Flask, settings: Settings) -> list[str]:
    for alg in ALGORITHMS[1:]:
        rotation.rotate(settings, alg)
    services_of(app).server.ring.forget()
    return list(ALGORITHMS)


@pytest.mark.row("D-03")
def test_each_algorithm_has_a_key_of_its_own_which_shows_its_public_half_alone(
    browser: FlaskClient, every_key: list[str]
) -> None:
    # RFC 7517, 4.4.
    jwks = published(browser)
    assert sorted(key["alg"] for key in jwks.values()) == sorted(every_key)
    assert len({b64(json.dumps(key.get("n") or key["x"]).encode()) for key in jwks.values()}) == 4
    for key in jwks.values():
        assert (set(key), key["use"]) == (MEMBERS[key["alg"]], "sig")
        public = public_key(key)
        if isinstance(public, ed25519.Ed25519PublicKey):
            continue
        [encoded] = key["x5c"]
        certificate = x509.load_der_x509_certificate(base64.b64decode(encoded, validate=True))
        assert certificate.public_key() == public
        signed, signature = certificate.tbs_certificate_bytes, certificate.signature
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        else:  # one key, one scheme
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
            public.verify(signature, signed, pss if key["alg"] == "PS256" else padding.PKCS1v15(), hashes.SHA256())
            assert public.key_size == 2048


@pytest.mark.row("D-03")
def test_the_kid_of_a_key_is_its_thumbprint(browser: FlaskClient, every_key: list[str]) -> None:
    # RFC 7638, 3.
    required = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
    for kid, key in published(browser).items():
        members = {name: key[name] for name in required[key["kty"]]}
        digest = hashes.Hash(hashes.SHA256())
        digest.update(json.dumps(members, separators=(",", ":")).encode())
        assert kid == b64(digest.finalize())


@pytest.mark.row("D-02")
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_id_token_is_signed_as_the_client_was_registered(
    browser: FlaskClient, build: Build, session: Account, every_key: list[str], alg: str
) -> None:
    # OpenID Connect Registration 1.0, 2.
    announced = browser.get("/.well-known/openid-configuration").get_json()
    assert announced["id_token_signing_alg_values_supported"] == every_key
    ent, attempt = build.ent(id_token_alg=alg), Attempt()
    response = ent.exchange(browser, code_for(browser, ent, attempt), attempt)
    assert response.status_code == 200
    tokens = response.get_json()
    assert verified(tokens["id_token"], published(browser))["alg"] == alg
    _, claims = read(tokens["id_token"])
    assert (claims["aud"], claims["nonce"]) == (ent.client_id, attempt.nonce)
    assert claims["at_hash"] == at_hash(alg, tokens["access_token"])
    with_hint = ent.answer(browser.get(ent.url(Attempt(), id_token_hint=tokens["id_token"], prompt="none")))
    assert with_hint["code"], "and it comes back as a hint"


def test_at_hash_is_that_of_the_specification_s_own_example() -> None:
    # OpenID Connect Core 1.0, 3.1.3.6.
    token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
    assert material.half_hash("RS256", token) == "77QmUPtjPfzWtF2AnpK9RQ"


@pytest.mark.row("X-02")
def test_a_key_signs_and_verifies_one_algorithm_alone(app: Flask, settings: Settings, every_key: list[str]) -> None:
    # RFC 8725, 3.1.
    ring = services_of(app).server.ring
    body = {"iss": settings.issuer, "sub": "a", "sid": "b", "aud": "c"}
    for alg, other in (("RS256", "PS256"), ("PS256", "RS256")):
        signer = ring.signer(alg)
        good = jwt.encode({"alg": alg, "kid": signer.kid}, body, signer.key, algorithms=[alg])
        assert issued.read_id_token(settings, ring, good) == body
        swapped = jwt.encode({"alg": other, "kid": signer.kid}, body, signer.key, algorithms=[other])
        assert issued.read_id_token(settings, ring, swapped) is None


class Clock:
    """The key ring's clock, and the number of its queries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        self.looks = 0
        monkeypatch.setattr(keys, "time", SimpleNamespace(monotonic=lambda: self.seconds))

    def count(self, _connection: object, _cursor: object, statement: str, *_more: object) -> None:
        self.looks += "FROM signing_key" in statement


@pytest.fixture
def clock(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock(monkeypatch)
    event.listen(db.engine, "before_cursor_execute", clock.count)
    yield clock
    event.remove(db.engine, "before_cursor_execute", clock.count)


def test_keys_are_read_every_five_seconds_and_not_for_each_signature(settings: Settings, clock: Clock) -> None:
    # OpenID Connect Core 1.0, 10.1.1.
    ring = KeyRing(settings)
    for tenth in range(100):
        clock.seconds = 1000 + tenth / 10
        for _ in range(10):
            ring.signer("RS256")
            ring.algorithms()
            ring.published()
    assert clock.looks == 2


@pytest.mark.row("D-04")
def test_nodes_agree_within_seconds_without_a_message(browser: FlaskClient, settings: Settings, clock: Clock) -> None:
    # OpenID Connect Core 1.0, 10.1.1.
    ring, other = KeyRing(settings), KeyRing(settings)
    first = ring.signer("RS256").kid
    assert other.signer("RS256").kid == first

    def shown() -> list[set[str]]:
        return [{key["kid"] for key in json.loads(each.document())["keys"]} for each in (ring, other)]

    second = rotation.rotate(settings, at_once=True).kid
    assert KeyRing(settings).signer("RS256").kid == second, "a node that starts now signs with it already"
    clock.seconds += 1.1
    assert shown() == [{first, second}] * 2, "and every node shows it within a second"
    clock.seconds += 4
    assert [each.signer("RS256").kid for each in (ring, other)] == [second] * 2
    rotation.drop(settings, second)
    clock.seconds += 1.1
    assert shown() == [{first}] * 2, "what is dropped is gone within a second, everywhere"
    clock.seconds += 4
    assert [each.signer("RS256").kid for each in (ring, other)] == [first] * 2


def test_a_token_of_another_node_s_new_key_is_known_and_made_up_ones_cost_one_look_a_second(
    settings: Settings, clock: Clock
) -> None:
    # OpenID Connect Core 1.0, 10.1.1. A node queries the table for an unknown `kid` in a hint, but not for every
    # invented one.
    here, there = KeyRing(settings), KeyRing(settings)
    body = {"iss": settings.issuer, "sub": "a", "sid": "b"}
    old = there.signer("RS256")
    assert issued.read_id_token(settings, there, jwt.encode({"alg": "RS256", "kid": old.kid}, body, old.key)) == body
    rotation.rotate(settings, at_once=True)
    signer = here.signer("RS256")
    token = jwt.encode({"alg": "RS256", "kid": signer.kid}, body, signer.key)
    clock.seconds += 1.1
    assert issued.read_id_token(settings, there, token) == body
    forged = [jwt.encode({"alg": "RS256", "kid": f"made up {number}"}, body, signer.key) for number in range(50)]
    before = clock.looks
    for tenth in range(30):
        clock.seconds += 0.1
        assert [issued.read_id_token(settings, there, forgery) for forgery in forged] == [None] * 50, tenth
    assert clock.looks - before <= 3


def test_the_first_key_of_an_algorithm_is_found_without_waiting(settings: Settings, clock: Clock) -> None:
    # OpenID Connect Core 1.0, 10.1.1.
    ring = KeyRing(settings)
    with pytest.raises(material.NoSigningKeyError):
        ring.signer("PS256")
    kid = rotation.rotate(settings, "PS256").kid
    clock.seconds += 1.1
    assert ring.signer("PS256").kid == kid


def test_concurrent_requests_for_the_keys_share_a_query(
    app: Flask, settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenID Connect Core 1.0, 10.1.1.
    ring, rows = KeyRing(settings), keys._rows
    ring.signer("RS256")
    clock.seconds += 1.1
    looks, waiting, go_on = threading.Semaphore(0), threading.Semaphore(0), threading.Event()

    def slowly() -> Any:
        looks.release()
        assert go_on.wait(60)
        return rows()

    def ask() -> bytes:
        with app.app_context():
            return ring.document()

    monkeypatch.setattr(keys, "_rows", slowly)
    monkeypatch.setattr(keys, "release_connection", waiting.release)  # called before each query and each wait
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(ask)
        assert looks.acquire(timeout=60)
        others = [pool.submit(ask) for _ in range(19)]
        assert all(waiting.acquire(timeout=60) for _ in range(20))
        assert ring.signer("RS256"), "nobody who signs waits for it"
        go_on.set()
        assert len({future.result() for future in (first, *others)}) == 1
    assert not looks.acquire(timeout=0), "those who came during the look share its result"


@pytest.mark.row("W-07")
def test_while_the_database_is_away_the_keys_in_memory_serve(
    settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # RFC 9111, 4.2.4. While the database is unavailable, the cached keys stay in use.
    ring, away = KeyRing(settings), []
    document, kid = ring.document(), ring.signer("RS256").kid

    def nothing() -> Any:
        away.append(clock.seconds)
        raise OperationalError("SELECT", {}, Exception("gone"))

    with monkeypatch.context() as patched:
        patched.setattr(keys, "_rows", nothing)
        for _ in range(12):
            clock.seconds += 1
            assert (ring.document(), ring.signer("RS256").kid) == (document, kid)
        assert len(away) <= 3, "and it is not asked again each time"
        with pytest.raises(OperationalError):
            KeyRing(settings).document()
    clock.seconds += 6
    assert rotation.rotate(settings).kid in {key["kid"] for key in json.loads(ring.document())["keys"]}


@pytest.mark.row("W-07")
def test_without_a_database_from_the_start_the_keys_are_a_503() -> None:
    # RFC 9110, 15.6.4; OWASP ASVS 5, V 16.5.1.
    with node("postgresql://idp:dbp4ssword@127.0.0.1:1/idp") as app, app.app_context():
        answer = app.test_client().get("/jwks.json")
    assert answer.status_code == 503
    assert "dbp4ssword" not in answer.get_data(as_text=True)
