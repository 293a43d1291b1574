"""The events of operators who hand out or erase what is held: of a person, or the journal itself.

Part of the closed vocabulary of `idp.audit.events`; the same rules hold.
"""

from dataclasses import dataclass

from idp.audit.events import Event


@dataclass(frozen=True, kw_only=True)
class JournalExported(Event):
    """An operator wrote the journal out, since a moment if one is given."""

    kind = "journal.exported"
    since: str = ""


@dataclass(frozen=True, kw_only=True)
class AccountExported(Event):
    """An operator wrote all that is held of a person into a file, for that person."""

    kind = "account.exported"


@dataclass(frozen=True, kw_only=True)
class AccountErased(Event):
    """An operator erased an account for `reason`; `kept` names what stays."""

    kind = "account.erased"
    reason: str
    kept: list[str]


@dataclass(frozen=True, kw_only=True)
class AccountRenamed(Event):
    """An operator confirmed that the person has other names now; `changed` says which ones, without their values."""

    kind = "account.renamed"
    changed: list[str]
    reason: str
