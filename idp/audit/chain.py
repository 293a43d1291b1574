"""The keyed hashes of the journal: of one entry, of a sealed batch, of the beginning of the chain.

All keys are derived from `IDP_SECRET_KEY`; the former secrets (`IDP_SECRET_KEY_FALLBACKS`) verify what was written
under them. An attacker who can write into the database, but does not know the secret, can neither change an entry nor
forge one.

This module takes no lock and sends no query. An entry gets its MAC in Python before it is inserted. The entry of an
issued code is inserted by the statement that issues the code, since only that statement knows the account and the
session. It gets a key for that entry alone (`issued_key`), stored nowhere, and binds both with it (`bind`). The worker
computes the whole MAC when it seals the entry (`complete`).
"""

import enum
import hashlib
import hmac
import json
import secrets
import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from idp import opaque
from idp.audit.events import CodeIssued
from idp.audit.models import OK, AuditBeginning, AuditEntry, AuditSeal

ISSUED = CodeIssued.kind  # the kind of the entries that the statement of a sign-on writes

Secrets = Sequence[bytes]  # the secret key, then the former ones (`Settings.secrets`)

_NAME_LENGTH = 4
_MAC_LENGTH = _NAME_LENGTH + 32
_SALT_LENGTH = 16
_RECORD = struct.Struct(">qq?16s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Verdict(enum.Enum):
    """The result of checking a MAC."""

    FITS = "fits"
    WRONG = "wrong"
    UNKNOWN_KEY = "unknown key"


@dataclass(frozen=True)
class Sealed:
    """The record of one entry in a seal."""

    id: int
    at: int
    failure: bool
    mac: bytes

    @classmethod
    def of(cls, entry: AuditEntry) -> "Sealed":
        """Return the record of an entry."""
        mac = hashlib.sha256(entry.mac or b"").digest()[:16]
        return cls(entry.id, microseconds(entry.at), entry.result != OK, mac)


def pack(records: Sequence[Sealed]) -> bytes:
    """Return the records as they are stored in a seal."""
    return b"".join(_RECORD.pack(record.id, record.at, record.failure, record.mac) for record in records)


def unpack(entries: bytes) -> Iterator[Sealed]:
    """Yield the records of a seal.

    Raises:
        ValueError: the bytes are not records.
    """
    if len(entries) % _RECORD.size:
        raise ValueError("the records of the seal are incomplete")
    for record in _RECORD.iter_unpack(entries):
        yield Sealed(*record)


def microseconds(moment: datetime) -> int:
    """Return an instant as microseconds since the epoch, the resolution of the database."""
    return (moment - _EPOCH) // _MICROSECOND


def new_salt() -> bytes:
    """Return a new salt for one entry."""
    return secrets.token_bytes(_SALT_LENGTH)


def personal_digest(salt: bytes, ip: str, request_id: str, details: dict[str, Any]) -> bytes:
    """Return the salted digest of an entry's personal part."""
    return hashlib.sha256(salt + _canonical([ip, request_id, details])).digest()


def write_mac(known: Secrets, entry: SimpleNamespace) -> None:
    """Give the values of a new entry their salt, digest and MAC."""
    entry.salt = new_salt()
    entry.personal_digest = personal_digest(entry.salt, entry.ip, entry.request_id, entry.details)
    entry.mac = _sign(known, _entry_message(entry))


def issued_key(known: Secrets, salt: bytes, at: datetime, client: uuid.UUID, ip: str, request_id: str) -> bytes:
    """Return the key of the entry of an issued code: a MAC over everything but the account and the session."""
    return _sign(known, _issued_message(salt, at, client, ip, request_id))


def bind(key: bytes, account: uuid.UUID, sid: str) -> bytes:
    """Return the first MAC of the entry of an issued code; `idp.oidc.store.store` computes it in SQL.

    The key is hashed last, which prevents length extension.
    """
    return key[:_NAME_LENGTH] + hashlib.sha256(f"{account}{sid}".encode() + key).digest()


def complete(known: Secrets, entry: AuditEntry) -> None:
    """Give the entry of an issued code its whole MAC; do nothing if its first MAC does not fit."""
    if (digest := _owed_digest(known, entry)) is not None:
        entry.personal_digest = digest
        entry.mac = _sign(known, _entry_message(entry, digest))


def completed_mac(known: Secrets, entry: AuditEntry) -> bytes | None:
    """Return the MAC that an entry has, or will have when it is sealed: the same for every copy of it."""
    digest = _owed_digest(known, entry)
    return entry.mac if digest is None else _sign(known, _entry_message(entry, digest))


def _owed_digest(known: Secrets, entry: AuditEntry) -> bytes | None:
    """Return the missing digest of the personal part; None if the entry has one, or its first MAC is wrong."""
    if entry.personal_digest is not None or entry.salt is None or verify_entry(known, entry) is not Verdict.FITS:
        return None
    return personal_digest(entry.salt, entry.ip, entry.request_id, entry.details)


def verify_entry(known: Secrets, entry: AuditEntry) -> Verdict:
    """Check the MAC of an entry. `has_its_personal_part` checks the personal part."""
    if entry.mac is None:
        return Verdict.WRONG
    if entry.personal_digest is not None:
        return _check(known, entry.mac, _entry_message(entry))
    return _verify_issued(known, entry, entry.mac)


def _verify_issued(known: Secrets, entry: AuditEntry, mac: bytes) -> Verdict:
    others = entry.result, entry.actor, entry.staff_id, entry.school_id
    if entry.kind != ISSUED or others != ("ok", "", None, None) or not entry.salt:
        return Verdict.WRONG
    details: object = entry.details  # somebody may have written any JSON
    sid = details.get("sid") if isinstance(details, dict) else None
    if not entry.client_id or not entry.account_id or not isinstance(sid, str) or details != {"sid": sid}:
        return Verdict.WRONG
    secret = next((secret for secret in known if _key(secret)[0] == mac[:_NAME_LENGTH]), None)
    if secret is None:
        return Verdict.UNKNOWN_KEY if len(mac) == _MAC_LENGTH else Verdict.WRONG
    key = issued_key([secret], entry.salt, entry.at, entry.client_id, entry.ip, entry.request_id)
    return Verdict.FITS if hmac.compare_digest(mac, bind(key, entry.account_id, sid)) else Verdict.WRONG


def is_erased(entry: AuditEntry) -> bool:
    """Return whether the personal part of an entry was erased, including its salt."""
    return entry.salt is None and entry.personal_digest is not None


def has_its_personal_part(entry: AuditEntry) -> bool:
    """Return whether the personal part is unchanged, or completely erased."""
    if entry.personal_digest is None:
        return True
    if entry.salt is None:
        return (entry.ip, entry.request_id, entry.details) == ("", "", {})
    digest = personal_digest(entry.salt, entry.ip, entry.request_id, entry.details)
    return hmac.compare_digest(digest, entry.personal_digest)


def sign(known: Secrets, row: AuditSeal | AuditBeginning) -> None:
    """Set the MAC of a seal, or of the record of the beginning."""
    row.mac = _sign(known, _row_message(row))


def verify(known: Secrets, row: AuditSeal | AuditBeginning) -> Verdict:
    """Check the MAC of a seal, or of the record of the beginning."""
    return _check(known, row.mac, _row_message(row))


def _entry_message(entry: AuditEntry | SimpleNamespace, digest: bytes | None = None) -> bytes:
    digest = digest or entry.personal_digest
    return _canonical(
        [
            "entry",
            microseconds(entry.at),
            entry.kind,
            entry.result,
            entry.account_id.hex if entry.account_id else None,
            entry.client_id.hex if entry.client_id else None,
            entry.staff_id.hex if entry.staff_id else None,
            entry.school_id.hex if entry.school_id else None,
            entry.actor,
            digest.hex() if digest else None,
        ]
    )


def _issued_message(salt: bytes, at: datetime, client: uuid.UUID, ip: str, request_id: str) -> bytes:
    return _canonical([ISSUED, microseconds(at), client.hex, personal_digest(salt, ip, request_id, {}).hex()])


def _row_message(row: AuditSeal | AuditBeginning) -> bytes:
    if isinstance(row, AuditSeal):
        moments = [row.sealed_at, row.newest_at]
        fields = [row.count, row.previous.hex(), hashlib.sha256(row.entries).hexdigest()]
        return _canonical(["seal", row.id, *map(microseconds, moments), *fields])
    moments = [row.entries_before, row.failures_before, row.recorded_at]
    fields = [row.first_seal, row.previous.hex(), row.actor]
    return _canonical(["beginning", *map(microseconds, moments), *fields])


def _canonical(value: Any) -> bytes:
    """Return the one spelling of a JSON value: the databases return the members of objects in different orders."""
    return _spell(value).encode()


_spell = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


@lru_cache(maxsize=16)
def _key(secret: bytes) -> tuple[bytes, bytes]:
    """Return the name and the key of a secret. The name tells a wrong MAC from one under an unknown secret."""
    key = opaque.derive_key(secret, "audit chain")
    return hmac.digest(key, b"name", "sha256")[:_NAME_LENGTH], key


def _sign(known: Secrets, message: bytes) -> bytes:
    name, key = _key(known[0])
    return name + hmac.digest(key, message, "sha256")


def _check(known: Secrets, mac: bytes, message: bytes) -> Verdict:
    if len(mac) != _MAC_LENGTH:
        return Verdict.WRONG
    for name, key in map(_key, known):
        if mac[:_NAME_LENGTH] == name:
            fits = hmac.compare_digest(mac[_NAME_LENGTH:], hmac.digest(key, message, "sha256"))
            return Verdict.FITS if fits else Verdict.WRONG
    return Verdict.UNKNOWN_KEY
