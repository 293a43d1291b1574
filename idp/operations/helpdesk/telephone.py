"""Notes what a person says on the telephone: « Ce n’est pas mon enfant »."""

import uuid

from sqlalchemy import select

from idp.accounts import directory, notices, school_notices
from idp.accounts.models import Account, Guardianship, School, SchoolNotice
from idp.accounts.notices import Notice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.clock import now
from idp.db import db, unit_of_work
from idp.operations.helpdesk.acts import RefusedError
from idp.sessions import closing


@unit_of_work()
def note_not_guardian(account_id: uuid.UUID, child_id: uuid.UUID, school: School) -> uuid.UUID:
    """Open a dispute about a tie as the person's own answer does (`sessions.closing`); return the school's notice.

    Nobody knows who calls, so a mail tells the account's owner. The same call twice, as by a double click, is one.

    Raises:
        RefusedError: there is no such tie to a pupil of the school, or it does not hold any more.
    """
    account = directory.get_for_change(account_id)
    tie = db.session.get(Guardianship, (account_id, child_id), populate_existing=True)
    if account is None or tie is None or tie.child.school_id != school.id:
        raise RefusedError("there is no such tie to a pupil of the school")
    if not tie.is_disputed:
        if not may_be_disputed(account, tie):
            raise RefusedError("the tie does not hold any more")
        closing.dispute(account.id, [tie.child], taken_by=log.current_origin().actor)
        notices.tell(Notice.DISPUTED, account.id, school=str(school.id))
        db.session.flush()
    notice = db.session.scalar(
        select(SchoolNotice.id).where(
            SchoolNotice.account_id == account_id,
            SchoolNotice.school_id == school.id,
            school_notices.is_open([Kind.NOT_GUARDIAN]),
        )
    )
    if notice is None:
        raise RefusedError("the notice about the tie is settled")
    return notice


def may_be_disputed(account: Account, tie: Guardianship) -> bool:
    """Return whether a person may say of a tie that it is wrong: it holds, and the pupil is there."""
    return account.merged_into_id is None and tie.holds_at(now()) and tie.child.left_at is None
