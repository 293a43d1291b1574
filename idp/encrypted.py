"""Encrypted values in the database: AES-256-GCM under a key that is derived from `IDP_SECRET_KEY`.

A copy of the database is not enough to read them. The key of each purpose is another one, and each value is bound to a
context (such as the id of its row), so that no value works in another place.
"""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idp import opaque

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
    return AESGCM(opaque.derive_key(secret, purpose))
