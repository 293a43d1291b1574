"""The events of imports and registrations: school files, schools, ENTs, signing keys, settings, outgoing messages.

Part of the closed vocabulary of `idp.audit.events`; the same rules hold.
"""

from dataclasses import dataclass, field
from typing import Any

from idp.audit.events import Event


@dataclass(frozen=True, kw_only=True)
class RosterImported(Event):
    """An import of school files began or ended; `batch` is its state: `running`, `done`, `stopped` or `failed`.

    `format` and `mode` are the options of the command; `forced` says whether `--force` was given.
    """

    kind = "roster.imported"
    batch: str
    format: str
    mode: str
    forced: bool


@dataclass(frozen=True, kw_only=True)
class AccountImported(Event):
    """A school file changed an account; `batch` is the id of the import, `child` the key of the pupil if a tie changed.

    `change`: `record` (the person's data), `child_added`, `child_ended` (the child or the person left), `tie_ended`
    (both stay), `tie_changed`, `returned` (a child is back), `replaced` (the file's key now means another person: the
    account was closed), `key_replaced` (it has another key).
    """

    kind = "roster.account"
    batch: str
    change: str
    child: str = ""


@dataclass(frozen=True, kw_only=True)
class SchoolChanged(Event):
    """An operator added a school or changed the name, postal address, phone, hours, email or degree of a school."""

    kind = "school.changed"
    uai: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NoticeSettled(Event):
    """An operator settled a school's notice; `notice` is its id, `about` its kind."""

    kind = "school.notice_settled"
    notice: str
    about: str


@dataclass(frozen=True, kw_only=True)
class ClientChanged(Event):
    """An operator registered, changed, disabled or enabled a client; `change` says which.

    A client that an ENT operator registers is `asked`; `accepted` is when the académie opens it. A change that an ENT
    operator asks for is `proposed`, and the académie's answer `proposal accepted`; `proposal withdrawn` is when the ENT
    operator takes it back.
    """

    kind = "client.changed"
    change: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClientDeclined(Event):
    """The académie refused a client that an ENT operator had registered, or a change that it asked for.

    `change` is `refused`, and the client stays disabled; or it is `proposal refused`.
    """

    kind = "client.changed"
    change: str = "refused"
    reason: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClientChangedItself(Event):
    """A client registered itself with an invitation, changed its registration or ended it; `change` says which.

    RFC 7591 and RFC 7592 describe these requests.
    """

    kind = "client.changed_itself"
    change: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClientTokenExpired(Event):
    """A client presented a registration access token that had not been used for too long; `change` says so."""

    kind = "client.changed_itself"
    result = "refused"
    change: str = "registration token expired"


@dataclass(frozen=True, kw_only=True)
class ClientInvited(Event):
    """An operator made or revoked an invitation to register a client, or a client used it.

    `change` is `made`, `revoked` or `used`; `invite` is the id of the invitation.
    """

    kind = "client.invited"
    change: str
    invite: str
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class KeyChanged(Event):
    """An operator or the worker changed a signing key, whose id is `kid`.

    `change` is `rotated` (a new key was made), `started` (it signs), `retired` or `dropped`.
    """

    kind = "key.changed"
    change: str
    kid: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MessagesChanged(Event):
    """An operator acted on messages of the outbox: mails, logout tokens, jobs.

    `change` is `retried` (they are ready for delivery) or `dropped` (nobody receives them), `message` their kind, and
    `count` their number; `ids` are those of `idp outbox list`. An act on more than 200 messages is several events.
    """

    kind = "outbox.changed"
    change: str
    message: str
    count: int
    ids: list[str]


@dataclass(frozen=True, kw_only=True)
class SettingsChanged(Event):
    """`idp serve` or `idp worker` started with other settings than the last time (but `IDP_METRICS_BIND`)."""

    kind = "settings.changed"
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
