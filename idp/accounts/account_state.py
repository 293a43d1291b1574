"""The state of an account: what decides about a secret, and what a closed person may learn of the closing.

The former is read by the statement that counts the try. The latter is since when, until when, and whom to ask, but no
reason.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, false, or_, select

from idp.accounts import directory
from idp.accounts.closings import Closing, Disputed, is_running
from idp.accounts.models import Account, Child, Guardianship, School
from idp.clock import now
from idp.db import UtcDateTime, db


@dataclass(frozen=True)
class AccountState(Disputed):
    """An account as it was read, without a lock.

    Attributes:
        has_blocked_password, has_signed_in: see `Account`.
        disputes: what is in dispute about it (`closings.kinds_of_disputes`).
        known_device: whether its password was verified on the device of the try since it last changed. The device is
            also unknown if an operator has reset the account's tries since: the device's own counter may be full.

    The others are attributes of the account.
    """

    id: uuid.UUID
    username: str
    generation: int
    disabled_at: datetime | None
    shut_until: datetime | None
    activated_at: datetime | None
    password_hash: str | None
    has_blocked_password: bool
    provisional_hash: str | None
    provisional_expires_at: datetime | None
    has_signed_in: bool
    disputes: str
    known_device: bool

    @classmethod
    def of(cls, row: Row[Any] | None) -> "AccountState | None":
        """Return the state in a row of `by_username`, or None for a row of NULLs."""
        return cls(**{name: getattr(row, name) for name in _NAMES}) if row is not None and row.id else None

    def is_shut_at(self, moment: datetime) -> bool:
        """Return whether the account is closed at `moment`."""
        return is_running(self.shut_until, moment)

    def values(self) -> dict[str, Any]:
        """Return the values of the bind parameters of `is_unchanged`."""
        return {"account": self.id} | {f"was_{name}": getattr(self, name) for name in _DECISIVE}


_NAMES = tuple(field.name for field in fields(AccountState))
_DECISIVE = (
    "generation",
    "disabled_at",
    "shut_until",
    "password_hash",
    "has_blocked_password",
    "has_signed_in",
    "disputes",
)


def by_username(*, with_device: bool) -> Select[Any]:
    """Return the SELECT of the account whose folded identifier is the parameter `username`.

    `with_device`: the parameter `device_since` is the last sign-in on the device of the try; otherwise it has none.
    """
    columns = {name: getattr(Account, name) for name in _NAMES if name != "known_device"}
    columns["known_device"] = _is_known() if with_device else false()
    labelled = (column.label(name) for name, column in columns.items())
    return select(*labelled).where(Account.username == bindparam("username"))


def is_unchanged() -> ColumnElement[bool]:
    """Return the condition that the account is as it was read, in all that decides whether a secret opens a session.

    The present state is not judged: the decision about the state that was read is still right.
    """
    columns = {name: getattr(Account, name) for name in _DECISIVE}
    same = (
        column.is_not_distinct_from(bindparam(f"was_{name}", type_=column.type)) for name, column in columns.items()
    )
    return and_(Account.id == bindparam("account"), *same)


def proved_since(device_since: Any, moment: Any) -> ColumnElement[bool]:
    """Return the condition that a device with a last sign-in at `device_since` proved the password after `moment`."""
    return or_(moment.is_(None), moment < device_since)


def _is_known() -> ColumnElement[bool]:
    since = bindparam("device_since", type_=UtcDateTime())
    return and_(
        Account.disabled_at.is_(None),
        Account.activated_at.is_not(None),
        proved_since(since, Account.password_changed_at),
        Account.tries_counted_since < since,
    )


@dataclass(frozen=True)
class PublicClosing:
    """What a person may learn of a closing.

    Attributes:
        since: its beginning.
        until: its end, or None.
        school: the school to ask, or None if the person may not learn which one it is.
        by_academy: whether the académie decided, and no school.
        child: the child of a closed tie; None for the account.
    """

    since: datetime
    until: datetime | None
    school: School | None
    by_academy: bool
    child: Child | None = None

    def details(self) -> dict[str, str]:
        """Return the values for a mail (`notices.tell`)."""
        until, school = self.until.isoformat() if self.until else "", str(self.school.id) if self.school else ""
        by = "academy" if self.by_academy else "school"
        return {"since": self.since.isoformat(), "until": until, "school": school, "by": by}


def nameable(account: Account, school: School | None) -> School | None:
    """Return the school if the person knows it, by a child or by a letter.

    A pupil whose tie is closed may have come to another school, which the person must not learn.
    """
    keys = {account.letter_school_id, *(known.id for known in directory.schools(account))}
    return school if school is not None and school.id in keys else None


def of_account(account: Account) -> PublicClosing:
    """Return what the person of a closed account learns."""
    return _closing(account, account, _decisions(account, None))


def of_ties(account: Account) -> list[PublicClosing]:
    """Return what a person learns of each tie that a decision closes; nothing of those that wait for the head."""
    moment = now()
    ties = [tie for tie in account.guardianships if tie.is_unended and tie.is_shut_at(moment)]
    decided = [(tie, _decisions(account, tie)) for tie in ties]
    return [_closing(account, tie, rows) for tie, rows in decided if rows]


def _decisions(account: Account, tie: Guardianship | None) -> Sequence[Closing]:
    """Return the decisions about an account or a tie that hold, the last one to end first."""
    rows = select(Closing).where(
        Closing.account_id == account.id,
        Closing.child_id.is_not_distinct_from(tie.child_id if tie else None),
        Closing.where_decided(now()),
    )
    ends_last = (Closing.until.is_(None).desc(), Closing.until.desc())
    return db.session.scalars(rows.order_by(*ends_last, Closing.begun_at)).all()


def _closing(account: Account, held: Account | Guardianship, rows: Sequence[Closing]) -> PublicClosing:
    school = db.session.get(School, rows[0].school_id) if rows and rows[0].school_id else None
    return PublicClosing(
        min((row.begun_at for row in rows), default=now()),
        held.announced_end,
        nameable(account, school),
        by_academy=bool(rows) and school is None,
        child=held.child if isinstance(held, Guardianship) else None,
    )
