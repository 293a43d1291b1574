"""Decides whether an account or a tie is suspended at an instant: the one home of that rule.

A row of `Suspension` that nobody has ended closes the account, or its tie to one child, until its own end.
`shut_until` is the last of these ends, as the row was read: `idp.families.suspension` expires it when it writes a
decision.
"""

import uuid
from abc import abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, not_, or_, select
from sqlalchemy.orm import Mapped

from idp.accounts.suspensions.models import Suspension

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
"""The end of a suspension without an end."""


def is_running(shut_until: datetime | None, moment: datetime) -> bool:
    """Return whether a suspension until `shut_until` holds at `moment`. The end is not part of the suspension."""
    return shut_until is not None and shut_until > moment


def last_end(*closed: ColumnElement[bool]) -> Select[datetime | None]:
    """Return the query of the last end of the open rows that meet the conditions `closed`: NULL if there are none."""
    ends = select(func.max(func.coalesce(Suspension.until, FOREVER, type_=Suspension.until.type)))
    return ends.where(Suspension.ended_at.is_(None), *closed).correlate_except(Suspension)


class Suspendable:
    """An account or a tie that can be suspended."""

    if TYPE_CHECKING:  # a property of a query, which `idp.accounts.models` defines
        shut_until: Mapped[datetime | None]

    def is_suspended_at(self, moment: datetime) -> bool:
        """Return whether the row is suspended at `moment`."""
        return is_running(self.shut_until, moment)

    @property
    def announced_end(self) -> datetime | None:
        """The last end of what suspends the row; None if nobody said when it ends."""
        return None if self.shut_until == FOREVER else self.shut_until

    @classmethod
    @abstractmethod
    def closed_by(cls, key: Any = None) -> ColumnElement[bool]:
        """Return the condition of the rows of `Suspension` about this row; `key` stands for an account's id."""

    @classmethod
    def where_suspended(cls, moment: Any, key: Any = None) -> ColumnElement[bool]:
        """Return `is_suspended_at` as a condition."""
        running = or_(Suspension.until.is_(None), Suspension.until > moment)
        return exists().where(cls.closed_by(key), Suspension.ended_at.is_(None), running).correlate_except(Suspension)


class SuspendableAccount(Suspendable):
    """The states of an account in which nobody may use it, except disputes (`idp.accounts.disputes`)."""

    id: Mapped[uuid.UUID]
    disabled_at: Mapped[datetime | None]

    @classmethod
    def closed_by(cls, key: Any = None) -> ColumnElement[bool]:
        """Return the condition of the decisions about the whole account."""
        return and_(Suspension.account_id == (cls.id if key is None else key), Suspension.child_id.is_(None))

    def is_enabled_at(self, moment: datetime) -> bool:
        """Return whether the account is neither disabled nor suspended at `moment`."""
        return self.disabled_at is None and not self.is_suspended_at(moment)

    @classmethod
    def where_enabled(cls, moment: Any, key: Any = None) -> ColumnElement[bool]:
        """Return the same as a condition; `key` is the account's id in a statement that is made as text."""
        return and_(cls.disabled_at.is_(None), not_(cls.where_suspended(moment, key)))


class SuspendableTie(Suspendable):
    """The state of a tie that a decision, or a wait for the head, closes."""

    account_id: Mapped[uuid.UUID]
    child_id: Mapped[uuid.UUID]

    @classmethod
    def closed_by(cls, _key: Any = None) -> ColumnElement[bool]:
        """Return the condition of the decisions about the tie, and of its wait for the head."""
        return and_(Suspension.account_id == cls.account_id, Suspension.child_id == cls.child_id)
