"""The events of exports and erasures, of a person's data or of the journal, and of the daily purge.

Part of the closed vocabulary of `idp.audit.events`; the same rules hold.
"""

from dataclasses import dataclass, field

from idp.audit.events import Event


@dataclass(frozen=True, kw_only=True)
class JournalExported(Event):
    """An operator exported the journal; `since` is the first date, if one was given.

    An export at the desk also has the `format`, the number of `entries`, the `sha256` of the file, and its filters: the
    last date `until`, the kind `act`, the name `who`; the account, if there is one, is that of the entry.
    """

    kind = "journal.exported"
    since: str = ""
    until: str = ""
    act: str = ""
    who: str = ""
    format: str = ""
    entries: int = 0
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class RectificationAsked(Event):
    """A data protection officer asked the schools `uais` to correct a person's data; `note` says what."""

    kind = "account.rectification_asked"
    note: str
    uais: list[str]


@dataclass(frozen=True, kw_only=True)
class AccountExported(Event):
    """An operator wrote all data about a person into a file, for that person."""

    kind = "account.exported"


@dataclass(frozen=True, kw_only=True)
class AccountErased(Event):
    """An operator erased an account; `kept` names the data that stay."""

    kind = "account.erased"
    reason: str
    kept: list[str]


@dataclass(frozen=True, kw_only=True)
class AccountRenamed(Event):
    """An operator confirmed that the person's names have changed; `changed` names the fields, without their values."""

    kind = "account.renamed"
    changed: list[str]
    reason: str


@dataclass(frozen=True, kw_only=True)
class AccessSuspended(Event):
    """A school or the académie suspended an account, or its tie to one child.

    `suspension` is the key of the decision's row, `child` that of the pupil's, empty for the whole account. `until` is
    empty without an end. `reference` names the document behind the decision. `uai` is the school that decided, empty
    for the académie. `sessions` is how many sessions ended. `former` are the keys of the decisions of the same school
    about the same access that held until then.
    """

    kind = "account.suspended"
    suspension: str
    child: str = ""
    until: str = ""
    reason: str
    reference: str = ""
    uai: str = ""
    sessions: int = 0
    former: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class AccessReopened(Event):
    """A suspension was ended before its time.

    `suspension` is the key of the decision's row, `child` that of the pupil's, empty for the whole account. `uai` is
    the school that had decided.
    """

    kind = "account.reopened"
    suspension: str
    child: str = ""
    reason: str
    uai: str = ""


@dataclass(frozen=True, kw_only=True)
class GuardianWaits(Event):
    """An import gave a pupil a new guardian, whose tie is suspended until the head of the school has decided.

    `suspension` is the key of the row, `child` that of the pupil's, and `uai` the school. `wait` is `new_guardian` if
    another person's access to the pupil is suspended, `recognised` if the names are those of a suspended person,
    `alike` if they are nearly those, or `check` if the pupil is new too and the head has to check the person.
    """

    kind = "guardianship.waits"
    suspension: str
    child: str
    wait: str
    uai: str


@dataclass(frozen=True, kw_only=True)
class GuardianAdmitted(Event):
    """A new guardian who waited for the head of the school got access to the pupil.

    `suspension` is the key of the row, `child` that of the pupil's, and `uai` the school.
    """

    kind = "guardianship.admitted"
    suspension: str
    child: str
    reason: str
    uai: str


@dataclass(frozen=True, kw_only=True)
class KeptSuspensionEnded(Event):
    """An operator ended the suspension of an erased person, or of a pupil who left: the next file may give the access.

    `suspension` is the key of the row, `child` that of the pupil's, empty if the pupil's row was removed; `uai` is the
    pupil's school.
    """

    kind = "account.kept_suspension_ended"
    suspension: str
    child: str
    uai: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PurgeCompleted(Event):
    """`idp purge` removed all that had expired; `removed` is the number of rows by the names in its `--json`."""

    kind = "purge.completed"
    removed: dict[str, int]
