"""Random values, and the digests that the database has in their place.

SHA-256 is enough for a value of 256 random bits (OWASP ASVS 5, V 6.5.2), and a look-up by digest leaks no timing. The
alphabet is URL-safe, since some relying parties put codes into URLs without encoding them.
"""

import base64
import hashlib
import hmac
import secrets
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def new_value() -> str:
    """Return 256 random bits in URL-safe base64, 43 characters."""
    return secrets.token_urlsafe(32)


def digest(value: str) -> bytes:
    """Return the SHA-256 of `value` for the database. Any text is accepted, even with lone surrogates."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


@lru_cache(maxsize=64)
def derive_key(secret: bytes, purpose: str) -> bytes:
    """Return a key of 32 bytes that is derived from `secret` for one `purpose` (HKDF, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret)


def keyed_digest(key: bytes, value: str) -> bytes:
    """Return the HMAC-SHA256 of `value`, which only holders of `key` can compute."""
    return hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256")


def keyed_value(key: bytes, value: str) -> str:
    """Return `keyed_digest` in URL-safe base64, 43 characters: a secret that need not be stored."""
    return base64.urlsafe_b64encode(keyed_digest(key, value)).rstrip(b"=").decode()
