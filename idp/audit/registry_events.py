"""The events of imports and registrations: school files, schools, ENTs, signing keys, settings.

Part of the closed vocabulary of `idp.audit.events`; the same rules hold.
"""

from dataclasses import dataclass, field
from typing import Any

from idp.audit.events import Event


@dataclass(frozen=True, kw_only=True)
class RosterImported(Event):
    """An operator imported school files; `batch` is the state of the import (`running`, `done`, `stopped`)."""

    kind = "roster.imported"
    batch: str
    format: str
    mode: str
    forced: bool


@dataclass(frozen=True, kw_only=True)
class AccountImported(Event):
    """A school file changed an existing account: `change` says how; `child` is the pupil if a tie changed."""

    kind = "roster.account"
    batch: str
    change: str
    child: str = ""


@dataclass(frozen=True, kw_only=True)
class SchoolChanged(Event):
    """An operator changed a school's details for its letters; `before` and `after` hold the changes."""

    kind = "school.changed"
    uai: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NoticeSettled(Event):
    """An operator settled a school's notice; `about` is its kind. The operator's sentence is in the notice."""

    kind = "school.notice_settled"
    notice: str
    about: str


@dataclass(frozen=True, kw_only=True)
class ClientChanged(Event):
    """An operator registered, changed or disabled a client; `before` and `after` hold the changes, without secrets."""

    kind = "client.changed"
    change: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClientChangedItself(Event):
    """A client registered itself with an invitation, changed its registration or ended it (RFC 7591, RFC 7592).

    `before` and `after` hold the changes, without secrets.
    """

    kind = "client.changed_itself"
    change: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClientTokenExpired(Event):
    """A client presented a registration access token that had not been used for too long (RFC 7592)."""

    kind = "client.changed_itself"
    result = "refused"
    change: str = "registration token expired"


@dataclass(frozen=True, kw_only=True)
class ClientInvited(Event):
    """An operator made or withdrew an invitation to register a client, or a client used it.

    `after` holds the bounds of a new invitation, never its token.
    """

    kind = "client.invited"
    change: str
    invite: str
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class KeyChanged(Event):
    """An operator or the worker changed a signing key: rotated, started, retired, dropped.

    `before` and `after` hold the changes of the row, never the key material.
    """

    kind = "key.changed"
    change: str
    kid: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SettingsChanged(Event):
    """`idp serve` or `idp worker` started with other settings than the last time; secrets are hidden on both sides."""

    kind = "settings.changed"
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
