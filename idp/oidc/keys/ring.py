"""Caches the signing keys of a process (Core 10.1, RFC 7517): which key signs, and which keys are published.

A private key is loaded once, because loading takes as long as a hundred signatures. Nodes agree without messages:

- The JWKS is at most a second old. A new key is published long before it signs; only a key that signs at once, after
  an emergency (`drop`), may be missing at another node for that second.
- The signing keys are read every five seconds. Meanwhile a node may sign with a replaced key, which is still
  published. After an emergency, tokens of these seconds are refused, as intended.
- An unknown `kid` or algorithm is looked up again, once a second at most.
"""

import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError

from idp.clock import now
from idp.config import Settings
from idp.db import db, release_connection
from idp.oidc.keys import material
from idp.oidc.keys.material import ALGORITHMS, JoseKey, NoSigningKeyError
from idp.oidc.keys.rotation import select_live, signing
from idp.oidc.models import SigningKey

# in seconds
_MAX_AGE = 5.0
_MAX_AGE_IF_UNKNOWN = 1.0
_RETRY_AFTER = 5.0


@dataclass(frozen=True)
class _CachedKey:  # not a row of a session, which a rollback would expire
    kid: str
    alg: str
    active_from: datetime
    sealed: bytes


@dataclass(frozen=True)
class _Snapshot:
    """The unretired keys, read by one statement that began at `began` (`time.monotonic`)."""

    began: float
    keys: dict[str, list[_CachedKey]]
    document: bytes
    published: KeySet
    kids: frozenset[str]


@dataclass(frozen=True)
class Signer:
    """The key that signs now, loaded."""

    kid: str
    alg: str
    key: JoseKey

    def sign(self, claims: Mapping[str, Any], typ: str = "") -> str:
        """Return `claims` as a signed JWT in the compact form (RFC 7515 7.1), with this `typ` in its header, if any.

        `joserfc.jwt.encode` checks key and header anew for each token, which costs half as much as the signature.
        """
        signed = b".".join((_header(self.alg, self.kid, typ), _segment(_to_json(claims))))
        signature: bytes = JWSRegistry.algorithms[self.alg].sign(signed, self.key)
        return b".".join((signed, urlsafe_b64encode(signature).rstrip(b"="))).decode()


_to_json = json.JSONEncoder(separators=(",", ":")).encode


@lru_cache(maxsize=64)
def _header(alg: str, kid: str, typ: str) -> bytes:
    return _segment(json.dumps({"alg": alg, "kid": kid, **({"typ": typ} if typ else {})}, separators=(",", ":")))


def _segment(text: str) -> bytes:
    return urlsafe_b64encode(text.encode()).rstrip(b"=")


class KeyRing:
    """The keys of one process. Each question may return the connection of `db.session` to the pool."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._snapshot: _Snapshot | None = None
        self._not_before = 0.0
        self._retry_at = 0.0
        self._loaded: dict[str, JoseKey] = {}

    def signer(self, alg: str) -> Signer:
        """Return the key that signs `alg` now.

        Raises:
            NoSigningKeyError: There is none.
        """
        for seconds in (_MAX_AGE, _MAX_AGE_IF_UNKNOWN):
            key = signing(self._current(seconds).keys.get(alg, []), now())
            if key is not None:
                return Signer(key.kid, alg, self._load(key))
        raise NoSigningKeyError(f"no key signs {alg}")

    def document(self) -> bytes:
        """Return the JWKS, at most a second old, or the last one while the database is unreachable."""
        return self._current(_MAX_AGE_IF_UNKNOWN).document

    def published(self, kid: str = "") -> KeySet:
        """Return the published keys, to verify ID tokens that come back as hints.

        If `kid` is not among them the keys are read again, because another node may have made a key meanwhile.
        """
        snapshot = self._current(_MAX_AGE)
        if kid and kid not in snapshot.kids:
            snapshot = self._current(_MAX_AGE_IF_UNKNOWN)
        return snapshot.published

    def algorithms(self) -> list[str]:
        """Return the algorithms that can sign now."""
        snapshot, moment = self._current(_MAX_AGE), now()
        return [alg for alg in ALGORITHMS if signing(snapshot.keys.get(alg, []), moment)]

    def forget(self) -> None:
        """Let the next use read the database."""
        self._not_before = time.monotonic()
        self._retry_at = 0.0

    def _current(self, seconds: float) -> _Snapshot:
        """Return a snapshot that is at most `seconds` old and younger than the last `forget`."""
        oldest = max(time.monotonic() - seconds, self._not_before)
        snapshot = self._snapshot
        if snapshot and self._is_recent(snapshot, oldest):
            return snapshot
        release_connection()  # before the lock: the thread that holds it may wait for a connection
        must_wait = snapshot is None or seconds < _MAX_AGE or snapshot.began < self._not_before
        if not self._lock.acquire(blocking=must_wait) and snapshot:
            return snapshot  # another thread is reading: use the old snapshot meanwhile
        try:
            if self._snapshot is None or not self._is_recent(self._snapshot, oldest):
                self._refresh()
            assert self._snapshot is not None  # noqa: S101 - the first `_refresh` sets it or raises
            return self._snapshot
        finally:
            self._lock.release()

    def _is_recent(self, snapshot: _Snapshot, oldest: float) -> bool:
        return snapshot.began > oldest or time.monotonic() < self._retry_at

    def _refresh(self) -> None:
        """Read the unretired keys; if the database is unreachable, keep the old snapshot and retry later."""
        began = time.monotonic()
        try:
            rows = _rows()
        except SQLAlchemyError:
            if self._snapshot is None:
                raise
            self._retry_at = time.monotonic() + _RETRY_AFTER
            return
        public = [row.public_jwk for row in rows]
        keys: dict[str, list[_CachedKey]] = {}
        for row in rows:
            keys.setdefault(row.alg, []).append(_CachedKey(row.kid, row.alg, row.active_from, row.private_sealed))
        self._snapshot = _Snapshot(
            began=began,
            keys=keys,
            document=json.dumps({"keys": public}, separators=(",", ":")).encode(),
            published=KeySet.import_key_set({"keys": public}) if public else KeySet([]),
            kids=frozenset(row.kid for row in rows),
        )
        self._loaded = {kid: key for kid, key in self._loaded.items() if kid in self._snapshot.kids}

    def _load(self, cached: _CachedKey) -> JoseKey:
        key = self._loaded.get(cached.kid)
        if key is None:
            pem = material.unseal(self._settings, cached.kid, cached.sealed)
            key = self._loaded[cached.kid] = material.import_key(pem, cached.alg)
        return key


def _rows() -> list[Row[Any]]:
    columns = SigningKey.kid, SigningKey.alg, SigningKey.public_jwk, SigningKey.active_from, SigningKey.private_sealed
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return list(connection.execute(select_live(*columns)))
