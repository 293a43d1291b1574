"""The events of imports and registrations: school files, schools, ENTs, signing keys, settings, outgoing messages."""

from dataclasses import field
from typing import Annotated, Any

from flask_babel import lazy_gettext as _l

from idp.audit.kinds import Detail, Event, Group, Kind


class RosterImported(Event):
    """An import of school files began or ended; `batch` is its state: `running`, `done`, `stopped` or `failed`.

    `format` and `mode` are the options of the command; `forced` says whether `--force` was given.
    """

    row = Kind("roster.imported", "fichiers de l’établissement importés", Group.SERVICE, technical=True)
    batch: str
    format: str
    mode: str
    forced: bool


class AccountImported(Event):
    """A school file changed an account; `batch` is the id of the import.

    `change`: `record` (the person's data), `child_added`, `child_ended` (the child or the person left), `tie_ended`
    (both stay), `tie_changed`, `returned` (a child is back), `replaced` (the file's key now means another person: the
    account was closed), `key_replaced` (it has another key).
    """

    row = Kind("roster.account", "compte lu dans un fichier de l’établissement", Group.ACCOUNTS, exported=("change",))
    batch: str
    change: str
    child: str = ""


class SchoolChanged(Event):
    """An operator added a school or changed the name, postal address, phone, hours, email or degree of a school."""

    row = Kind("school.changed", "fiche d’un établissement changée", Group.SERVICE, technical=True)
    uai: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


class NoticeSettled(Event):
    """An operator settled a school's notice; `notice` is its id, `about` its kind."""

    row = Kind(
        "school.notice_settled",
        "signalement réglé par l’établissement",
        Group.NOTICES,
        exported=("about",),
        fuller="dispute.settled",
        family="Signalement réglé",
        own=_l("%(who)s a réglé un signalement sur votre compte %(when)s."),
    )
    notice: str
    about: Annotated[str, Detail("objet")]


class ClientChanged(Event):
    """An operator registered, changed, disabled or enabled a client; `change` says which.

    A client that an ENT operator registers is `asked`; `accepted` is when the académie opens it. A change that an ENT
    operator asks for is `proposed`, and the académie's answer `proposal accepted`; `proposal withdrawn` is when the ENT
    operator takes it back.
    """

    row = Kind("client.changed", "réglages d’un ENT changés", Group.ENTS, technical=True, of_ent=True)
    change: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


class ClientDeclined(Event):
    """The académie refused a client that an ENT operator had registered, or a change that it asked for.

    `change` is `refused`, and the client stays disabled; or it is `proposal refused`.
    """

    row = ClientChanged.row
    change: str = "refused"
    reason: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


class ClientChangedItself(Event):
    """A client registered itself with an invitation, changed its registration or ended it; `change` says which.

    RFC 7591 and RFC 7592 describe these requests.
    """

    row = Kind(
        "client.changed_itself",
        "réglages d’un ENT changés par l’ENT",
        Group.ENTS,
        by_staff=False,
        technical=True,
        of_ent=True,
    )
    change: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


class ClientTokenExpired(Event):
    """A client presented a registration access token that had not been used for too long; `change` says so."""

    row = ClientChangedItself.row
    result = "refused"
    change: str = "registration token expired"


class ClientInvited(Event):
    """An operator made or revoked an invitation to register a client, or a client used it.

    `change` is `made`, `revoked` or `used`; `invite` is the id of the invitation.
    """

    row = Kind("client.invited", "ENT invité à s’inscrire", Group.ENTS, technical=True, of_ent=True)
    change: str
    invite: str
    after: dict[str, Any] = field(default_factory=dict)


class KeyChanged(Event):
    """An operator or the worker changed a signing key, whose id is `kid`.

    `change` is `rotated` (a new key was made), `started` (it signs), `retired` or `dropped`.
    """

    row = Kind("key.changed", "clé du service changée", Group.SERVICE, by_staff=False, technical=True)
    change: str
    kid: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


class MessagesChanged(Event):
    """An operator acted on messages of the outbox: mails, logout tokens, jobs.

    `change` is `retried` (they are ready for delivery) or `dropped` (nobody receives them), `message` their kind, and
    `count` their number; `ids` are those of `idp outbox list`. An act on more than 200 messages is several events.
    """

    row = Kind(
        "outbox.changed", "messages du service relancés ou abandonnés", Group.SERVICE, by_staff=False, technical=True
    )
    change: str
    message: Annotated[str, Detail("message")]
    count: int
    ids: list[str]


class SettingsChanged(Event):
    """`idp serve` or `idp worker` started with other settings than the last time (but `IDP_METRICS_BIND`)."""

    row = Kind("settings.changed", "réglages du service changés", Group.SERVICE, by_staff=False, technical=True)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
