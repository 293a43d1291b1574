"""Verification of signatures with the published key, without the provider's code (RFC 7518)."""

import base64
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text: str) -> int:
    """Decode a number of a JWK (RFC 7518 2, Base64urlUInt)."""
    return int.from_bytes(unb64(text), "big")


def public_key(jwk: dict[str, Any]) -> PublicKey:
    """Build the key from the members of the JWK, not from its certificate."""
    match jwk["kty"], jwk.get("crv"):
        case "RSA", None:
            return rsa.RSAPublicNumbers(number(jwk["e"]), number(jwk["n"])).public_key()
        case "EC", "P-256":
            return ec.EllipticCurvePublicNumbers(number(jwk["x"]), number(jwk["y"]), ec.SECP256R1()).public_key()
        case "OKP", "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(unb64(jwk["x"]))
    raise AssertionError(jwk)


def verify(alg: str, key: PublicKey, signed: bytes, signature: bytes) -> None:
    """Verify a signature with the registered algorithm.

    Raises:
        cryptography.exceptions.InvalidSignature: the signature is wrong.
    """
    if isinstance(key, rsa.RSAPublicKey):
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)  # RFC 7518 3.5: as long as the hash
        key.verify(signature, signed, {"RS256": padding.PKCS1v15(), "PS256": pss}[alg], hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if (alg, len(signature)) != ("ES256", 64):
            raise InvalidSignature
        der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
    else:
        assert alg == "EdDSA"
        key.verify(signature, signed)


def at_hash(alg: str, access_token: str) -> str:
    """Return the expected `at_hash` (Core 3.1.3.6); the hash of EdDSA with Ed25519 is SHA-512 (RFC 8032 5.1)."""
    if alg == "EdDSA":
        return b64(hashlib.sha512(access_token.encode()).digest()[:32])
    return b64(hashlib.sha256(access_token.encode()).digest()[:16])


def read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and claims of a token without verification."""
    head, body, _ = token.split(".")
    return json.loads(unb64(head)), json.loads(unb64(body))


def by_name(jwks: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {key["kid"]: key for key in jwks["keys"]}


def verified(token: str, jwks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Verify a token with the published key of its `kid`; return that key."""
    head, body, signature = token.split(".")
    header, _ = read(token)
    key = jwks[header["kid"]]
    assert key["alg"] == header["alg"]
    verify(header["alg"], public_key(key), f"{head}.{body}".encode(), unb64(signature))
    return key
