"""JOSE regressions wherever this service reads a JWT: hints, client assertions, DPoP proofs, weak keys (X-02)."""

import base64
import hashlib
import hmac
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.oidc.keys import jose
from idp.oidc.tokens import issued
from idp.services import services_of
from tests.builders import Build
from tests.dpop_party import Key, KeyedParty
from tests.protocol.flow import refused, tokens_for
from tests.protocol.registering import register
from tests.relying_party import RelyingParty
from tests.rows import each_row
from tests.signatures import b64, number, unb64

MINE = rsa.generate_private_key(65537, 2048)
MY_JWK = {"kty": "RSA", "n": b64(MINE.public_key().public_numbers().n.to_bytes(256, "big")), "e": "AQAB"}


def forgeries(genuine: str, jwk: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield forgeries of an RS256 token of the key `jwk`, each with a description of its fault."""
    head, body, signature = genuine.split(".")
    header: dict[str, Any] = json.loads(unb64(head))
    payload = unb64(body)
    for alg in ("none", "None", "nOnE", "NONE", "", "RS512", "PS256", "ES256", "Ed25519", "HS256", None, 1, ["RS256"]):
        named = json.dumps({**header, "alg": alg}).encode()
        yield f"alg {alg}", f"{b64(named)}.{body}."
        yield f"alg {alg}, signature kept", f"{b64(named)}.{body}.{signature}"
    for name, secret in secrets_of(jwk).items():
        for alg in ("HS256", "RS256"):
            yield f"HMAC with {name}, said to be {alg}", hs256({**header, "alg": alg}, payload, secret)
    for extra in (
        {"jwk": MY_JWK},
        {"jku": "https://evil.test/jwks.json"},
        {"x5u": "https://evil.test/cert"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"], "exp": 9},
        {"crit": ["b64"], "b64": False},
        {"zip": "DEF"},
    ):
        if not extra.keys() & header.keys():
            yield f"header {next(iter(extra))}", rs256({**header, **extra}, payload)
    for strange in ("../../x", "' OR 1=1 --", "x" * 4000, "x" * 1_000_000, "", None, 7, ["a"], {"a": 1}):
        yield f"kid {str(strange)[:20]}", rs256({**header, "kid": strange}, payload)
    yield "no kid", rs256({name: value for name, value in header.items() if name != "kid"}, payload)
    yield "foreign key", rs256(header, payload)
    yield "doubled header", rs256(b'{"alg":"none",' + unb64(head)[1:], payload)
    yield "JWE", jwe(header, payload, jwk)
    yield "JWE that swells", jwe({**header, "zip": "DEF"}, b" " * 30_000_000, jwk)
    yield from bent(head, body, signature)


def bent(head: str, body: str, signature: str) -> Iterator[tuple[str, str]]:
    """Yield invalid compact JWS, and changes of the signed one."""
    genuine = f"{head}.{body}.{signature}"
    yield "padding", f"{genuine}="
    yield "padding inside", f"{head}=.{body}.{signature}"
    yield "blank", f" {genuine}"
    yield "line end", f"{genuine}\n"
    yield "blank inside", f"{head}.{body}.{signature[:10]} {signature[10:]}"
    yield "other alphabet", genuine.replace("-", "+").replace("_", "/") + "+"
    yield "four parts", f"{genuine}.x"
    yield "five parts", f"{genuine}.x.y"
    yield "two parts", f"{head}.{body}"
    yield "empty parts", ".."
    yield "no payload", f"{head}..{signature}"
    yield "another payload", ".".join([head, b64(b"{}"), signature])
    yield "longer", f"{head}.{body}.{signature}AAAA"
    yield "shorter", f"{head}.{body}.{signature[:-4]}"
    yield "huge", f"{head}.{'A' * 10_000_000}.{signature}"
    yield "JSON", json.dumps({"payload": body, "signatures": [{"protected": head, "signature": signature}]})
    yield "nested", ".".join([b64(b"[" * 3000), b64(b"[" * 3000), signature])
    yield "not UTF-8", ".".join([b64(b"\xff"), body, signature])


def secrets_of(jwk: Mapping[str, str]) -> dict[str, bytes]:
    """Return the byte sequences that a library may use as an HMAC secret if it is given a public key."""
    public = public_key(jwk)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    secrets = {
        "PEM": pem,
        "PEM stripped": pem.strip(),
        "PEM after blanks": b"  \n" + pem,
        "DER": public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(jwk).encode(),
        "n": jwk["n"].encode(),
        "empty": b"",
    }
    return secrets | ({"x5c": base64.b64decode(jwk["x5c"][0])} if "x5c" in jwk else {})


def public_key(jwk: Mapping[str, str]) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(number(jwk["e"]), number(jwk["n"])).public_key()


def rs256(header: Mapping[str, object] | bytes, payload: bytes) -> str:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    signed = f"{b64(head)}.{b64(payload)}"
    return f"{signed}.{b64(MINE.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def hs256(header: Mapping[str, object], payload: bytes, secret: bytes) -> str:
    signed = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def jwe(header: Mapping[str, object], payload: bytes, jwk: Mapping[str, str]) -> str:
    """Encrypt to the public key (RFC 7516 7.1), compressed if the header says so (RFC 7516 4.1.3)."""
    key, nonce = AESGCM.generate_key(256), os.urandom(12)
    head = b64(json.dumps({**header, "alg": "RSA-OAEP", "enc": "A256GCM"}).encode())
    packer = zlib.compressobj(9, wbits=-15)
    plain = packer.compress(payload) + packer.flush() if "zip" in header else payload
    sealed = AESGCM(key).encrypt(nonce, plain, head.encode())
    wrapped = public_key(jwk).encrypt(key, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))  # noqa: S303 - RFC 7518 4.3
    return ".".join([head, b64(wrapped), b64(nonce), b64(sealed[:-16]), b64(sealed[-16:])])


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
    # OpenID Connect Core 1.0, 3.1.2.2; Security row X-02.
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
def test_a_forged_client_assertion_is_refused(browser: FlaskClient, signing: KeyedParty, session: Account) -> None:
    # RFC 8725, 3.1.
    genuine = signing.assertion()
    form = {"grant_type": "authorization_code", "code": "x" * 43, **genuine}
    for name, token in quickly(forgeries(genuine["client_assertion"], {**signing.key.jwk, "kid": signing.key.kid})):
        answer = browser.post("/token", data={**form, "client_assertion": token})
        if len(token) > _LARGEST_BODY:
            assert answer.status_code == 413, name
        elif len(token) > 10_000:
            refused(answer, "invalid_request")
        else:
            refused(answer, "invalid_client", 401)
    answer = browser.post("/token", data=form)  # the genuine proof is still valid and unused
    assert answer.status_code in {200, 400}, answer.text
    assert (answer.get_json() or {}).get("error") != "invalid_client"


FIELD = 2**255 - 19
_D = -121665 * pow(121666, -1, FIELD) % FIELD
_ROOT = pow(2, (FIELD - 1) // 4, FIELD)
ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
SMALL = {
    "identity": 1,
    "order 2": FIELD - 1,
    "order 4": 0,
    "order 8": ORDER_8,
    "order 8, the other": FIELD - ORDER_8,
    "identity, not reduced": FIELD + 1,
    "order 4, not reduced": FIELD,
}

Point = tuple[int, int]


def encoded(y: int, sign: int = 0) -> str:
    """Return the encoding of a point (RFC 8032 5.1.2)."""
    return b64((y + (sign << 255)).to_bytes(32, "little"))


def point(y: int) -> Point:
    """Return a point with this y (RFC 8032 5.1.3)."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if (x * x - square) % FIELD:
        x = x * _ROOT % FIELD
    assert (x * x - square) % FIELD == 0, "on the curve"
    return x, y % FIELD


def added(left: Point, right: Point) -> Point:
    """Add two points (RFC 8032 5.1.4)."""
    (a, b), (c, d) = left, right
    both = _D * a * b * c * d
    return (
        (a * d + b * c) * pow(1 + both, -1, FIELD) % FIELD,
        (b * d + a * c) * pow(1 - both, -1, FIELD) % FIELD,
    )


@pytest.mark.row("X-02")
@each_row("y", SMALL.values())
def test_a_key_of_small_order_is_refused(y: int) -> None:
    # RFC 8725, 3.4.
    eightfold = point(y)
    for _ in range(3):
        eightfold = added(eightfold, eightfold)
    assert eightfold == (0, 1), "of order 8 at most"
    for sign in (0, 1):
        with pytest.raises(jose.InvalidTokenError, match="anybody can sign"):
            jose.public_key({"kty": "OKP", "crv": "Ed25519", "x": encoded(y, sign)}, "EdDSA")


@pytest.mark.row("X-02")
def test_generated_keys_are_accepted() -> None:
    # RFC 8037, 2.
    for _ in range(50):
        assert jose.public_key(Key.new("EdDSA").jwk, "EdDSA")
    for odd in ("", "A", "é", "=" * 43, "A" * 42):
        with pytest.raises(jose.InvalidTokenError):
            jose.public_key({"kty": "OKP", "crv": "Ed25519", "x": odd}, "EdDSA")


@pytest.mark.row("X-02")
def test_a_key_of_small_order_is_not_registered(browser: FlaskClient, invitation: str) -> None:
    # RFC 7591, 3.2.2.
    weak = {"kty": "OKP", "crv": "Ed25519", "x": encoded(1), "alg": "EdDSA", "kid": "1", "use": "sig"}
    metadata = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [weak]}}
    refused(register(browser, invitation, **metadata), "invalid_client_metadata")
    strong = {"keys": [{**Key.new("EdDSA").jwk, "alg": "EdDSA", "kid": "1", "use": "sig"}]}
    assert register(browser, invitation, **{**metadata, "jwks": strong}).status_code == 201
