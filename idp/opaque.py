"""Random values, the digests that the database has in their place, and signed and encrypted values.

SHA-256 is enough for a value of 256 random bits (OWASP ASVS 5, V 6.5.2), and a look-up by digest leaks no timing. The
alphabet is URL-safe, since some relying parties put codes into URLs without encoding them.

Signed values stand in cookies, URLs and forms: JSON that a browser keeps and cannot change. They are not encrypted. A
value is `payload.time.signature`, all in URL-safe base64, by itsdangerous. Its own serializers would try to compress
each payload and derive the key for each signature, which takes longer than the signature.

Encrypted values stand in the database: AES-256-GCM under a key that is derived from `IDP_SECRET_KEY`. A copy of the
database is not enough to read them. The key of each purpose is another one, and each value is bound to a context (such
as the id of its row), so that no value works in another place.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous import BadData, TimestampSigner
from itsdangerous.signer import HMACAlgorithm

from idp.clock import now


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


_SIGNED_FORM = re.compile(r"[A-Za-z0-9_.-]+")
# How far in the future a signature may lie: a node whose clock is ahead may have made it. A signature of a clock that
# is wrong by more is refused, because its value would live for as long.
_SKEW_SECONDS = 300


class InvalidValueError(Exception):
    """The text was not signed for this purpose, was changed, or is too old."""


class _Signer(TimestampSigner):
    def get_timestamp(self) -> int:
        return int(now().timestamp())


class Signer:
    """Signs values of one purpose.

    Args:
        secrets: the secret key, then former ones, under which values are accepted too.
        purpose: keys of different purposes differ, so that a value serves one purpose only.
    """

    def __init__(self, secrets: Sequence[bytes], purpose: str) -> None:
        keys = [derive_key(secret, purpose) for secret in reversed(secrets)]  # itsdangerous signs with the last
        self._signer = _Signer(keys, key_derivation="none", algorithm=HMACAlgorithm(hashlib.sha256))

    def dumps(self, value: Any) -> str:
        """Return a JSON value as a signed text of letters, digits and `-_.`."""
        payload = urlsafe_b64encode(_to_json(value).encode()).rstrip(b"=")
        return self._signer.sign(payload).decode()

    def loads(self, signed: str, max_age: int | None = None) -> tuple[Any, datetime]:
        """Return the JSON value and the time of its signature.

        Raises:
            InvalidValueError: the text was not signed for this purpose, or more than `max_age` seconds ago, or by a
                clock that is far ahead.
        """
        if not _SIGNED_FORM.fullmatch(signed):  # base64 reads `+` as `-`, and skips other characters
            raise InvalidValueError
        try:
            payload, signed_at = self._signer.unsign(signed, return_timestamp=True)
            value = json.loads(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        except (BadData, ValueError) as error:
            raise InvalidValueError from error
        # not by itsdangerous, which refuses each signature of a node that is a second ahead
        if (
            max_age is not None
            and not -_SKEW_SECONDS <= self._signer.get_timestamp() - signed_at.timestamp() <= max_age
        ):
            raise InvalidValueError
        return value, signed_at


_to_json = json.JSONEncoder(separators=(",", ":")).encode


@lru_cache(maxsize=32)
def signer(secrets: tuple[bytes, ...], purpose: str) -> Signer:
    """Return the signer of a purpose; see `Signer`."""
    return Signer(secrets, purpose)


_NONCE_BYTES = 12


class UndecryptableError(Exception):
    """No configured secret decrypts the value, or it was changed."""


def encrypt(secrets: Sequence[bytes], purpose: str, content: bytes, context: str) -> bytes:
    """Return `content` encrypted under the present secret, with its nonce in front."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _cipher(secrets[0], purpose).encrypt(nonce, content, context.encode())


def decrypt(secrets: Sequence[bytes], purpose: str, value: bytes, context: str) -> bytes:
    """Return the content of `value`.

    Raises:
        UndecryptableError: neither the secret key nor its fallbacks decrypt it.
    """
    number = encrypted_by(secrets, purpose, value, context)
    if number is None:
        raise UndecryptableError
    return _decrypt(secrets[number], purpose, value, context)


def encrypted_by(secrets: Sequence[bytes], purpose: str, value: bytes, context: str) -> int | None:
    """Return which secret decrypts `value`: 0 is the present one, then come the fallbacks; None if none does."""
    for number, secret in enumerate(secrets):
        try:
            _decrypt(secret, purpose, value, context)
        except InvalidTag:
            continue
        return number
    return None


def _decrypt(secret: bytes, purpose: str, value: bytes, context: str) -> bytes:
    nonce, content = value[:_NONCE_BYTES], value[_NONCE_BYTES:]
    return _cipher(secret, purpose).decrypt(nonce, content, context.encode())


def _cipher(secret: bytes, purpose: str) -> AESGCM:
    return AESGCM(derive_key(secret, purpose))
