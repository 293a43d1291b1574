"""Stores the settings that the service starts with, and records what changed since the last start.

For a secret, only a digest is stored, so that a change is seen. The digests are keyed by `IDP_SECRET_KEY`: a reader of
the database cannot test a guess. When that key is rotated, the former one is found among its fallbacks.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from idp import opaque
from idp.audit import changes, log
from idp.audit.models import NotedSettings
from idp.audit.registry_events import SettingsChanged
from idp.clock import now
from idp.config import PREFIX
from idp.db import db, unit_of_work, upsert

if TYPE_CHECKING:
    from idp.config import Settings

_ROW = 1
_DIGESTS = "digests"
"""The member of the stored settings that holds the digests of secrets; it is never recorded."""
_KEY = "IDP_SECRET_KEY"


def note(settings: "Settings") -> None:
    """Compare the settings with those of the last start, record one event if they differ, and store them.

    The very first start records nothing. A start without a database, or before its migration, does not fail here; the
    next start compares. Nothing is logged, since the starting process reports the missing database itself.
    """
    with suppress(SQLAlchemyError), unit_of_work():
        _note(settings)


def _note(settings: "Settings") -> None:
    """Store the settings in the caller's transaction; the row's lock serialises several nodes."""
    present = readable_settings(settings)
    noting: dict[str, Any] = {**present, _DIGESTS: _digests(settings, settings.secrets[0])}
    first = upsert(NotedSettings).values(id=_ROW, noted_at=now(), settings=noting)
    db.session.execute(first.on_conflict_do_nothing())
    locked = select(NotedSettings).with_for_update().execution_options(populate_existing=True)
    noted = db.session.scalars(locked).one()
    if noted.settings == noting:
        return
    former = dict(noted.settings)
    for name, remark in _changed_secrets(settings, former.pop(_DIGESTS, {})):
        if former.get(name) == present[name]:
            present[name] = f"{present[name]} ({remark})"
    log.record(SettingsChanged(**changes.difference(former, present)))
    noted.settings, noted.noted_at = noting, now()


def _changed_secrets(settings: "Settings", noted: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the secret settings that changed since the last start, with a remark for each.

    The digests are compared under the secret key that made them. If it is neither the key nor a fallback any more, the
    key has changed, and the other settings cannot be compared.
    """
    key = next(
        (secret for secret in settings.secrets if _digest(secret, _KEY, secret.decode()) == noted.get(_KEY)), None
    )
    for name, value in _secrets(settings):
        if key is None and name != _KEY:
            if value:  # an empty setting holds no secret: its value tells whether it changed
                yield name, "perhaps changed: the former secret key is unknown"
        elif key is None or _digest(key, name, value) != noted.get(name):
            yield name, "changed"


def _digests(settings: "Settings", key: bytes) -> dict[str, str]:
    """Return the digest of each secret setting under one secret key."""
    return {name: _digest(key, name, value) for name, value in _secrets(settings)}


def _secrets(settings: "Settings") -> Iterator[tuple[str, str]]:
    """Yield each setting that holds a secret, with its value; the database's URL may hold passwords."""
    for field, value in settings:
        name = f"{PREFIX}{field.upper()}"
        if name == _KEY:
            yield name, settings.secrets[0].decode()
        elif isinstance(value, SecretStr):
            yield name, value.get_secret_value()
        elif isinstance(value, tuple) and any(isinstance(secret, SecretStr) for secret in value):
            yield name, json.dumps([secret.get_secret_value() for secret in value])
        elif field == "database_url":
            yield name, value


def _digest(key: bytes, name: str, value: str) -> str:
    return opaque.keyed_value(opaque.derive_key(key, "noted settings"), f"{name}={value}")


def readable_settings(settings: "Settings") -> dict[str, str]:
    """Return the settings by name, secrets hidden, with the whole `IDP_OUTGOING_ALLOW` in place of its length."""
    return {**dict(settings.rows()), "IDP_OUTGOING_ALLOW": ", ".join(settings.outgoing_allow)}
