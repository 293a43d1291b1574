"""Signed values in cookies, URLs and forms: JSON that a browser keeps and cannot change. They are not encrypted.

A value is `payload.time.signature`, all in URL-safe base64, by itsdangerous. Its own serializers would try to compress
each payload and derive the key for each signature, which takes longer than the signature.
"""

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from itsdangerous import BadData, TimestampSigner
from itsdangerous.signer import HMACAlgorithm

from idp import opaque
from idp.clock import now

_FORM = re.compile(r"[A-Za-z0-9_.-]+")
_SKEW_SECONDS = 300
"""How far in the future a signature may lie: a node whose clock is ahead may have made it. A signature of a clock that
is wrong by more is refused, because its value would live for as long."""


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
        keys = [opaque.derive_key(secret, purpose) for secret in reversed(secrets)]  # itsdangerous signs with the last
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
        if not _FORM.fullmatch(signed):  # base64 reads `+` as `-`, and skips other characters
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
