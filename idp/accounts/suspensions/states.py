"""Decides whether an account or a tie is suspended at an instant: the one home of that rule.

Two columns hold the state, so that no statement has to read the table `suspension`: `suspended_at` is set while the row
is suspended, and `suspended_until` is the instant at which that ends by itself, or empty. Only
`idp.families.suspension` writes them, and `idp.rostering.write.ties`, where a tie begins to wait for the
head: a file adds it or names it again, or a file or the school corrects a name.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, not_, or_
from sqlalchemy.orm import Mapped


def is_running(since: datetime | None, until: datetime | None, moment: datetime) -> bool:
    """Return whether a suspension from `since` until `until`, or without an end, holds at `moment`."""
    return since is not None and (until is None or until > moment)


class Suspendable:
    """The state of a row that can be suspended."""

    suspended_at: Mapped[datetime | None]
    suspended_until: Mapped[datetime | None]

    def is_suspended_at(self, moment: datetime) -> bool:
        """Return whether the row is suspended at `moment`. The end is not part of the suspension."""
        return is_running(self.suspended_at, self.suspended_until, moment)

    @classmethod
    def where_suspended(cls, moment: Any) -> ColumnElement[bool]:
        """Return the same as a condition."""
        return and_(cls.suspended_at.is_not(None), or_(cls.suspended_until.is_(None), cls.suspended_until > moment))


class SuspendableAccount(Suspendable):
    """The states of an account in which nobody may use it, except disputes (`idp.accounts.disputes`)."""

    disabled_at: Mapped[datetime | None]

    def is_enabled_at(self, moment: datetime) -> bool:
        """Return whether the account is neither disabled nor suspended at `moment`."""
        return self.disabled_at is None and not self.is_suspended_at(moment)

    @classmethod
    def where_enabled(cls, moment: Any) -> ColumnElement[bool]:
        """Return the same as a condition."""
        return and_(cls.disabled_at.is_(None), not_(cls.where_suspended(moment)))
