"""Answers the questions to the head about a guardian who is new, returns, or has a corrected name."""

import uuid
from hashlib import sha256

from sqlalchemy import select

from idp.accounts import closing_acts, directory, school_notices
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db, unit_of_work
from idp.families import closing
from idp.families.acts import settle_notice
from idp.families.closing import Decision
from idp.families.refusals import Code, RefusedError


def pupils_asked(notice: SchoolNotice) -> str:
    """Return a digest of the pupils that an answer to the notice is about, and of the last answer, for its page."""
    if notice.kind == Kind.GUARDIAN_WAITS.value:
        keys = {str(row.child_id) for row in closing_acts.waits_of(notice.account_id, notice.school_id, now())}
    else:
        keys = set(notice.child_ids)
    return sha256(" ".join([*sorted(keys), str(notice.settled_at or "")]).encode()).hexdigest()


@unit_of_work()
def admit(notice_id: uuid.UUID, reason: str, seen: str | None = None) -> None:
    """Decide that a guardian who waits is not the closed person: reopen the ties and settle the notice.

    Args:
        notice_id: the notice.
        reason: what was found and done.
        seen: the `pupils_asked` of the page on which a person answered; None answers for all pupils that there are.

    Raises:
        RefusedError: there is no such notice, somebody else has settled it (`SETTLED`), or an import has added pupils
            that the person has not seen (`QUESTION_CHANGED`).
    """
    notice, account, moment = *_of_notice(notice_id, seen), now()
    for row in closing_acts.waits_of(account.id, notice.school_id, moment):
        closing.end(account, row, reason, moment)
    settle_notice(notice_id, reason)


@unit_of_work()
def keep_out(notice_id: uuid.UUID, reason: str, seen: str | None = None) -> None:
    """Decide that a guardian who waits is the closed person: close the ties and settle the notice; see `admit`.

    Raises:
        RefusedError: as for `admit`.
    """
    notice, account, moment = *_of_notice(notice_id, seen), now()
    school = db.session.get_one(School, notice.school_id)
    for row in closing_acts.waits_of(account.id, notice.school_id, moment):
        row.ended_at, row.ended_by = moment, closing.REPLACED
        closing.decide_again(account, Decision(reason=reason, child=row.child_id, school=school), moment)
    settle_notice(notice_id, reason)


@unit_of_work()
def close(notice_id: uuid.UUID, reason: str, seen: str | None = None) -> None:
    """Decide that a guardian who has access shall not have it: close the ties and settle the notice.

    The name of the guardian was corrected to that of a closed person, or a file added the guardian beside an active
    one. A tie that has ended meanwhile gives no access, and needs no closing.

    Raises:
        RefusedError: as for `admit`, or a pupil is in another school now.
    """
    notice, account = _of_notice(notice_id, seen)
    school = db.session.get_one(School, notice.school_id)
    settle_notice(notice_id, reason)
    tied = _tied_pupils(account.id)
    for child in school_notices.children_of([notice])[notice_id]:
        if child.id in tied:
            closing.decide(account.id, Decision(reason=reason, child=child.id, school=school))


def _of_notice(notice_id: uuid.UUID, seen: str | None) -> tuple[SchoolNotice, Account]:
    """Return a notice and the account that it is about, whose row is locked, so that no import adds a pupil."""
    notice = db.session.get(SchoolNotice, notice_id)
    account = directory.get_for_change(notice.account_id) if notice else None
    if notice is None or account is None:
        raise RefusedError(Code.CHANGED)
    db.session.refresh(notice)
    if seen is not None and notice.settled_at is None and seen != pupils_asked(notice):
        raise RefusedError(Code.QUESTION_CHANGED)
    return notice, account


def _tied_pupils(account_id: uuid.UUID) -> set[uuid.UUID]:
    """Return the pupils to whom the account, which the caller has locked, has a tie that can be closed."""
    ties = select(Guardianship.child_id).join(Child, Child.id == Guardianship.child_id)
    mine = ties.where(Guardianship.account_id == account_id, directory.concerns_its_school())
    return set(db.session.scalars(mine))
