"""Builds the statements that store what readers yield and merge records of one key.

A second record of a key is not lost: `copies` counts it and `differs` says that it contradicts the first one. In a
Delta, a later record changes an earlier one, in the order of the files.
"""

from collections.abc import Sequence

from idp.rostering.reconcile.schema import GuardianRow, IssueRow, LinkRow, SchoolRow, StudentRow, UnreadRow
from idp.rostering.reconcile.tables import TABLES

_OPTIONAL = frozenset(("left_on", "birth_date"))
"""The fields that one file of a pair may leave out: that is no contradiction."""
_NOT_COMPARED = frozenset(("key", "act", "lists_guardians", "record", "is_second_hand", "file", "line"))
_RENAMED = (
    "renamed = renamed OR (act = 'put' AND excluded.act = 'put' AND "
    "(family_name IS NOT excluded.family_name OR given_name IS NOT excluded.given_name))"
)
_MERGED_ACT = "act = iif(excluded.act = 'modify' AND act <> 'delete', act, excluded.act)"
_SECOND_HAND = "is_second_hand"


def _names_of(row: type) -> list[str]:
    """Return the columns of a table that come from a record: all up to its place."""
    names = [column.name for column in TABLES[row].columns]
    return names[: names.index("line") + 1]


def _merge(row: type) -> str:
    """Return the statement that stores a record, or merges it into the stored one of the same key."""
    names = _names_of(row)
    fields = [name for name in names if name not in _NOT_COMPARED]
    is_second_hand = _SECOND_HAND in names
    counted = f"NOT ({_SECOND_HAND} OR excluded.{_SECOND_HAND})" if is_second_hand else "1"
    changes = [
        f"copies = copies + {counted}",
        f"differs = differs OR NOT ({' AND '.join(map(_same, fields))})",
        *([_RENAMED] if "given_name" in names else ()),
        *(f"first_{name} = coalesce(first_{name}, {name})" for name in ("class_name", "birth_date") if name in names),
        _MERGED_ACT,
        *(_taken(name) for name in names if name not in {"key", "act", "file", "line", _SECOND_HAND}),
        *([f"{_SECOND_HAND} = {_SECOND_HAND} AND excluded.{_SECOND_HAND}"] if is_second_hand else ()),
        "file2 = excluded.file",
        "line2 = excluded.line",
    ]
    return f"{_insert(row, names)} ON CONFLICT (key) DO UPDATE SET {', '.join(changes)}"


def _same(field: str) -> str:
    """Return the condition that a second record says the same in a field."""
    same = f"{field} IS excluded.{field}"
    return f"({same} OR {field} IS NULL OR excluded.{field} IS NULL)" if field in _OPTIONAL else f"({same})"


def _taken(name: str) -> str:
    """Return the assignment of a field of the later record; a partial record keeps what it does not say."""
    later = f"coalesce(excluded.{name}, {name})"
    if name in _OPTIONAL:
        return f"{name} = {later}"
    return f"{name} = iif(excluded.act = 'modify', {later}, excluded.{name})"


def _insert(row: type, names: Sequence[str]) -> str:
    return f"INSERT INTO {TABLES[row].name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


_MERGED_AUTHORITY = "iif(record = excluded.record, min(authority, excluded.authority), excluded.authority)"

STATEMENTS = {
    SchoolRow: _merge(SchoolRow),
    StudentRow: _merge(StudentRow),
    GuardianRow: _merge(GuardianRow),
    LinkRow: f"{_insert(LinkRow, LinkRow._fields)} ON CONFLICT DO UPDATE SET kinship = excluded.kinship, "
    f"authority = {_MERGED_AUTHORITY}, record = excluded.record",
    UnreadRow: _insert(UnreadRow, UnreadRow._fields),
    IssueRow: _insert(IssueRow, IssueRow._fields),
}
"""The statements by table, in the order in which the tables are filled."""
