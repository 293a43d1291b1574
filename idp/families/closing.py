"""Closes an account, or its tie to one child, and reopens what was closed: one transaction with its journal entry.

Each decision is a row (`Closing`). Decisions of several schools may hold at once; the state of the account or of the
tie (`idp.accounts.closings`) is that of the decision that ends last. A closing with an end needs no job:
the end is part of the condition.

A closed account signs in nowhere, and everything issued before is refused for ever. A closed tie does not hold:
the child is in no claim, and an ENT that serves no other child of the person is closed. All ENTs of the child's school
get a sign-out, so that none shows the child until the end of its own session.

A mail tells the person of a closed account, without the reason: other people may read the mailbox. Another one tells
that the account is open again before the time. A mail about a closed tie names no child: other people may read it.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select, true

from idp.accounts import closing_acts, directory, notices, school_notices
from idp.accounts.account_state import PublicClosing, nameable
from idp.accounts.closings import Closing, Wait
from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.notices import Notice
from idp.audit import log
from idp.audit.data_events import AccessClosed, AccessReopened, GuardianAdmitted
from idp.clock import now
from idp.db import db, unit_of_work
from idp.families.acts import OPERATOR
from idp.families.refusals import Code, RefusedError
from idp.oidc.logout import back_channel
from idp.rostering.write.ties import REASONS
from idp.sessions import manager
from idp.throttle import guard, limits
from idp.throttle.guard import Wait as Waiting

LONGEST_OF_ACADEMY = timedelta(hours=24)
"""How long the académie may close an account at most; a school alone decides about more."""
LONGEST = timedelta(days=5 * 366)
REST_OF_ACADEMY = timedelta(days=7)
"""How long after its decision began the académie may not close the same account again: the school decides meanwhile."""
REPLACED = "replaced"
"""Who ended a decision or a wait of which another decision took the place."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A decision to close.

    Attributes:
        reason: the sentence for the journal.
        reference: the document that the decision rests on, such as a judgement. If it is empty, the document of the
            decision that holds about the same access stays.
        until: the instant at which the closing ends by itself, or None.
        child: the child of the only tie that is closed, or None for the whole account.
        school: the school that decides, or None for the académie.
    """

    reason: str
    reference: str = ""
    until: datetime | None = None
    child: uuid.UUID | None = None
    school: School | None = None


def holding(account_id: uuid.UUID, school: School | None) -> Sequence[Closing]:
    """Return what closes an account or a tie of it now, by a decision of `school` or of anybody, the youngest first."""
    rows = select(Closing).where(
        Closing.account_id == account_id,
        Closing.where_holding(now()),
        Closing.school_id == school.id if school else true(),
    )
    return db.session.scalars(rows.order_by(Closing.begun_at.desc(), Closing.id)).all()


def close_for_a_day(account_id: uuid.UUID, reason: str, reference: str) -> Closing:
    """Close a whole account for the académie, for `LONGEST_OF_ACADEMY`.

    While such a decision holds, it is not prolonged: its row is returned. Days cannot be strung together either.

    Raises:
        RefusedError: the account is gone or was merged into another one, the académie closed it within
            `REST_OF_ACADEMY`, or the person closed as many accounts as one may.
        RuntimeError: a unit of work is open.
    """
    counted = limits.ACADEMY_CLOSING, log.current_origin().actor
    if isinstance(guard.take(*counted), Waiting):
        raise RefusedError(Code.TOO_MANY_CLOSINGS)
    try:
        until = now() + LONGEST_OF_ACADEMY
        return close(account_id, Decision(reason=reason, reference=reference, until=until), prolongs=False)
    except RefusedError:
        guard.settle_success(counted)
        raise


def is_closed_lately(account_id: uuid.UUID, school_id: uuid.UUID | None, moment: datetime) -> bool:
    """Return whether such a decision began within `REST_OF_ACADEMY`; `school_id` is None for the académie."""
    lately = select(Closing.id).where(
        Closing.account_id == account_id,
        Closing.child_id.is_(None),
        Closing.school_id.is_not_distinct_from(school_id),
        Closing.begun_at > moment - REST_OF_ACADEMY,
    )
    return db.session.scalar(lately.limit(1)) is not None


def _any(_row: Closing) -> bool:
    return True


def decide(
    account_id: uuid.UUID,
    decision: Decision,
    *,
    prolongs: bool = True,
    may_end: Callable[[Closing], bool] = _any,
) -> Closing:
    """Close an account or one of its ties in the caller's transaction; return the decision's row.

    A decision of the same school that does not end later is replaced if this one `prolongs` it and the operator
    `may_end` it; if not, both hold. The same decision twice, as by a double click, is one: the row of the first is
    returned. A tie that waits for the head waits no more if this decision has no end and the operator may end the wait;
    otherwise it waits again at the end.

    Args:
        account_id: the account.
        decision: what is decided.
        prolongs: whether the decision takes the place of one that holds.
        may_end: whether the operator may end a decision, or a wait.

    Raises:
        RefusedError: there is no such account or tie, or a decision of the same school ends later.
    """
    account, moment = directory.get_for_change(account_id), now()
    if account is None:
        raise RefusedError(Code.GONE)
    _check(account, decision, moment)
    tie, named = _tie(account, decision) if decision.child else None, nameable(account, decision.school)
    formers = _of_the_same(account, decision, moment)
    decision = replace(decision, reference=decision.reference or _document(formers))
    for former in formers:
        if not prolongs or _is_the_same(former, decision):
            return former
    if not prolongs:
        _check_rested(account, decision, moment)
    for former in formers:
        _check_longer(former, decision)
        if may_end(former):
            former.ended_at, former.ended_by = moment, REPLACED
    row = _row(account, decision, moment)
    db.session.add(row)
    db.session.flush()
    closing_acts.refresh(account.id)
    _tell(account, tie, PublicClosing(moment, decision.until, named, by_academy=decision.school is None))
    row.sessions_ended = _close(account) if tie is None else _close_ents(account, tie)
    _record(row, decision, formers)
    if decision.school is not None and decision.child is not None and decision.until is None:
        _stop_waiting(account, decision.school, row, may_end)
    return row


close = unit_of_work()(decide)
"""`decide` in a transaction of its own. Raises RuntimeError in a unit of work."""


def _document(formers: Sequence[Closing]) -> str:
    return next((former.reference for former in formers if former.reference), "")


def _is_the_same(former: Closing, decision: Decision) -> bool:
    """Return whether a decision says what a former one of the same school about the same access says."""
    return (former.until, former.reason, former.reference) == (decision.until, decision.reason, decision.reference)


def _stop_waiting(account: Account, school: School, decided: Closing, may_end: Callable[[Closing], bool]) -> None:
    """Have a decision without an end replace that a tie waits for the head, and settle the notice about the wait."""
    for row in closing_acts.waits_of(account.id, school.id, decided.begun_at):
        if row.child_id == decided.child_id and may_end(row):
            row.ended_at, row.ended_by = decided.begun_at, REPLACED
            db.session.flush()
            school_notices.settle_waits(account.id, by=decided.begun_by, sentence=decided.reason)


def decide_again(account: Account, decision: Decision, moment: datetime) -> None:
    """Store and journal a decision about an access that is closed already, in the caller's transaction."""
    row = _row(account, decision, moment)
    db.session.add(row)
    _record(row, decision)


def _row(account: Account, decision: Decision, moment: datetime) -> Closing:
    return Closing(
        id=uuid.uuid4(),
        account_id=account.id,
        child_id=decision.child,
        school_id=decision.school.id if decision.school else None,
        reason=decision.reason,
        reference=decision.reference,
        begun_at=moment,
        until=decision.until,
        begun_by=log.current_origin().actor[:80],
    )


def _record(row: Closing, decision: Decision, formers: Sequence[Closing] = ()) -> None:
    log.record(
        AccessClosed(
            account_id=row.account_id,
            closing=str(row.id),
            child=str(decision.child or ""),
            until=_iso(decision.until),
            reason=decision.reason,
            reference=decision.reference,
            uai=decision.school.uai if decision.school else "",
            sessions=row.sessions_ended,
            former=[str(former.id) for former in formers],
        )
    )


def _check_longer(former: Closing, decision: Decision) -> None:
    if decision.until is not None and (former.until is None or decision.until < former.until):
        raise RefusedError(Code.CLOSED_LONGER)


def _check_rested(account: Account, decision: Decision, moment: datetime) -> None:
    if is_closed_lately(account.id, decision.school.id if decision.school else None, moment):
        raise RefusedError(Code.CLOSED_LATELY)


def _check(account: Account, decision: Decision, moment: datetime) -> None:
    if account.merge is not None:
        raise RefusedError(Code.MERGED)
    if decision.until is None:
        return
    if decision.until <= moment:
        raise RefusedError(Code.END_IN_THE_PAST)
    if decision.until - moment > LONGEST:
        raise RefusedError(Code.END_TOO_FAR)


def _tie(account: Account, decision: Decision) -> Guardianship:
    """Return the tie that the decision is about: a school decides about its own pupils only."""
    statement = (
        select(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            Guardianship.account_id == account.id,
            Guardianship.child_id == decision.child,
            directory.concerns_its_school(),
        )
    )
    tie = db.session.scalar(statement.execution_options(populate_existing=True))
    if tie is None or (decision.school is not None and tie.child.school_id != decision.school.id):
        raise RefusedError(Code.NO_SUCH_TIE)
    return tie


def _of_the_same(account: Account, decision: Decision, moment: datetime) -> Sequence[Closing]:
    """Return the decisions of the same school about the same access that hold, the youngest first."""
    school_id = decision.school.id if decision.school else None
    return db.session.scalars(
        select(Closing)
        .where(
            Closing.account_id == account.id,
            Closing.child_id.is_not_distinct_from(decision.child),
            Closing.school_id.is_not_distinct_from(school_id),
            Closing.where_decided(moment),
        )
        .order_by(Closing.begun_at.desc(), Closing.id)
        .execution_options(populate_existing=True)
    ).all()


def _tell(account: Account, tie: Guardianship | None, closing: PublicClosing) -> None:
    """Tell the person by mail; not of a tie of a closed account, which the mail would call open."""
    if tie is None or (account.is_enabled_at(now()) and not account.is_barred):
        notice = Notice.TIE_CLOSED if tie else Notice.CLOSED
        notices.tell(notice, account.id, link=None, **closing.details())


def _close(account: Account) -> int:
    """Refuse all that was issued for the account, and end its sessions; return their number."""
    account.credentials_changed()
    return manager.end_all(account.id, by=OPERATOR)


def _close_ents(account: Account, tie: Guardianship) -> int:
    """Have the ENTs of the pupil's school sign the person out; no session here ends."""
    back_channel.announce_closed_tie(account.id, tie.child.school)
    return 0


@unit_of_work()
def reopen(closing_id: uuid.UUID, reason: str, *, school: School | None = None) -> Closing:
    """End a closing before its time; return its row. Of two people who reopen it at once, one succeeds.

    The notice about a guardian who waits for the head is settled with the last closing that it is about. If the head of
    another school reopens an account, the pupils of the school that closed it keep that decision: a file that names the
    person for them again asks their head.

    Args:
        closing_id: the decision's row.
        reason: the sentence for the journal.
        school: the school whose head reopens it; None for an engineer, who may end every decision.

    Raises:
        RefusedError: there is no such decision, or it is over.
    """
    statement = select(Closing).where(Closing.id == closing_id)
    if school is not None:
        statement = statement.where(directory.reopened_by_heads_of(school.id))
    row = db.session.scalar(statement)
    account = directory.get_for_change(row.account_id) if row else None
    if row is None or account is None:
        raise RefusedError(Code.NO_SUCH_CLOSING)
    moment = now()
    db.session.refresh(row)
    if not row.holds_at(moment):
        raise RefusedError(Code.CLOSING_OVER)
    end(account, row, reason, moment)
    if school is not None and row.child_id is None and row.school_id not in {None, school.id}:
        _keep_for_pupils(row)
    if row.child_id is None and account.is_enabled_at(moment):
        notices.tell(Notice.REOPENED, account.id, school=str(row.school_id or ""))
    if not account.is_shut_at(moment):
        kinds = school_notices.SETTLED_BY_REOPENING
        school_notices.settle(account.id, by="reopening", sentence="reopened", kinds=kinds)
    school_notices.settle_waits(account.id, by=log.current_origin().actor, sentence=reason)
    return row


def _keep_for_pupils(row: Closing) -> None:
    """Have the ended ties to pupils of the school that closed an account wait for its head."""
    ties = select(Guardianship.child_id).join(Child, Child.id == Guardianship.child_id)
    pupils = ties.where(Guardianship.account_id == row.account_id, Child.school_id == row.school_id)
    kept = [(row.account_id, child_id, row.school_id) for child_id in db.session.scalars(pupils)]
    closing_acts.close_ties(kept, Wait.RETURNED, REASONS[Wait.RETURNED])


def end(account: Account, row: Closing, reason: str, moment: datetime) -> None:
    """End a decision that holds, or a wait, with its journal entry, in the caller's transaction."""
    row.ended_at, row.ended_by, row.end_reason = moment, log.current_origin().actor[:80], reason
    db.session.flush()
    closing_acts.refresh(account.id)
    school = db.session.get(School, row.school_id) if row.school_id else None
    event = GuardianAdmitted if row.awaits_head else AccessReopened
    log.record(
        event(
            account_id=account.id,
            closing=str(row.id),
            child=str(row.child_id or ""),
            reason=reason,
            uai=school.uai if school else "",
        )
    )


def _iso(until: datetime | None) -> str:
    return until.isoformat(timespec="seconds") if until else ""
