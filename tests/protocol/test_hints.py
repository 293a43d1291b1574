"""JOSE regressions, wherever this service reads a JWT: the hints of authorize and logout (security row X-02)."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt

from idp.accounts.models import Account
from idp.oidc import hints, keys
from tests.builders import Build
from tests.pages import heading
from tests.protocol.flow import one_database, tokens_for
from tests.relying_party import Attempt, RelyingParty, b64, number, unb64

MINE = rsa.generate_private_key(65537, 2048)


def compact(header: bytes, payload: bytes, signature: bytes) -> str:
    return f"{b64(header)}.{b64(payload)}.{b64(signature)}"


def rs256(header: dict[str, object] | bytes, payload: bytes) -> str:
    """Sign with a key of the attacker's own."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    signed = f"{b64(head)}.{b64(payload)}"
    return f"{signed}.{b64(MINE.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def hs256(header: dict[str, object], payload: bytes, secret: bytes) -> str:
    signed = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def forgeries(genuine: str, jwk: dict[str, str]) -> Iterator[tuple[str, str]]:
    head, body, signature = genuine.split(".")
    payload, kid = unb64(body), jwk["kid"]
    for alg in ("none", "None", "nOnE", "NONE", "", "RS512", "PS256", "HS256", None, 1, ["RS256"]):
        header = json.dumps({"alg": alg, "kid": kid}).encode()
        yield f"alg {alg}", compact(header, payload, b"")
        yield f"alg {alg}, signature kept", compact(header, payload, unb64(signature))
    public = rsa.RSAPublicNumbers(number(jwk["e"]), number(jwk["n"])).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    for name, secret in {
        "PEM": pem,
        "PEM stripped": pem.strip(),
        "PEM after blanks": b"  \n" + pem,
        "DER": der,
        "JWK": json.dumps(jwk).encode(),
        "n": jwk["n"].encode(),
        "x5c": base64.b64decode(jwk["x5c"][0]),
        "empty": b"",
    }.items():
        for alg in ("HS256", "RS256"):
            yield f"HMAC with {name}, said to be {alg}", hs256({"alg": alg, "kid": kid}, payload, secret)
    mine = {"kty": "RSA", "n": b64(MINE.public_key().public_numbers().n.to_bytes(256, "big")), "e": "AQAB"}
    for extra in (
        {"jwk": mine},
        {"jku": "https://evil.test/jwks.json"},
        {"x5u": "https://evil.test/cert"},
        {"x5c": jwk["x5c"]},
        {"crit": ["exp"], "exp": 9},
        {"crit": ["b64"], "b64": False},
        {"zip": "DEF"},
    ):
        yield f"header {next(iter(extra))}", rs256({"alg": "RS256", "kid": kid, **extra}, payload)
    for strange in ("../../x", "' OR 1=1 --", "x" * 4000, "x" * 1_000_000, "", None, 7, ["a"], {"a": 1}):
        yield f"kid {str(strange)[:20]}", rs256({"alg": "RS256", "kid": strange}, payload)
    yield "no kid", rs256({"alg": "RS256"}, payload)
    yield "foreign key", rs256({"alg": "RS256", "kid": kid}, payload)
    yield "doubled header", rs256(f'{{"alg":"none","alg":"RS256","kid":"{kid}"}}'.encode(), payload)
    for name, bent in {
        "padding": f"{genuine}=",
        "padding inside": f"{head}=.{body}.{signature}",
        "blank": f" {genuine}",
        "line end": f"{genuine}\n",
        "blank inside": f"{head}.{body}.{signature[:10]} {signature[10:]}",
        "other alphabet": genuine.replace("-", "+").replace("_", "/") + "+",
        "four parts": f"{genuine}.x",
        "five parts": f"{genuine}.x.y",
        "two parts": f"{head}.{body}",
        "empty parts": "..",
        "no payload": f"{head}..{signature}",
        "detached": f"{head}.{b64(b'{}')}.{signature}",
        "longer": f"{head}.{body}.{signature}AAAA",
        "shorter": f"{head}.{body}.{signature[:-4]}",
        "huge": f"{head}.{'A' * 10_000_000}.{signature}",
        "JSON": json.dumps({"payload": body, "signatures": [{"protected": head, "signature": signature}]}),
        "nested": compact(b"[" * 3000, b"[" * 3000, b"x"),
        "not UTF-8": compact(b"\xff", payload, b"x"),
    }.items():
        yield name, bent


@one_database
def test_x02_no_forgery_is_read_as_an_id_token_of_ours(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    genuine = tokens_for(browser, ent)["id_token"]
    ring = app.extensions["idp.server"].ring
    [jwk] = browser.get("/jwks.json").get_json()["keys"]
    claims = hints.read_id_token(build.settings, ring, genuine)
    assert claims is not None
    assert claims["sid"]
    for name, token in forgeries(genuine, jwk):
        start = time.thread_time()
        assert hints.read_id_token(build.settings, ring, token) is None, name
        assert time.thread_time() - start < 1, name


@one_database
def test_x02_nor_is_one_believed_by_an_endpoint(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    genuine = tokens_for(browser, ent)["id_token"]
    [jwk] = browser.get("/jwks.json").get_json()["keys"]
    for name, token in forgeries(genuine, jwk):
        if len(token) > 6000:  # the address has no room for it
            continue
        answer = ent.answer(browser.get(ent.url(Attempt(), id_token_hint=token, prompt="none")))
        assert answer["error"] == "invalid_request", name
        page = browser.get("/logout", query_string={"id_token_hint": token})
        assert heading(page) == "Voulez-vous vous déconnecter ?", name


def test_a18_a_hint_is_good_for_its_own_client_alone(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.2: "When an id_token_hint is present, the OP MUST validate that it was the issuer
    of the ID Token".
    """
    other = build.ent("Horizon", "horizon.test", subject="public")
    token = tokens_for(browser, other)["id_token"]
    assert ent.answer(browser.get(ent.url(Attempt(), id_token_hint=token)))["error"] == "invalid_request"
    assert other.answer(browser.get(other.url(Attempt(), id_token_hint=token)))["code"]


def test_a18_a_hint_signed_by_a_retired_key_is_not_believed(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.2: "the OP MUST validate that it was the issuer of the ID Token": by a key that it
    still stands by.
    """
    token = tokens_for(browser, ent)["id_token"]
    [jwk] = browser.get("/jwks.json").get_json()["keys"]
    keys.rotate(build.settings, at_once=True)
    app.extensions["idp.server"].ring.forget()
    assert ent.answer(browser.get(ent.url(Attempt(), id_token_hint=token)))["code"]
    assert keys.retire(jwk["kid"])
    app.extensions["idp.server"].ring.forget()
    assert ent.answer(browser.get(ent.url(Attempt(), id_token_hint=token)))["error"] == "invalid_request"


@one_database
@pytest.mark.parametrize("missing", ["sub", "sid"])
def test_x02_a_token_of_ours_that_is_no_id_token_is_no_hint(app: Flask, build: Build, missing: str) -> None:
    server = app.extensions["idp.server"]
    signer = server.ring.signer("RS256")
    claims: dict[str, object] = {"iss": build.settings.issuer, "sub": "a", "sid": "b", "aud": "c"}

    def read(changed: dict[str, object]) -> object:
        token = jwt.encode({"alg": "RS256", "kid": signer.kid}, changed, signer.key)
        return hints.read_id_token(build.settings, server.ring, token)

    assert read(claims) == claims
    assert read({name: value for name, value in claims.items() if name != missing}) is None
    assert read({**claims, missing: 7}) is None
    assert read({**claims, "iss": f"{build.settings.issuer}/"}) is None
