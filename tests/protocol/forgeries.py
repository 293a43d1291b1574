"""Forgeries of a genuine JWT, each of a known vulnerability of a library (security row X-02)."""

import base64
import hashlib
import hmac
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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
