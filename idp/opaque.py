"""Unguessable values, and the digests that are stored in their place.

A value of 256 bits needs no slow hash: SHA-256 is enough (OWASP ASVS 5, V 6.5.2), and a look-up by digest leaks no
timing.
The alphabet is URL-safe, since some relying parties put codes in addresses without encoding them.
"""

import base64
import hashlib
import hmac
import secrets

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def new_value() -> str:
    """Return 256 random bits, in 43 characters of the URL-safe base64 alphabet."""
    return secrets.token_urlsafe(32)


def digest(value: str) -> bytes:
    """Return the 32 bytes that stand in the database for `value`. Any text is accepted, lone surrogates included."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


def derive_key(secret: bytes, purpose: str) -> bytes:
    """Return a key of 32 bytes that is derived from `secret` for one `purpose` (HKDF, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret)


def keyed_digest(key: bytes, value: str) -> bytes:
    """Return HMAC-SHA256 of `value`: a name that only holders of `key` can compute or guess at."""
    return hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256")


def keyed_value(key: bytes, value: str) -> str:
    """Return `keyed_digest` as 43 URL-safe characters: a secret that can be computed again instead of being stored."""
    return base64.urlsafe_b64encode(keyed_digest(key, value)).rstrip(b"=").decode()
