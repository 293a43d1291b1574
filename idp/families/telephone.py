"""Notes what a person says on the telephone: « Ce n’est pas mon enfant »."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from idp.accounts import directory, notices, school_notices
from idp.accounts.closings import Kind as ClosingKind
from idp.accounts.models import Account, Guardianship, School, SchoolNotice
from idp.accounts.notices import Notice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.clock import now
from idp.db import db, unit_of_work
from idp.families.refusals import Code, RefusedError
from idp.sessions import closing

REST = timedelta(days=7)
"""How long after the answer to a call no other call about the same tie is noted, except by the head."""


@dataclass(frozen=True)
class Noted:
    """A call: the school's notice, and whether the call closed the tie."""

    notice: uuid.UUID
    is_news: bool


@unit_of_work()
def note_not_guardian(
    account_id: uuid.UUID, child_id: uuid.UUID, school: School, *, may_repeat: bool, call: str = ""
) -> Noted:
    """Open a dispute about a tie as the person's own answer does (`sessions.closing`).

    Nobody knows who calls, so a mail tells the account's owner. The same call twice, as by a double click, is one. A
    further call about a tie that a call disputed adds who took it, since no taker confirms a call.

    Args:
        account_id: the person's account.
        child_id: the pupil.
        school: the pupil's school.
        may_repeat: whether the call may follow another one about the tie within `REST`.
        call: who called and what they said, for the journal.

    Raises:
        RefusedError: there is no such tie to a pupil of the school, it does not hold any more, or `CALLED_LATELY`.
    """
    account = directory.get_for_change(account_id)
    tie = db.session.get(Guardianship, (account_id, child_id), populate_existing=True)
    if account is None or tie is None or tie.child.school_id != school.id:
        raise RefusedError(Code.TIE_NOT_HOLDING)
    is_news = not (tie.is_unended and tie.is_closed_as(ClosingKind.DISPUTED))
    if is_news:
        if not may_be_disputed(account, tie):
            raise RefusedError(Code.TIE_NOT_HOLDING)
        if not may_repeat and _is_called_lately(tie, school):
            raise RefusedError(Code.CALLED_LATELY)
        closing.dispute(account.id, [tie.child], taken_by=log.current_origin().actor, call=call)
        notices.tell(Notice.DISPUTED, account.id, school=str(school.id))
        db.session.flush()
    notice = db.session.scalar(
        select(SchoolNotice).where(
            SchoolNotice.account_id == account_id,
            SchoolNotice.school_id == school.id,
            school_notices.is_open([Kind.NOT_GUARDIAN]),
        )
    )
    if notice is None:
        raise RefusedError(Code.TIE_NOT_HOLDING)
    if notice.taken_by:
        school_notices.note_taker(notice, log.current_origin().actor)
    return Noted(notice.id, is_news)


def _is_called_lately(tie: Guardianship, school: School) -> bool:
    """Return whether the school answered a call about the tie within `REST`."""
    answered = select(SchoolNotice.child_ids, SchoolNotice.taken_by).where(
        SchoolNotice.account_id == tie.account_id,
        SchoolNotice.school_id == school.id,
        SchoolNotice.kind == Kind.NOT_GUARDIAN.value,
        SchoolNotice.settled_at > now() - REST,
    )
    calls = [keys for keys, takers in db.session.execute(answered) if takers]
    return any(not keys or tie.child_id.hex in keys for keys in calls)


def may_be_disputed(account: Account, tie: Guardianship) -> bool:
    """Return whether a person may say of a tie that it is wrong: it holds, and the pupil is there."""
    return account.merge is None and tie.holds_at(now()) and tie.child.left_at is None
