"""Settles a dispute: about a tie, also one that an import has ended since, or about a mail address.

Of two operators who settle the same dispute at once, one is told that it is settled.

After an import has ended a tie, because the pupil left or the file no longer names the person, nothing is open any
more, so no session ends and no mail is sent. The dispute would return with the tie, if a file names it again: the
answer decides that. An answer for all pupils of a notice also answers for those of ended ties, and a notice stays open
while one of its ties is in dispute.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select, true

from idp.accounts import closing_acts, directory, mailboxes, notices, one_time_links, school_notices
from idp.accounts.closings import Kind
from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import Purpose
from idp.accounts.school_notices import Kind as NoticeKind
from idp.audit import log
from idp.audit.events import AccountChanged, DisputeSettled
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.families.acts import OPERATOR
from idp.families.refusals import Code, RefusedError
from idp.passkeys import keys as passkeys
from idp.rostering.write import leavers
from idp.sessions import manager
from idp.throttle import guard


class Outcome(StrEnum):
    """The school's decision."""

    REJECT = "reject"
    """The dispute is wrong: the tie is restored; the new address is kept."""
    CONFIRM = "confirm"
    """The dispute is right: the tie ends; the former address is kept."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An operator's decision.

    Attributes:
        outcome: in whose favour.
        reason: the sentence for the journal and for the school's notice.
        kind: what is disputed.
        child: the only child that is meant, or None for all of the school.
        school: the school that decides; it decides about its own ties only.
        reopens: whether it is about ties that the school ended when it confirmed a dispute.
        of_ended: whether the operator read that an import had ended the ties.
        note: what the school's next mail says of the decision, if anything.
    """

    outcome: Outcome
    reason: str
    kind: NoticeKind
    school: School
    child: uuid.UUID | None = None
    reopens: bool = False
    of_ended: bool = False
    note: str = ""


def settle(settings: Settings, account_id: uuid.UUID, decision: Decision) -> None:
    """Settle the account's dispute that `decision` names, in one transaction.

    The account's generation grows, and all sessions end. A mail tells the person of ties that ended. Tries during the
    dispute do not count any more: the owner may ask for a new password at once.

    Raises:
        RefusedError: no such dispute is open: another operator may have settled it.
    """
    with unit_of_work():
        account = directory.get_for_change(account_id)
        if account is None:
            raise RefusedError(Code.GONE)
        _settle(settings, account, decision)
    guard.clear_account(account.username)


def _settle(settings: Settings, account: Account, decision: Decision) -> None:
    if decision.kind is NoticeKind.EMAIL_CONTESTED:
        contest = closing_acts.contest_of(account.id)
        if contest is None:
            raise RefusedError(Code.SETTLED)
        _settle_email(settings, account, contest.email, decision)
        return
    ties = in_dispute(account.id, decision.school.id, Kind.EXCLUDED if decision.reopens else Kind.DISPUTED)
    ties = [tie for tie in ties if decision.child in {None, tie.child_id}]
    if not ties:
        raise RefusedError(Code.TIE_OPEN if decision.reopens else Code.SETTLED)
    if decision.of_ended and any(tie.is_unended for tie in ties):
        raise RefusedError(Code.CHANGED)
    _settle_ties(settings, account, ties, decision)


def in_dispute(account_id: uuid.UUID, school_id: uuid.UUID, kind: Kind = Kind.DISPUTED) -> Sequence[Guardianship]:
    """Return the ties of an account to pupils of a school in dispute, ended or not, as the database has them now.

    `kind`: EXCLUDED for those to present pupils that the school ended.
    """
    disputed = (
        select(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            Guardianship.account_id == account_id,
            Guardianship.where_closed_as(kind),
            Child.school_id == school_id,
            Child.left_at.is_(None) if kind is Kind.EXCLUDED else true(),
        )
        .order_by(Guardianship.rank)
    )
    return db.session.scalars(disputed.execution_options(populate_existing=True)).all()


def _settle_ties(settings: Settings, account: Account, ties: Sequence[Guardianship], decision: Decision) -> None:
    moment, confirms, reason = now(), decision.outcome is Outcome.CONFIRM, decision.reason
    live = [tie for tie in ties if decision.reopens or tie.is_unended]
    kinds = [(Kind.EXCLUDED if decision.reopens else Kind.DISPUTED).value]
    by = log.current_origin().actor
    closing_acts.end(account.id, kinds, by=by, reason=reason, children=[tie.child_id for tie in ties])
    if confirms:
        pupils = [(account.id, tie.child_id, decision.school.id) for tie in ties]
        closing_acts.close_ties(pupils, Kind.EXCLUDED.value, reason)
    for tie in live:
        tie.ended_at = moment if confirms else None
    if live and not decision.reopens:  # the letter ended with the dispute
        account.provisional_hash = account.provisional_expires_at = None
    if decision.reopens:
        _enable_if_closed_by_tie(settings, account)
    if live:
        _renew(account)
    _record(
        account,
        decision,
        before="excluded" if decision.reopens else "disputed" if live else "ended",
        after="excluded" if confirms else "holds" if live else "ended",
        children=[tie.child.key for tie in ties],
    )
    db.session.flush()
    if not in_dispute(account.id, decision.school.id):
        _settle_notices(account, decision, decision.school)
    if live:
        _tell(account, decision, moment)


def _tell(account: Account, decision: Decision, moment: datetime) -> None:
    """Tell the person of ties that ended or hold again; an account without any tie is disabled."""
    if decision.outcome is Outcome.CONFIRM:
        notices.tell(Notice.TIE_ENDED, account.id, school=str(decision.school.id))
        leavers.disable_if_childless(account.id, moment)
    elif account.is_enabled_at(moment) and not account.is_barred:
        notices.tell(Notice.TIE_RESTORED, account.id, school=str(decision.school.id))


def _enable_if_closed_by_tie(settings: Settings, account: Account) -> None:
    """Enable the account if it was disabled because the school had ended its last tie."""
    if not account.has_left:
        return
    if account.email is not None and mailboxes.is_refused(settings, account, account.email):
        raise RefusedError(Code.MAILBOX_OF_OTHER)
    account.disabled_at, account.has_left, account.removal_warning = None, False, None
    log.record(AccountChanged(account_id=account.id, change="returned"))


def _settle_email(settings: Settings, account: Account, former: str | None, decision: Decision) -> None:
    """Keep one of the two addresses. A blocked password stays so: a new one is chosen by mail to that address only."""
    if account.activated_at is None:
        raise RefusedError(Code.NEW_LETTER)
    present = account.email
    if decision.outcome is Outcome.CONFIRM and former is None:
        raise RefusedError(Code.NO_FORMER_EMAIL)
    kept, dropped = (former, present) if decision.outcome is Outcome.CONFIRM else (present, former)
    if kept is not None and mailboxes.is_refused(settings, account, kept):
        raise RefusedError(Code.KEPT_MAILBOX_OF_OTHER)
    if kept != present:
        account.email, account.email_confirmed_at = kept, now()
        db.session.flush()
        mailboxes.note_sharing(account)
    account.pending_email = None
    by = log.current_origin().actor
    closing_acts.end(account.id, [Kind.CONTESTED.value], by=by, reason=decision.reason)
    if decision.outcome is Outcome.CONFIRM:  # somebody else knew the password
        account.block_password()
        passkeys.remove_all(account.id, by="contested", mailed=False)
    _renew(account)
    notices.tell(Notice.EMAIL_KEPT, account.id)
    if dropped is not None:
        notices.tell_at(settings, Notice.EMAIL_DROPPED, account, dropped)
    after = f"{'former' if kept == former else 'new'} address kept (@{(kept or '').rpartition('@')[2]})"
    _record(account, decision, before="contested", after=after)
    _settle_notices(account, decision, None)


def _renew(account: Account) -> None:
    """Revoke all that was issued for the account, also other links « Ce n’était pas moi »: the school has decided."""
    account.credentials_changed()
    one_time_links.revoke(account.id, *Purpose)
    manager.end_all(account.id, by=OPERATOR)


def _record(account: Account, decision: Decision, *, before: str, after: str, children: Sequence[str] = ()) -> None:
    log.record(
        DisputeSettled(
            account_id=account.id,
            dispute=decision.kind.value,
            outcome=decision.outcome.value,
            before=before,
            after=after,
            reason=decision.reason,
            children=list(children),
        )
    )


def _settle_notices(account: Account, decision: Decision, school: School | None) -> None:
    by, kinds, note = log.current_origin().actor, [decision.kind], decision.note
    school_notices.settle(account.id, by=by, sentence=decision.reason, kinds=kinds, school=school, note=note)


def among_ended(account_ids: Collection[uuid.UUID]) -> set[tuple[uuid.UUID, uuid.UUID]]:
    """Return the accounts with a dispute about an ended tie, each with the pupil's school."""
    ties = (
        select(Guardianship.account_id, Child.school_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            Guardianship.account_id.in_(account_ids),
            Guardianship.where_closed_as(Kind.DISPUTED),
            ~Guardianship.is_unended,
        )
    )
    return {(account_id, school_id) for account_id, school_id in db.session.execute(ties)}
