"""Signing keys (OpenID Connect Core 10.1, RFC 7517): made, sealed, published, rotated, kept as objects in the process.

A key object is loaded once: importing a key anew for each signature is a hundred times slower. The private part is
sealed with AES-256-GCM under a key drawn from `IDP_SECRET_KEY`: a copy of the database signs nothing. No key is ever
made silently.
"""

import base64
import json
import os
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey, KeySet, RSAKey
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from idp import opaque
from idp.audit import log
from idp.audit.events import KeyChanged
from idp.clock import now
from idp.config import Settings
from idp.db import db, end_read
from idp.oidc.models import SigningKey

ALGORITHMS = ("RS256", "ES256")
RSA_BITS = (2048, 3072, 4096)
PUBLISHED_BEFORE_USE = timedelta(hours=24)
"""A new key waits this long, the longest that a client may keep the JWKS, before it signs."""

_RELOAD_SECONDS = 30.0
_RETRY_SECONDS = 5.0
_CERTIFICATE_DAYS = 3650

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class NoSigningKey(Exception):  # noqa: N818 - says what is missing
    """No key can sign: none was made, or the secret key does not open those there are."""


@dataclass(frozen=True)
class _Kept:
    """A key as it was read: not a row of a session, which a rollback somewhere would empty."""

    kid: str
    alg: str
    active_from: datetime
    sealed: bytes


@dataclass(frozen=True)
class Signer:
    """The key that signs now: its id, its algorithm and the loaded object."""

    kid: str
    alg: str
    key: RSAKey | ECKey


class KeyRing:
    """The keys of one process, read again every 30 seconds so that a rotation reaches every node."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._keys: list[_Kept] = []
        self._loaded: dict[str, RSAKey | ECKey] = {}
        self._document = b""
        self._published = KeySet([])

    def signer(self, alg: str) -> Signer:
        """Return the youngest key of `alg` whose time has come.

        Raises:
            NoSigningKey: there is none.
        """
        self._refresh()
        moment = now()
        for kept in self._keys:
            if kept.alg == alg and kept.active_from <= moment:
                return Signer(kept.kid, alg, self._load(kept))
        raise NoSigningKey(f"no key signs {alg}: run `idp keys rotate`")

    def document(self) -> bytes:
        """Return the JWKS (public members only), as it is served."""
        self._refresh()
        return self._document

    def published(self) -> KeySet:
        """Return the published keys: what this service's own ID tokens, come back as hints, are checked with."""
        self._refresh()
        return self._published

    def algorithms(self) -> list[str]:
        """Return the algorithms that can sign now."""
        self._refresh()
        moment = now()
        return [alg for alg in ALGORITHMS if any(k.alg == alg and k.active_from <= moment for k in self._keys)]

    def forget(self) -> None:
        """Read the table again at the next use."""
        self._read_at = 0.0

    def _refresh(self) -> None:
        if self._read_at and time.monotonic() - self._read_at < _RELOAD_SECONDS:
            return
        end_read()  # before the lock: on SQLite whoever holds it must not wait for somebody who waits for it
        with self._lock:
            if self._read_at and time.monotonic() - self._read_at < _RELOAD_SECONDS:
                return  # another thread read them meanwhile
            rows = self._rows()
            if rows is None:
                self._read_at = time.monotonic() - _RELOAD_SECONDS + _RETRY_SECONDS
                return
            public = [row.public_jwk for row in rows]
            self._document = json.dumps({"keys": public}, separators=(",", ":")).encode()
            self._published = KeySet.import_key_set({"keys": public}) if public else KeySet([])
            self._keys = [_Kept(row.kid, row.alg, row.active_from, row.private_sealed) for row in rows]
            self._read_at = time.monotonic()

    def _rows(self) -> list[SigningKey] | None:
        """Read the live keys; None when the database is away and keys are in memory, which go on serving."""
        statement = select(SigningKey).where(SigningKey.retired_at.is_(None)).order_by(SigningKey.active_from.desc())
        try:
            rows = list(db.session.scalars(statement.execution_options(populate_existing=True)))
            end_read()
        except SQLAlchemyError:
            db.session.rollback()
            if self._keys:
                return None
            raise
        return rows

    def _load(self, kept: _Kept) -> RSAKey | ECKey:
        key = self._loaded.get(kept.kid)
        if key is None:
            key = self._loaded[kept.kid] = _import(_open(self._settings, kept), kept.alg)
        return key


def rotate(settings: Settings, alg: str = "RS256", *, bits: int = 2048, at_once: bool = False) -> SigningKey:
    """Make a key and publish it; it signs after 24 hours, at once when it is the first of its kind or `at_once`."""
    moment = now()
    first = not db.session.scalar(
        select(SigningKey.id).where(SigningKey.alg == alg, SigningKey.retired_at.is_(None)).limit(1)
    )
    private: PrivateKey = (
        rsa.generate_private_key(65537, bits) if alg == "RS256" else ec.generate_private_key(ec.SECP256R1())
    )
    key = _import(_pem(private), alg)
    kid = key.thumbprint()
    row = SigningKey(
        kid=kid,
        alg=alg,
        public_jwk={
            **key.as_dict(private=False),
            "kid": kid,
            "use": "sig",
            "alg": alg,
            "x5c": [_certificate(settings, private, moment)],
        },
        private_sealed=_seal(settings, kid, _pem(private)),
        created_at=moment,
        active_from=moment if first or at_once else moment + PUBLISHED_BEFORE_USE,
    )
    db.session.add(row)
    log.record(KeyChanged(change="rotated", kid=kid))
    db.session.commit()
    return row


def retire(kid: str) -> bool:
    """Take a key out of the JWKS at once; False when there is no such key, or it is the last that signs its algorithm.

    Tokens that it signed are no longer verified by anybody who reads the JWKS again.
    """
    moment = now()
    row = db.session.scalar(select(SigningKey).where(SigningKey.kid == kid, SigningKey.retired_at.is_(None)))
    if row is None:
        return False
    others = db.session.scalar(
        select(SigningKey.id).where(
            SigningKey.alg == row.alg,
            SigningKey.kid != kid,
            SigningKey.retired_at.is_(None),
            SigningKey.active_from <= moment,
        )
    )
    if others is None:
        return False
    db.session.execute(update(SigningKey).where(SigningKey.kid == kid).values(retired_at=moment))
    log.record(KeyChanged(change="retired", kid=kid))
    db.session.commit()
    return True


def _pem(private: PrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _import(pem: bytes, alg: str) -> RSAKey | ECKey:
    return RSAKey.import_key(pem) if alg == "RS256" else ECKey.import_key(pem)


def _seal(settings: Settings, kid: str, pem: bytes) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(_sealing_key(settings.secrets[0])).encrypt(nonce, pem, kid.encode())


def _open(settings: Settings, kept: _Kept) -> bytes:
    nonce, sealed = kept.sealed[:12], kept.sealed[12:]
    for secret in settings.secrets:
        try:
            return AESGCM(_sealing_key(secret)).decrypt(nonce, sealed, kept.kid.encode())
        except InvalidTag:
            continue
    raise NoSigningKey(f"IDP_SECRET_KEY and its fallbacks do not open the key {kept.kid}")


def _sealing_key(secret: bytes) -> bytes:
    return opaque.derive_key(secret, "signing keys")


def _certificate(settings: Settings, private: PrivateKey, moment: datetime) -> str:
    """Return a self-signed certificate of the key, in base64: some ENT software reads an RSA key from `x5c` alone."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (urlsplit(settings.issuer).hostname or "idp")[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=_CERTIFICATE_DAYS))
        .sign(private, hashes.SHA256())
    )
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def as_row(row: SigningKey) -> dict[str, Any]:
    """Return what an operator may see of a key."""
    return {
        "kid": row.kid,
        "alg": row.alg,
        "created_at": row.created_at.isoformat(),
        "active_from": row.active_from.isoformat(),
        "retired_at": row.retired_at.isoformat() if row.retired_at else None,
    }
