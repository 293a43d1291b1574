"""Registers the Python functions that the statements on the staging database call."""

import re
import sqlite3
from functools import lru_cache

from idp.accounts.directory import name_key
from idp.accounts.merging.same_person import shares_a_name
from idp.accounts.models import Account
from idp.folding import fold
from idp.rostering.reconcile import decide
from idp.rostering.reconcile.continuity import civilities_agree
from idp.rostering.reconcile.decide import ClassName, KeyKind, Known, KnownStudent, Record, StudentRecord, Ties
from idp.rostering.records import Act


def register(connection: sqlite3.Connection) -> None:
    """Make the functions known to a connection."""
    for name, arguments, function in (
        ("shares_a_name", 4, _shares_a_name),
        ("same_home", 6, same_home),
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


def same_home(*parts: str) -> bool:
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
    """Return the number or digest at the end of a key."""
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
    """Return the outcome of a record without account."""
    return decide.decide(Record(Act(act), Ties(ties), key_is_retired=bool(key_is_retired)), None).value


@lru_cache
def _decide_same(act: str, is_alias: int) -> str:
    """Return the outcome of a record that has the names of its account."""
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
