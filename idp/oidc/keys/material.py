"""Generates and seals signing keys (RFC 7517, 7518, 8037).

The private key is encrypted with AES-256-GCM under a key derived from `IDP_SECRET_KEY`, so that a copy of the database
is not enough to sign. A key is used for one algorithm (RFC 8725 3.1), which its JWK names.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID
from joserfc.errors import InvalidKeyCurveError
from joserfc.jwa import EdDSAAlgorithm
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from idp import opaque
from idp.config import Settings

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
FAPI2_ALGORITHMS = tuple(alg for alg in ALGORITHMS if alg != "RS256")
"""The algorithms that FAPI 2.0 allows (Security Profile 5.4.1)."""

RSA_BITS = (2048, 3072, 4096)

_CERTIFICATE_DAYS = 3650
_CURVE = "Ed25519"
_PURPOSE = "signing keys"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
JoseKey = RSAKey | ECKey | OKPKey


class NoSigningKeyError(Exception):
    """No key can sign: there is none, or no configured secret key decrypts it."""


class _Ed25519(EdDSAAlgorithm):
    """`EdDSA` with Ed25519 only.

    RFC 9864 deprecates the name because it leaves the curve open, and joserfc warns at each use. Here there is only one
    curve. Clients know this name, but not yet the new one.
    """

    security_warning = ""

    def check_key(self, key: Any) -> None:
        super().check_key(key)
        if key.curve_name != _CURVE:
            raise InvalidKeyCurveError(f"EdDSA is for {_CURVE} only")


JWSRegistry.register(_Ed25519())


@dataclass(frozen=True)
class Material:
    """A new key, as it is stored."""

    kid: str
    public_jwk: dict[str, Any]
    private_sealed: bytes


def generate(settings: Settings, alg: str, bits: int, moment: datetime) -> Material:
    """Generate a key for `alg` (`bits` for RSA). A large RSA key takes seconds: the caller has no transaction open."""
    private = _private_key(alg, bits)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = import_key(pem, alg)
    kid = key.thumbprint()
    jwk = {
        **key.as_dict(private=False),
        "kid": kid,
        "use": "sig",
        "alg": alg,
        **_certificate(settings, private, alg, moment),
    }
    return Material(kid, jwk, opaque.encrypt(settings.secrets, _PURPOSE, pem, kid))


def import_key(pem: bytes, alg: str) -> JoseKey:
    """Load a private key. This takes as long as a hundred signatures, so each process does it once."""
    match alg:
        case "RS256" | "PS256":
            return RSAKey.import_key(pem)
        case "ES256":
            return ECKey.import_key(pem)
        case _:
            return OKPKey.import_key(pem)


def unseal(settings: Settings, kid: str, sealed: bytes) -> bytes:
    """Return the private key in PEM.

    Raises:
        NoSigningKeyError: Neither the secret key nor its fallbacks decrypt it.
    """
    try:
        return opaque.decrypt(settings.secrets, _PURPOSE, sealed, kid)
    except opaque.UndecryptableError:
        raise NoSigningKeyError(f"IDP_SECRET_KEY and its fallbacks do not decrypt the key {kid}") from None


def sealed_by(settings: Settings, kid: str, sealed: bytes) -> int | None:
    """Return which secret decrypts a key: 0 is the present one, then come the fallbacks; None if none does."""
    return opaque.encrypted_by(settings.secrets, _PURPOSE, sealed, kid)


def rsa_bits(public_jwk: dict[str, Any]) -> int:
    """Return the size of an RSA key in bits; 0 for another type."""
    modulus: str = public_jwk.get("n", "")
    return len(base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))) * 8


def half_hash(alg: str, value: str) -> str:
    """Return the left half of the hash of `value`, for `at_hash` (Core 3.1.3.6); the hash is that of `alg`.

    No specification defines it for EdDSA. The OpenID Connect working group agreed on SHA-512, the hash of Ed25519
    (RFC 8032 5.1), and other providers and clients use it.
    """
    digest = (hashlib.sha512 if alg == "EdDSA" else hashlib.sha256)(value.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _private_key(alg: str, bits: int) -> PrivateKey:
    match alg:
        case "RS256" | "PS256":
            return rsa.generate_private_key(65537, bits)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(alg)


def _certificate(settings: Settings, private: PrivateKey, alg: str, moment: datetime) -> dict[str, list[str]]:
    """Return the member `x5c` with a self-signed certificate, from which some ENT software reads an RSA key.

    An Ed25519 key has no certificate: no software reads it, and some libraries refuse its type. The certificate of a
    PS256 key is signed with PSS, since a key has one scheme.
    """
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return {}
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (urlsplit(settings.issuer).hostname or "idp")[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=_CERTIFICATE_DAYS))
        .sign(private, hashes.SHA256(), rsa_padding=_pss() if alg == "PS256" else None)
    )
    return {"x5c": [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]}


def _pss() -> padding.PSS:
    return padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
