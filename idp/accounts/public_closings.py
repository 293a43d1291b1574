"""Says what a closed person may learn of it: since when, until when, and whom to ask, but no reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from idp.accounts import directory
from idp.accounts.closings import Closing
from idp.accounts.models import Account, Child, Guardianship, School
from idp.clock import now
from idp.db import db


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
