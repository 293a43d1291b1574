"""Compares the names of people of schools' files, and keeps former names of those whom a suspension concerns.

A school file corrects a name without knowing of a suspension. Another file may still have the former names, and an
import recognises the person and the pupil under these too.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, or_, select

from idp.accounts.models import Account, Child, Guardianship
from idp.accounts.suspensions.models import FormerPupilName, KeptSuspension, Suspension
from idp.accounts.suspensions.traces import Names, Traces
from idp.clock import now
from idp.db import db
from idp.person_names import PARTICLES, civility, words

_FIELDS = ("civility", "given_name", "family_name", "birth_name")


def same_person(first: Account, second: Account) -> bool:
    """Return whether the given names agree, and a family name (usual or birth) of one is a family name of the other.

    Case, accents, apostrophes and spaces do not count. One file may have more given names than the other, and a family
    name may be a part of a double one. Jean-Pierre is not Jean-Paul, nor M. Dominique Mme Dominique. Names that do not
    agree may still be one person's: the school decides.
    """
    if first.profile is not second.profile or civilities_differ(first, second):
        return False
    return _same_given_name(first.given_name, second.given_name) and shares_a_family_name(first, second)


def shares_a_name(first: Account, second: Account) -> bool:
    """Return whether the given name or a family name agrees: enough for a pupil's key, not for a guardian's account."""
    return _same_given_name(first.given_name, second.given_name) or shares_a_family_name(first, second)


def shares_a_family_name(first: Account, second: Account) -> bool:
    """Return whether a family name (usual or birth) of one person is a family name of the other, or a part of it."""
    return any(_is_part(mine, theirs) for mine in _family_names(first) for theirs in _family_names(second))


def digested(person: Account) -> Names:
    """Return the names of an account as they are compared with those of suspended people."""
    given, family = (person.given_name, person.first_given_name or ""), (person.family_name, person.birth_name or "")
    return Names.of(title=person.civility or "", given=given, family=family)


def keep_former_names(corrected: Mapping[uuid.UUID, Mapping[str, Any]]) -> None:
    """Keep the present names of accounts with what suspends them, before the names change.

    Args:
        corrected: the new values by account; a field that is not there stays.
    """
    held = (
        select(Suspension, *(getattr(Account, field) for field in _FIELDS))
        .join(Account, Account.id == Suspension.account_id)
        .where(Suspension.account_id.in_(corrected), Suspension.where_holding(now()))
    )
    for row, *names in db.session.execute(held).all():
        present, new = [name or "" for name in names], corrected[row.account_id]
        changes = any((new.get(field, name) or "") != name for field, name in zip(_FIELDS, present, strict=True))
        if changes and present not in row.former_names:
            row.former_names = [*row.former_names, present]


def former_names_of(account_id: uuid.UUID) -> list[list[str]]:
    """Return the names that are kept with the decisions about an account, for a further decision."""
    rows = db.session.scalars(
        select(Suspension.former_names)
        .where(Suspension.account_id == account_id)
        .order_by(Suspension.begins_at, Suspension.id)
    )
    return _each_once(names for row in rows for names in row)


def add_former_names(account_id: uuid.UUID, names: Iterable[list[str]]) -> None:
    """Keep further names of a person with what suspends the person, such as those of another account."""
    held = select(Suspension).where(Suspension.account_id == account_id, Suspension.where_holding(now()))
    kept = list(names)
    for row in db.session.scalars(held.execution_options(populate_existing=True)).all():
        row.former_names = _each_once([*row.former_names, *kept])


def names_of(account: Account) -> list[str]:
    """Return the present names of a person as `former_names` has them."""
    return [getattr(account, field) or "" for field in _FIELDS]


def keep_former_pupil_names(corrected: Mapping[uuid.UUID, tuple[str, str]]) -> None:
    """Keep the present names of the pupils whom a suspension concerns, before the names change.

    Args:
        corrected: the new given name and family name by pupil.
    """
    concerned = select(Child.id, Child.given_name, Child.family_name).where(
        Child.id.in_(corrected), concerns_pupil(Child.id, now())
    )
    rows = db.session.execute(concerned).all()
    changed = [row for row in rows if (row.given_name, row.family_name) != corrected[row.id]]
    known = _names_of_pupils([row.id for row in changed])
    for key, given_name, family_name in changed:
        if (given_name, family_name) not in known.get(key, ()):
            row = FormerPupilName(id=uuid.uuid4(), child_id=key, given_name=given_name, family_name=family_name)
            db.session.add(row)


def concerns_pupil(child_id: Any, moment: datetime) -> ColumnElement[bool]:
    """Return the condition that a suspension holds, or a guardian waits, for a column with a pupil's id."""
    of_tie = exists().where(Suspension.child_id == child_id, Suspension.where_holding(moment))
    of_account = exists().where(
        Guardianship.child_id == child_id,
        Suspension.account_id == Guardianship.account_id,
        Suspension.child_id.is_(None),
        Suspension.where_holding(moment),
    )
    of_erased = exists().where(KeptSuspension.child_id == child_id, KeptSuspension.where_holding(moment))
    tables = Suspension, Guardianship, KeptSuspension
    return or_(*(held.correlate_except(*tables) for held in (of_tie, of_account, of_erased)))


def traces_of_pupils(children: Iterable[Child]) -> dict[uuid.UUID, Traces]:
    """Return what recognises pupils under their present names and the former ones, by their ids."""
    present = {child.id: (child.given_name, child.family_name) for child in children}
    former = _names_of_pupils(present)
    return {
        key: Traces.of(
            Names.of(given=[given_name], family=[family_name])
            for given_name, family_name in [names, *former.get(key, ())]
        )
        for key, names in present.items()
    }


def digests_of(account: Account, decisions: Iterable[Suspension]) -> list[Names]:
    """Return the present names of a suspended person, and those kept with decisions about the person."""
    kept = {tuple(names) for row in decisions for names in row.former_names}
    former = [
        Names.of(title=civility, given=[given_name], family=[family_name, birth_name])
        for civility, given_name, family_name, birth_name in sorted(kept)
    ]
    return [digested(account), *former]


def traces_of(account: Account, decisions: Iterable[Suspension]) -> Traces:
    """Return what recognises a suspended person under the present names and the former ones."""
    return Traces.of(digests_of(account, decisions))


def civilities_differ(first: Account, second: Account) -> bool:
    """Return whether both civilities are known and differ."""
    return len({civility(first.civility or ""), civility(second.civility or "")} - {""}) > 1


def _same_given_name(first: str, second: str) -> bool:
    """Return whether one given name equals or begins the other: « Anne » and « Anne Marie », not « Anne-Marie »."""
    if words(first) and words(first) == words(second):
        return True
    ours, theirs = (["".join(words(part)) for part in name.split()] for name in (first, second))
    shared = min(len(ours), len(theirs))
    return shared > 0 and all(ours) and all(theirs) and ours[:shared] == theirs[:shared]


def _is_part(first: frozenset[str], second: frozenset[str]) -> bool:
    """Return whether one name contains the other; a particle alone (« de ») does not count."""
    shorter = min(first, second, key=len)
    return (first <= second or second <= first) and not shorter <= PARTICLES


def _family_names(account: Account) -> Iterator[frozenset[str]]:
    for name in (account.family_name, account.birth_name):
        if parts := words(name):
            yield frozenset(parts)


def _names_of_pupils(child_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[tuple[str, str]]]:
    rows = db.session.scalars(select(FormerPupilName).where(FormerPupilName.child_id.in_(sorted(child_ids))))
    names: dict[uuid.UUID, list[tuple[str, str]]] = {}
    for row in rows.all():
        names.setdefault(row.child_id, []).append((row.given_name, row.family_name))
    return names


def _each_once(names: Iterable[list[str]]) -> list[list[str]]:
    return [list(kept) for kept in dict.fromkeys(map(tuple, names))]
