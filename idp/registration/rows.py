"""The row of a client: read and written by the declarations of `ClientMetadata`."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from idp.clients.models import Client
from idp.registration import checks
from idp.registration.declarations import Declaration, Kind
from idp.registration.metadata import FIELDS, ClientMetadata, is_translation

_DESCRIPTION = "description"
_SETS = {Kind.URIS, Kind.WORDS, Kind.SCHOOLS}


def read(client: Client) -> ClientMetadata:
    """Return the metadata of a client."""
    return ClientMetadata(**{declared.name: _read(client, declared) for declared in FIELDS})


def write(client: Client, metadata: ClientMetadata) -> None:
    """Write valid metadata to a client, except the sector, which `registrations` decides."""
    settled = _settled(metadata)
    description: dict[str, Any] = {}
    for declared in FIELDS:
        value = getattr(settled, declared.name)
        if declared.kind is Kind.TRANSLATIONS:
            description |= value
        elif declared.column == _DESCRIPTION:
            description |= {} if value in ("", None, ()) else {declared.member: _plain(value)}
        elif declared.name != "sector":
            setattr(client, declared.column, _of_column(declared.column, value))
    client.description = description


def shown(client: Client) -> dict[str, Any]:
    """Return the fields of a client as JSON values, by name; what `description` holds stays together."""
    row: dict[str, Any] = {}
    for declared in FIELDS:
        if declared.column == _DESCRIPTION:
            row.setdefault(_DESCRIPTION, client.description)
        else:
            row[declared.name] = _plain(_read(client, declared))
    return row


def shown_fields(metadata: ClientMetadata, names: Iterable[str]) -> dict[str, Any]:
    """Return some fields of metadata as JSON values, by name, each value of a list once."""
    settled = _settled(metadata)
    return {name: _plain(getattr(settled, name)) for name in names}


def with_fields(metadata: ClientMetadata, values: Mapping[str, Any]) -> ClientMetadata:
    """Return metadata with fields that `shown_fields` returned."""
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return replace(metadata, **fields)


def _read(client: Client, declared: Declaration) -> Any:
    if declared.kind is Kind.TRANSLATIONS:
        return {name: text for name, text in client.description.items() if is_translation(name)}
    if declared.column == _DESCRIPTION:
        value = client.description.get(declared.member, declared.default)
    else:
        value = getattr(client, declared.column)
    if isinstance(value, enum.Enum):
        return value.value
    return tuple(value) if isinstance(value, list) else value


def _of_column(column: str, value: Any) -> Any:
    columns = Client.__table__.columns
    enum_class = getattr(columns[column].type, "enum_class", None) if column in columns else None
    return enum_class(value) if enum_class else _plain(value)


def _plain(value: Any) -> Any:
    """Return a value with lists and dictionaries of its own, as a JSON column holds it."""
    if isinstance(value, tuple | list):
        return list(value)
    return dict(value) if isinstance(value, dict) else value


def _settled(metadata: ClientMetadata) -> ClientMetadata:
    """Return metadata as a client has them: each value of a list once, and what the profile implies."""
    is_fapi2 = metadata.profile == "fapi2"
    sets: dict[str, Any] = {
        field.name: tuple(dict.fromkeys(getattr(metadata, field.name))) for field in FIELDS if field.kind in _SETS
    }
    return replace(
        metadata,
        name=metadata.name.strip(),
        jwks=checks.kept_jwks(metadata.jwks),
        par_required=metadata.par_required or is_fapi2,
        dpop_required=metadata.dpop_required or is_fapi2,
        **sets,
    )
