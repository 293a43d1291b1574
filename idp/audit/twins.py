"""Leaves out the second of two entries that one act wrote, for the pages that list acts. The journal shows both."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from idp.audit.models import AuditEntry

_TWINS: Mapping[str, str] = {"letter.drawn": "letter.reissued", "school.notice_settled": "dispute.settled"}
"""Kinds of entries that say less than another kind, which the same act wrote."""
_AT_ONCE = timedelta(seconds=5)
"""How far apart the entries of one transaction are at most."""


def without_twins(entries: Iterable[AuditEntry]) -> Sequence[AuditEntry]:
    """Return the entries of one account in their order, without those that a fuller entry of the same act repeats."""
    rows = list(entries)
    return [row for row in rows if not any(_repeats(row, other) for other in rows)]


def _repeats(row: AuditEntry, other: AuditEntry) -> bool:
    """Return whether `other` is the fuller entry of the act that wrote `row`."""
    is_same_act = (row.actor, row.request_id) == (other.actor, other.request_id)
    return _TWINS.get(row.kind) == other.kind and is_same_act and abs(row.at - other.at) < _AT_ONCE
