"""The signing keys as a process uses them (Core 10.1, RFC 7517): which signs, what is published, read again in seconds.

A key object is loaded once: importing a key anew for each signature is a hundred times slower. How nodes agree without
a message between them:

- the JWKS is read from the table at each request for it. Whatever key a node signs with was committed before, so a
  client that looks a `kid` up finds it, whichever node it asks, even if the key signed from its first moment on;
- what signs is read every five seconds. Until then a node may sign with a key that was replaced, which is published
  still; only after an emergency (`drop`) can a token of these seconds be refused, as it should be;
- a `kid` or an algorithm that is not known here is looked for again, once a second at most.
"""

import json
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from joserfc.jwk import KeySet
from sqlalchemy import Row, select
from sqlalchemy.exc import SQLAlchemyError

from idp.clock import now
from idp.config import Settings
from idp.db import db, release_connection
from idp.oidc.keys import material
from idp.oidc.keys.material import ALGORITHMS, RSA_BITS, JoseKey, NoSigningKey
from idp.oidc.keys.rotation import NextKeyWaits, drop, retire, rotate, signing
from idp.oidc.models import SigningKey

__all__ = ["ALGORITHMS", "RSA_BITS", "KeyRing", "NextKeyWaits", "NoSigningKey", "Signer", "drop", "retire", "rotate"]

_KEPT_SECONDS = 5.0
_UNKNOWN_SECONDS = 1.0
_AWAY_SECONDS = 5.0


@dataclass(frozen=True)
class _Kept:
    """A key as it was read: not a row of a session, which a rollback somewhere would empty."""

    kid: str
    alg: str
    active_from: datetime
    sealed: bytes


@dataclass(frozen=True)
class _Table:
    """The live keys, as one look found them; `began` is when it began (`time.monotonic`)."""

    began: float
    keys: dict[str, list[_Kept]]
    document: bytes
    published: KeySet
    kids: frozenset[str]


@dataclass(frozen=True)
class Signer:
    """The key that signs now: its id, its algorithm and the loaded object."""

    kid: str
    alg: str
    key: JoseKey

    def half_hash(self, value: str) -> str:
        """Return what `at_hash` says of an access token in a token that this key signs (Core 3.1.3.6)."""
        return material.half_hash(self.alg, value)


class KeyRing:
    """The keys of one process. Each question may return the connection of `db.session` to the pool."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._table: _Table | None = None
        self._not_before = 0.0
        self._away_until = 0.0
        self._loaded: dict[str, JoseKey] = {}

    def signer(self, alg: str) -> Signer:
        """Return the youngest key of `alg` whose time has come.

        Raises:
            NoSigningKey: there is none.
        """
        for seconds in (_KEPT_SECONDS, _UNKNOWN_SECONDS):
            kept = signing(self._at_most(seconds).keys.get(alg, []), now())
            if kept is not None:
                return Signer(kept.kid, alg, self._load(kept))
        raise NoSigningKey(f"no key signs {alg}: run `idp keys rotate`")

    def document(self) -> bytes:
        """Return the JWKS (public members only) as the table has it now, or as it last had while that is away."""
        return self._at_most(0.0).document

    def published(self, kid: str = "") -> KeySet:
        """Return the published keys: what this service's own ID tokens, come back as hints, are checked with.

        A `kid` that is not among them is looked for once more: another node may have signed with a key of this moment.
        """
        table = self._at_most(_KEPT_SECONDS)
        if kid and kid not in table.kids:
            table = self._at_most(_UNKNOWN_SECONDS)
        return table.published

    def algorithms(self) -> list[str]:
        """Return the algorithms that can sign now."""
        table, moment = self._at_most(_KEPT_SECONDS), now()
        return [alg for alg in ALGORITHMS if signing(table.keys.get(alg, []), moment)]

    def forget(self) -> None:
        """Read the table again at the next use."""
        self._not_before = time.monotonic()
        self._away_until = 0.0

    def _at_most(self, seconds: float) -> _Table:
        """Return the table as a look found it that began `seconds` ago at most, or later than the last `forget`."""
        oldest = max(time.monotonic() - seconds, self._not_before)
        table = self._table
        if table and self._will_do(table, oldest):
            return table
        release_connection()  # before the lock: the thread that holds it may wait for a connection
        must_wait = table is None or seconds < _KEPT_SECONDS or table.began < self._not_before
        if not self._lock.acquire(blocking=must_wait) and table:
            return table  # another thread is looking: what is known will do meanwhile
        try:
            if self._table is None or not self._will_do(self._table, oldest):
                self._look()
            assert self._table is not None  # noqa: S101 - `_look` raises when it finds nothing at the first time
            return self._table
        finally:
            self._lock.release()

    def _will_do(self, table: _Table, oldest: float) -> bool:
        return table.began > oldest or time.monotonic() < self._away_until

    def _look(self) -> None:
        """Read the live keys. When the database is away and keys are in memory, these go on serving for a while."""
        began = time.monotonic()
        try:
            rows = _rows()
        except SQLAlchemyError:
            if self._table is None:
                raise
            self._away_until = time.monotonic() + _AWAY_SECONDS
            return
        public = [row.public_jwk for row in rows]
        keys: dict[str, list[_Kept]] = {}
        for row in rows:
            keys.setdefault(row.alg, []).append(_Kept(row.kid, row.alg, row.active_from, row.private_sealed))
        self._table = _Table(
            began=began,
            keys=keys,
            document=json.dumps({"keys": public}, separators=(",", ":")).encode(),
            published=KeySet.import_key_set({"keys": public}) if public else KeySet([]),
            kids=frozenset(row.kid for row in rows),
        )
        self._loaded = {kid: key for kid, key in self._loaded.items() if kid in self._table.kids}

    def _load(self, kept: _Kept) -> JoseKey:
        key = self._loaded.get(kept.kid)
        if key is None:
            pem = material.unseal(self._settings, kept.kid, kept.sealed)
            key = self._loaded[kept.kid] = material.import_key(pem, kept.alg)
        return key


def _rows() -> list[Row[Any]]:
    """Return the live keys, youngest first; outside a transaction, which on SQLite would wait for whoever writes."""
    columns = SigningKey.kid, SigningKey.alg, SigningKey.public_jwk, SigningKey.active_from, SigningKey.private_sealed
    youngest = SigningKey.active_from.desc(), SigningKey.kid
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return list(connection.execute(select(*columns).where(SigningKey.retired_at.is_(None)).order_by(*youngest)))
