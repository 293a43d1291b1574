"""Changes of rows and of settings for the journal: before and after, without secrets.

The settings that the service starts with are stored, and what changed since the last start is recorded. For a secret,
only a digest is stored, so that a change is seen. The digests are keyed by `IDP_SECRET_KEY`: a reader of the database
cannot test a guess. When that key is rotated, the former one is found among its fallbacks.
"""

import enum
import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from pydantic import SecretStr
from sqlalchemy import inspect, select
from sqlalchemy.exc import SQLAlchemyError

from idp import secret_check
from idp.audit import log
from idp.audit.models import NotedSettings
from idp.audit.registry_events import SettingsChanged
from idp.config import PREFIX
from idp.db import Base, db, unit_of_work, upsert
from idp.secret_check import DIGESTS, KEY, digest

if TYPE_CHECKING:
    from idp.config import Settings

HIDDEN = "(hidden)"
_SECRET_NAMES = ("secret", "token", "password")
_UNTOLD = frozenset({"id", "version", "created_at"})


class Difference(TypedDict):
    """The changed columns, as the fields of an event."""

    before: dict[str, Any]
    after: dict[str, Any]


def snapshot(row: Base, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the columns of a row as JSON values, without any secret.

    A binary column holds a digest, a salt or a sealed key: only whether it is set is told. The same holds for members
    of a JSON object that are named like a secret.
    """
    columns = inspect(type(row)).column_attrs.keys()
    values = {name: getattr(row, name) for name in columns if name not in _UNTOLD and name not in without}
    return {name: _as_json(value) for name, value in values.items()}


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """Return the columns that differ, as the fields of an event."""
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {
        "before": {name: before[name] for name in changed if name in before},
        "after": {name: after[name] for name in changed if name in after},
    }


def made(after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a new row that are not empty."""
    return {name: value for name, value in after.items() if value not in (None, "", [], {})}


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return HIDDEN
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dict):
        return {name: HIDDEN if _is_secret(name) else _as_json(member) for name, member in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_secret(name: str) -> bool:
    """Return whether a member of a JSON object is a secret; `token_endpoint_auth_method` and the like are not."""
    return name in {"d", "p", "q", "dp", "dq", "qi", "k"} or any(name.endswith(end) for end in _SECRET_NAMES)


SETTINGS_ROW = 1
_OF_ONE_SERVER = frozenset({"IDP_METRICS_BIND"})


def note_settings(settings: "Settings") -> None:
    """Compare the settings with those of the last start, record one event if they differ, and store them.

    The very first start records nothing. A start without a database, or before its migration, does not fail here; the
    next start compares. Nothing is logged, since the starting process reports the missing database itself.
    """
    with suppress(SQLAlchemyError), unit_of_work():
        _note_changes(settings)


def _note_changes(settings: "Settings") -> None:
    """Store the settings in the caller's transaction; the row's lock serialises several nodes."""
    present = readable_settings(settings)
    digests = {name: digest(settings.secrets[0], name, value) for name, value in _secrets(settings)}
    noting: dict[str, Any] = {**present, DIGESTS: digests}
    first = upsert(NotedSettings).values(id=SETTINGS_ROW, settings=noting)
    db.session.execute(first.on_conflict_do_nothing())
    locked = select(NotedSettings).with_for_update().execution_options(populate_existing=True)
    noted = db.session.scalars(locked).one()
    if noted.settings == noting:
        return
    former = dict(noted.settings)
    if former.keys() == {DIGESTS}:  # `idp db upgrade` wrote the check value of the secret key, and nothing else
        noted.settings = noting
        return
    for name, remark in _changed_secrets(settings, former.pop(DIGESTS, {})):
        if former.get(name) == present[name]:
            present[name] = f"{present[name]} ({remark})"
    log.record(SettingsChanged(**difference(former, present)))
    noted.settings = noting


def _changed_secrets(settings: "Settings", noted: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the secret settings that changed since the last start, with a remark for each.

    The digests are compared under the secret key that made them. If it is neither the key nor a fallback any more, the
    key has changed, and the other settings cannot be compared.
    """
    key = secret_check.recognised(settings, noted.get(KEY))
    for name, value in _secrets(settings):
        if key is None and name != KEY:
            if value:  # an empty setting holds no secret: its value tells whether it changed
                yield name, "perhaps changed: the former secret key is unknown"
        elif key is None or digest(key, name, value) != noted.get(name):
            yield name, "changed"


def _secrets(settings: "Settings") -> Iterator[tuple[str, str]]:
    """Yield each setting that holds a secret, with its value; the database's URL may hold passwords."""
    for field, value in settings:
        name = f"{PREFIX}{field.upper()}"
        if name == KEY:
            yield name, settings.secrets[0].decode()
        elif isinstance(value, SecretStr):
            yield name, value.get_secret_value()
        elif isinstance(value, tuple) and any(isinstance(secret, SecretStr) for secret in value):
            yield name, json.dumps([secret.get_secret_value() for secret in value])
        elif field == "database_url":
            yield name, value


def readable_settings(settings: "Settings") -> dict[str, str]:
    """Return the settings by name, secrets hidden, with the whole `IDP_OUTGOING_ALLOW` in place of its length.

    Those of one server are left out: with two servers, each start would change them.
    """
    shared = {name: value for name, value in settings.rows() if name not in _OF_ONE_SERVER}
    return {**shared, "IDP_OUTGOING_ALLOW": ", ".join(settings.outgoing_allow)}
