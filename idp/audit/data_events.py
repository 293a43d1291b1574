"""The events of exports and erasures, of a person's data or of the journal.

Part of the closed vocabulary of `idp.audit.events`; the same rules hold.
"""

from dataclasses import dataclass

from idp.audit.events import Event


@dataclass(frozen=True, kw_only=True)
class JournalExported(Event):
    """An operator exported the journal; `since` is the first date, if one was given."""

    kind = "journal.exported"
    since: str = ""


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
