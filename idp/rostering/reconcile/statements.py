"""SQL fragments that the statements of several phases share, and the Python functions that statements call.

The arguments of the fragments are aliases of tables in the statement: a record is a `guardian`, an account a
`known_account`.
"""

import re
import sqlite3
from functools import lru_cache

from idp.accounts.directory import name_key
from idp.accounts.merging import shares_a_name
from idp.accounts.models import Account
from idp.folding import fold
from idp.rostering.reconcile import decide
from idp.rostering.reconcile.continuity import civilities_agree
from idp.rostering.reconcile.decide import ClassName, KeyKind, Known, KnownStudent, Record, StudentRecord, Ties
from idp.rostering.records import Act


def made_of_names(key: str) -> str:
    """Return the condition that a key was made of names (`values.key_of_names`): namesakes have the same one."""
    digest = f"length({key}) = 45 AND substr({key}, 14) NOT GLOB '*[^0-9a-f]*'"
    return f"({key} GLOB 'onde:*' OR ({key} GLOB 'csv:*' AND {digest}))"


def stem(key: str) -> str:
    """Return what the keys of namesakes share (`values.key_of_names`)."""
    return f"substr({key}, 1, length({key}) - 16)"


HAS_NAMES = f"SELECT EXISTS (SELECT 1 FROM student WHERE {made_of_names('key')})"


def said_or_known(record: str, known: str, *fields: str) -> str:
    """Return the fields of a record, with the known value where the record says nothing."""
    return ", ".join(f"coalesce({record}.{field}, {known}.{field})" for field in fields)


def differs(record: str, known: str, *fields: str) -> str:
    """Return the condition that a record changes one of the fields."""
    return " OR ".join(f"coalesce({record}.{field}, {known}.{field}) IS NOT {known}.{field}" for field in fields)


def same_home(record: str, account: str) -> str:
    """Return the condition that a record has the whole postal address of an account."""
    home = ("address_lines", "postcode", "city")
    known = ", ".join(f"{account}.{field}" for field in home)
    return f"same_home({said_or_known(record, account, *home)}, {known})"


def same_child(record: str, account: str) -> str:
    """Return the condition that a record is a guardian of a child of an account; an ended or disputed tie counts."""
    return (
        "EXISTS (SELECT 1 FROM link l JOIN student c ON c.key = l.student JOIN known_link t ON t.child = c.child_id "
        f"AND t.account = {account}.id WHERE l.guardian = {record}.key)"
    )


def is_named(record: str, account: str) -> str:
    """Return the condition that a record has exactly the names of an account."""
    return (
        f"name_key({said_or_known(record, account, 'given_name', 'family_name')}) = {account}.name_key "
        f"AND civilities_agree({said_or_known(record, account, 'civility')}, {account}.civility)"
    )


ACTIVE = (
    "SELECT o.child, o.account FROM known_link o WHERE o.is_active AND NOT EXISTS "
    "(SELECT 1 FROM ending_link e WHERE e.child = o.child AND e.account = o.account)"
)
"""The links of guardians who have activated the account, and keep access."""


def added_links(more: str = "") -> str:
    """Return the statement of the links `l` that give access anew beside an active guardian, if `more` holds too."""
    return (
        "SELECT l.child, l.account FROM allowed_link l LEFT JOIN known_link t ON t.child = l.child "
        f"AND t.account = l.account WHERE l.wait = '' {more} AND (t.child IS NULL OR t.is_ended AND t.closed = '') "
        f"AND EXISTS ({ACTIVE} AND o.child = l.child)"
    )


_OF_GUARDIAN = "SELECT 1 FROM link l JOIN student s ON s.key = l.student WHERE l.guardian = {record}.key"


def ties(record: str) -> str:
    """Return the expression of the `decide.Ties` of a guardian; `:most` is the last rank with legal authority."""
    of_guardian = _OF_GUARDIAN.format(record=record)
    legal = f"{of_guardian} AND l.authority BETWEEN 1 AND :most"
    return (
        f"CASE WHEN EXISTS ({legal} AND s.fate = 'open') THEN 'open' WHEN EXISTS ({legal}) THEN 'no_open_student' "
        f"WHEN EXISTS ({of_guardian}) THEN 'not_legal' ELSE 'none' END"
    )


HERE = "('open', 'kept')"  # the fates of the pupils who are in a school of the files


def is_seen(account: str) -> str:
    """Return the condition that a person is known in a school of the files, also after the last child has left."""
    return (
        "EXISTS (SELECT 1 FROM known_link t JOIN known_child c ON c.id = t.child AND c.in_scope "
        f"WHERE t.account = {account}.id AND ({account}.is_left OR NOT t.is_ended OR t.closed = 'excluded'))"
    )


def has_access(account_id: str) -> str:
    """Return the condition that an account has a link that is neither closed nor waits for the head."""
    return (
        "EXISTS (SELECT 1 FROM allowed_link l LEFT JOIN known_link t ON t.child = l.child AND t.account = l.account "
        f"WHERE l.account = {account_id} AND l.wait = '' AND coalesce(t.closed, '') = '')"
    )


def register(connection: sqlite3.Connection) -> None:
    """Make the functions known to a connection."""
    for name, arguments, function in (
        ("shares_a_name", 4, _shares_a_name),
        ("same_home", 6, _same_home),
        ("name_key", 2, name_key),
        ("civilities_agree", 2, civilities_agree),
        ("bare_key", 1, _bare_key),
        ("is_namesake", 5, _is_namesake),
        ("decide_new", 3, _decide_new),
        ("decide_same", 2, _decide_same),
        ("decide_new_student", 4, _decide_new_student),
        ("decide_known_student", 8, _decide_known_student),
    ):
        connection.create_function(name, arguments, function, deterministic=True)


def _same_home(*parts: str) -> bool:
    """Return whether two postal addresses are the same home; False if a part is not known.

    An address is its lines as JSON, its postcode and its city. Towns share postcodes and many have the same street, so
    that lines and postcode alone are no proof.
    """
    first, other = ([" ".join(re.findall(r"\w+", fold(part))) for part in lines] for lines in (parts[:3], parts[3:]))
    return all(first) and first == other


def _shares_a_name(given_name: str, family_name: str, known_given_name: str, known_family_name: str) -> bool:
    """Return whether a pupil keeps one of two names: the given name after a marriage, the other after a correction."""
    names = (given_name, family_name), (known_given_name, known_family_name)
    first, other = (Account(given_name=given, family_name=family, birth_name="") for given, family in names)
    return shares_a_name(first, other)


def _bare_key(key: str) -> str:
    return key.rpartition(":")[2]


def _is_namesake(key_kind: str, keeps_child: int, keeps_home: int, is_blank: int, has_children: int) -> bool:
    record = Record(Act.PUT, Ties.NONE, key_kind=KeyKind(key_kind))
    known = Known(
        keeps_child=bool(keeps_child),
        keeps_home=bool(keeps_home),
        is_blank=bool(is_blank),
        has_children=bool(has_children),
    )
    return decide.is_namesake(record, known)


@lru_cache
def _decide_new(act: str, ties: str, key_is_retired: int) -> str:
    return decide.decide(Record(Act(act), Ties(ties), key_is_retired=bool(key_is_retired)), None).value


@lru_cache
def _decide_same(act: str, is_alias: int) -> str:
    return decide.decide(Record(Act(act), Ties.NONE), Known(is_alias=bool(is_alias))).value


@lru_cache
def _decide_new_student(act: str, has_school: int, has_left: int, class_name: str) -> str:
    record = StudentRecord(Act(act), bool(has_school), bool(has_left), ClassName(class_name))
    return decide.decide_student(record, None).value


@lru_cache
def _decide_known_student(act: str, has_school: int, has_left: int, class_name: str, *known: int) -> str:
    """Return the outcome of a record of a known pupil; `known` has the fields of `KnownStudent`."""
    record = StudentRecord(Act(act), bool(has_school), bool(has_left), ClassName(class_name))
    return decide.decide_student(record, KnownStudent(*map(bool, known))).value
