"""A school's answer about a letter that a parent added to the account, or wanted to add: one person, or two.

Each answer is one transaction. It locks both accounts in the order of their ids, as adding the letter does: of two
answers at once, or of an answer and a further try of the parent, the second sees what the first did.
"""

import uuid
from collections.abc import Sequence

from sqlalchemy import select

from idp.accounts import directory, merging, notices, school_notices
from idp.accounts.closings import Closing
from idp.accounts.models import Account, SchoolNotice
from idp.accounts.notices import Notice
from idp.accounts.school_notices import Refusal
from idp.audit import log
from idp.audit.events import LetterUnlinked
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.families import admission, closing
from idp.families.acts import OPERATOR
from idp.families.closing import Decision
from idp.families.refusals import Code, RefusedError
from idp.oidc.logout import back_channel
from idp.rostering.write import leavers
from idp.sessions import manager


@unit_of_work()
def decide(settings: Settings, notice_id: uuid.UUID, reason: str, seen: str, *, is_one_person: bool) -> None:
    """Settle a notice about a letter: merge the two accounts unless they are merged, or separate them if they are.

    `seen` is the `admission.pupils_asked` of the page: a settled notice is answered only by who saw that it is settled.

    Raises:
        RefusedError: somebody else has just answered (`SETTLED`), or an account is not any more what it was.
    """
    notice = db.session.get(SchoolNotice, notice_id)
    mine, other = _locked(notice.other_account_id, notice.account_id) if notice else (None, None)
    if notice is None or other is None:
        raise RefusedError(Code.GONE)
    db.session.refresh(notice)
    if seen != admission.pupils_asked(notice):
        raise RefusedError(Code.SETTLED)
    merged_into = mine if mine is not None and other.merge is not None and other.merge.into_id == mine.id else None
    refusal = school_notices.settle_one(notice_id, by=log.current_origin().actor, sentence=reason)
    if refusal is not None and (is_one_person or merged_into is None):
        raise RefusedError(Code.SETTLED if refusal is Refusal.SETTLED else Code.CHANGED)
    if merged_into is not None and not is_one_person:
        _separate(merged_into, other, reason)
    elif is_one_person and merged_into is None:
        if mine is None or not _can_be_merged(mine, other):
            raise RefusedError(Code.CHANGED)
        merging.merge(settings, mine, other, notice)


@unit_of_work()
def unlink(account_id: uuid.UUID, reason: str) -> None:
    """Separate an account from the one into which it was merged.

    Raises:
        RefusedError: it is not merged into another account.
    """
    merged = db.session.get_one(Account, account_id)
    mine, other = _locked(merged.merge.into_id if merged.merge else None, account_id)
    if mine is None or other is None or other.merge is None or other.merge.into_id != mine.id:
        raise RefusedError(Code.NOT_MERGED, name=merged.username)
    _separate(mine, other, reason)


def _locked(mine_id: uuid.UUID | None, other_id: uuid.UUID) -> tuple[Account | None, Account | None]:
    rows = {key: directory.get_for_change(key) for key in sorted({key for key in (mine_id, other_id) if key})}
    return rows[mine_id] if mine_id else None, rows[other_id]


def _can_be_merged(mine: Account, other: Account) -> bool:
    if mine.activated_at is None or other.activated_at is not None:
        return False
    are_enabled = mine.is_enabled_at(now()) and other.is_enabled_at(now())
    return are_enabled and not (mine.is_barred or other.has_disputed_tie)


def _separate(mine: Account, other: Account, reason: str) -> None:
    """Give the letter's account its children back, have their ENTs sign `mine` out, and tell it by mail.

    What their schools, or the académie, closed as one account since the merge is closed for both people.
    """
    if mine.merge is not None:
        raise RefusedError(Code.MERGED_TOO, name=mine.username)
    closings = _closings_since_merge(mine, other)
    schools = merging.give_back(mine, other, by=log.current_origin().actor, sentence=reason)
    for school in schools:
        back_channel.announce_closed_tie(mine.id, school)
    for row in closings:
        own = next((school for school in schools if school.id == row.school_id), None)
        if own is not None or row.school_id is None:
            decision = Decision(reason=row.reason, reference=row.reference, until=row.until, school=own)
            closing.decide(other.id, decision)
    for account in (mine, other):
        if leavers.disable_if_childless(account.id, now()):
            manager.end_all(account.id, by=OPERATOR)
    notices.tell(Notice.LETTER_UNLINKED, mine.id, school=str(schools[0].id) if schools else "")
    uais = [school.uai for school in schools]
    log.record(LetterUnlinked(account_id=mine.id, other=str(other.id), uais=uais, reason=reason))


def _closings_since_merge(mine: Account, other: Account) -> Sequence[Closing]:
    """Return the decisions that close the whole account: whichever of the two people they were about is in it."""
    whole = Closing.account_id == mine.id, Closing.child_id.is_(None), Closing.where_decided(now())
    return db.session.scalars(select(Closing).where(*whole, Closing.begun_at > other.disabled_at)).all()
