"""All kinds of entries of the journal, by name, and the words for their fields."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import get_type_hints

from idp.audit import credential_events, data_events, desk_events, events, registry_events
from idp.audit.kinds import DETAILS as SHARED, Detail, Event, Kind
from idp.audit.models import AuditEntry

_MODULES = events, credential_events, data_events, desk_events, registry_events
EVENTS: Sequence[type[Event]] = [
    member
    for module in _MODULES
    for member in vars(module).values()
    if isinstance(member, type) and member.__module__ == module.__name__
]
"""The classes: several for a kind with several results."""
KINDS: Mapping[str, Kind] = {event.kind: event.row for event in EVENTS}
WORDS: Mapping[str, str] = {name: kind.fr for name, kind in KINDS.items()}
"""The words of the desk's journal and of a person's export, by kind."""
DETAILS: Mapping[str, Detail] = {
    **SHARED,
    **{
        name: detail
        for event in EVENTS
        for name, hint in get_type_hints(event, include_extras=True).items()
        for detail in getattr(hint, "__metadata__", ())
    },
}
_AT_ONCE = timedelta(seconds=5)  # how far apart the entries of one transaction are at most


def without_twins(entries: Iterable[AuditEntry]) -> Sequence[AuditEntry]:
    """Return the entries of one account in their order, without those that a fuller entry of the same act repeats."""
    rows = list(entries)
    return [row for row in rows if not any(_repeats(row, other) for other in rows)]


def _repeats(row: AuditEntry, other: AuditEntry) -> bool:
    """Return whether `other` is the fuller entry of the act that wrote `row`."""
    is_same_act = (row.actor, row.request_id) == (other.actor, other.request_id)
    is_fuller = row.kind in KINDS and KINDS[row.kind].fuller == other.kind
    return is_fuller and is_same_act and abs(row.at - other.at) < _AT_ONCE
