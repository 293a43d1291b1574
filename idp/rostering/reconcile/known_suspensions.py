"""Reads whose access is suspended, and the ties that a corrected name may make those of a suspended person."""

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, not_, select

from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.same_person import traces_of, traces_of_pupils
from idp.accounts.suspensions import kept as kept_suspensions
from idp.accounts.suspensions.models import Suspension
from idp.accounts.suspensions.traces import Names, Traces
from idp.clock import now
from idp.db import db, one_of
from idp.rostering.reconcile.staging import Staging

_Row = tuple[Child | None, str | None, str, Traces]


class SuspendedPerson(NamedTuple):
    """A person whose account or tie is suspended, with one pupil.

    `uai` is the pupil's school and `pupil` has the pupil's names, also those before a correction. `child` is empty if
    the pupil's row was removed. A suspended account without ties has neither, and a person of a kept suspension has no
    account.
    """

    uai: str
    child: str
    pupil: Traces
    account: str
    traces: Traces


class _Excluded(NamedTuple):
    child: str
    account: str
    civility: str
    given_name: str
    family_name: str
    birth_name: str


_EXCLUDED = (
    "SELECT t.child, t.account, coalesce(k.civility, '') AS civility, k.given_name, k.family_name, "
    "coalesce(k.birth_name, '') AS birth_name FROM known_link t JOIN known_account k ON k.id = t.account "
    "WHERE t.is_excluded"
)


class OpenTie(NamedTuple):
    """A tie that gives access, with its pupil's school, and the names of the pupil and of the guardian.

    `pupil` has the family name and the given name; `person` the civility, the given, the family and the birth name.
    `is_activated` says whether the person has activated the account.
    """

    account: str
    key: str
    child: str
    uai: str
    pupil: tuple[str, str]
    person: tuple[str, str, str, str]
    is_activated: bool


def suspended_people(secrets: Sequence[bytes]) -> list[SuspendedPerson]:
    """Return all people of whom a school suspended the account or a tie.

    People who were erased since count too. So do ended ties: a suspension must not end because a pupil left the file
    for one day.

    Raises:
        UndecryptableError: no secret key decrypts the traces of an erased person.
    """
    kept = list(kept_suspensions.holding(secrets, now()))
    keys = sorted({tie.child_id for tie in kept if tie.child_id})
    children = select(Child, School.uai).join(School).where(one_of(Child.id, keys))
    pupils = {child.id: (child, uai) for child, uai in _all(children)} if keys else {}
    # a purge may have removed a pupil since the first statement
    erased = [(*pupils[tie.child_id], "", tie.person) for tie in kept if tie.child_id in pupils]
    rows = [*_suspended_accounts(), *erased]
    names = traces_of_pupils(child for child, *_ in rows if child)
    left = [SuspendedPerson(tie.uai, "", tie.pupil, "", tie.person) for tie in kept if tie.child_id is None]
    return left + [
        SuspendedPerson(
            uai or "", child.id.hex if child else "", names[child.id] if child else Traces.of(()), account, traces
        )
        for child, uai, account, traces in rows
    ]


def excluded_people(staging: Staging) -> list[SuspendedPerson]:
    """Return the people of whom the school confirmed that they are not the guardian of a pupil, without the school."""
    return _excluded(list(staging.rows(_Excluded, _EXCLUDED)))


def excluded_from(children: Sequence[str]) -> list[SuspendedPerson]:
    """Return the same of some pupils, as the database has them now."""
    rows = _all(
        select(Account, Guardianship.child_id)
        .join(Guardianship, Guardianship.account_id == Account.id)
        .where(one_of(Guardianship.child_id, [uuid.UUID(key) for key in children]), Guardianship.is_excluded)
    )
    return _excluded(
        [
            _Excluded(
                child_id.hex, row.id.hex, row.civility or "", row.given_name, row.family_name, row.birth_name or ""
            )
            for row, child_id in rows
        ]
    )


def _excluded(rows: Sequence[_Excluded]) -> list[SuspendedPerson]:
    names = (Names.of("", row.civility, [row.given_name], [row.family_name, row.birth_name]) for row in rows)
    nobody = Traces.of(())
    return [
        SuspendedPerson("", row.child, nobody, row.account, Traces.of([name]))
        for row, name in zip(rows, names, strict=True)
    ]


def _suspended_accounts() -> list[_Row]:
    # a guardian who waits for the head is not excluded yet
    decided = [row for (row,) in _all(select(Suspension).where(Suspension.where_decided(now())))]
    closed = {(row.account_id, row.child_id) for row in decided}
    if not closed:
        return []
    decisions: dict[uuid.UUID, list[Suspension]] = {}
    for row in decided:
        decisions.setdefault(row.account_id, []).append(row)
    ties = _all(
        select(Account, Child, School.uai)
        .outerjoin(Guardianship, Guardianship.account_id == Account.id)
        .outerjoin(Child, Child.id == Guardianship.child_id)
        .outerjoin(School, School.id == Child.school_id)
        .where(one_of(Account.id, sorted({account for account, _ in closed})))
    )
    traces = {account.id: traces_of(account, decisions[account.id]) for account in {account for account, _, _ in ties}}
    return [
        (child, uai, account.id.hex, traces[account.id])
        for account, child, uai in ties
        if not closed.isdisjoint({(account.id, child.id if child else None), (account.id, None)})
    ]


def open_ties(*, accounts: Sequence[str] = (), children: Sequence[str] = ()) -> list[OpenTie]:
    """Return the ties of some accounts, or of some pupils, that are neither ended nor suspended."""
    keys, ids = (Guardianship.account_id, accounts) if accounts else (Guardianship.child_id, children)
    rows = _all(
        select(Account, Child, School.uai)
        .join(Guardianship, Guardianship.account_id == Account.id)
        .join(Child, Child.id == Guardianship.child_id)
        .join(School, School.id == Child.school_id)
        .where(
            one_of(keys, [uuid.UUID(key) for key in ids]),
            Guardianship.is_unended,
            not_(Guardianship.where_suspended(now())),
        )
    )
    return [
        OpenTie(
            account.id.hex,
            account.roster_key or "",
            child.id.hex,
            uai,
            (child.family_name, child.given_name),
            (account.civility or "", account.given_name, account.family_name, account.birth_name or ""),
            account.activated_at is not None,
        )
        for account, child, uai in rows
    ]


def _all(statement: Select[*tuple[Any, ...]]) -> Sequence[Any]:
    return db.session.execute(statement).all()
