"""Describes the change of a row for the journal: before and after, without secrets."""

import enum
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import inspect

from idp.db import Base

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
