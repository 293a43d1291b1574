"""Settles a dispute: about a tie that holds, about a tie that an import has ended, or about a mail address.

Of two operators who settle the same dispute at once, one is told that it is settled.

After an import has ended a tie, because the pupil left or the file no longer names the person, nothing is open any
more, so no session ends and no mail is sent. The dispute would return with the tie, if a file names it again: the
answer decides that. An answer for all pupils of a notice also answers for those of ended ties, and a notice stays open
while one of its ties is in dispute.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select, true

from idp.accounts import directory, mailboxes, notices, one_time_links, school_notices
from idp.accounts import disputes as rules
from idp.accounts.disputes import child_key
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import Purpose
from idp.accounts.school_notices import Kind
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
    """

    outcome: Outcome
    reason: str
    kind: Kind
    school: School
    child: uuid.UUID | None = None
    reopens: bool = False


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
    if decision.kind is Kind.EMAIL_CONTESTED:
        if account.contested_at is None:
            raise RefusedError(Code.SETTLED)
        _settle_email(settings, account, decision)
        return
    ties = _ties_meant(account, decision)
    if not ties:
        raise RefusedError(Code.TIE_OPEN if decision.reopens else Code.SETTLED)
    _settle_ties(settings, account, ties, decision)


def _ties_meant(account: Account, decision: Decision) -> Sequence[Guardianship]:
    """Return the ties that the decision means, as the database has them now: disputed ones, or excluded ones."""
    ties = (
        select(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            Guardianship.account_id == account.id,
            Child.school_id == decision.school.id,
            Guardianship.is_excluded if decision.reopens else Guardianship.is_disputed,
            Child.left_at.is_(None) if decision.reopens else true(),
            Child.id == decision.child if decision.child else true(),
        )
        .order_by(Guardianship.rank)
    )
    return db.session.scalars(ties.execution_options(populate_existing=True)).all()


def _settle_ties(settings: Settings, account: Account, ties: Sequence[Guardianship], decision: Decision) -> None:
    """Restore the ties, or end them until the school's file changes."""
    moment = now()
    for tie in ties:
        tie.disputed_at = None
        if decision.reopens:
            tie.ended_at = tie.excluded_at = None
        if decision.outcome is Outcome.CONFIRM:
            tie.ended_at = tie.excluded_at = moment
    if decision.reopens:
        _enable_if_closed_by_tie(settings, account)
    else:  # the letter ended with the dispute
        account.provisional_hash = account.provisional_expires_at = None
    _renew(account)
    _record(
        account,
        decision,
        before="excluded" if decision.reopens else "disputed",
        after="holds" if decision.outcome is Outcome.REJECT else "excluded",
        children=[child_key(tie.child) for tie in ties],
    )
    db.session.flush()
    school = decision.school
    if not decision.child and not decision.reopens:
        ended = [tie for tie in open_disputes(account.id, school.id) if not tie.is_unended]
        _settle_ended_ties(ended, decision.reason, confirms=decision.outcome is Outcome.CONFIRM)
    if decision.outcome is Outcome.CONFIRM:
        notices.tell(Notice.TIE_ENDED, account.id, school=str(school.id))
    if not open_disputes(account.id, school.id):
        _settle_notices(account, decision, school)
    if decision.outcome is Outcome.CONFIRM:
        leavers.disable_if_childless(account.id, moment)
    elif account.is_enabled_at(moment) and not rules.is_closed(account):
        notices.tell(Notice.TIE_RESTORED, account.id, school=str(school.id))


def _enable_if_closed_by_tie(settings: Settings, account: Account) -> None:
    """Enable the account if it was disabled because the school had ended its last tie."""
    if not account.has_left:
        return
    if account.email is not None and mailboxes.is_refused(settings, account, account.email):
        raise RefusedError(Code.MAILBOX_OF_OTHER)
    account.disabled_at, account.has_left, account.removal_warning = None, False, None
    log.record(AccountChanged(account_id=account.id, change="returned"))


def _settle_email(settings: Settings, account: Account, decision: Decision) -> None:
    """Keep one of the two addresses. A blocked password stays so: a new one is chosen by mail to that address only."""
    if account.activated_at is None:
        raise RefusedError(Code.NEW_LETTER)
    former, present = account.contested_email, account.email
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
    rules.settle_contest(account, by=log.current_origin().actor, reason=decision.reason)
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
    actor = log.current_origin().actor
    school_notices.settle(account.id, by=actor, sentence=decision.reason, kinds=[decision.kind], school=school)


def among_ended(account_ids: Collection[uuid.UUID]) -> set[tuple[uuid.UUID, uuid.UUID]]:
    """Return the accounts with such a dispute, each with the pupil's school."""
    ties = (
        select(Guardianship.account_id, Child.school_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id.in_(account_ids), Guardianship.has_open_dispute, ~Guardianship.is_unended)
    )
    return {(account_id, school_id) for account_id, school_id in db.session.execute(ties)}


def open_disputes(account_id: uuid.UUID, school_id: uuid.UUID) -> Sequence[Guardianship]:
    """Return the ties of an account to pupils of a school in dispute, ended or not, as the database has them now."""
    disputed = (
        select(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == account_id, Guardianship.has_open_dispute, Child.school_id == school_id)
        .order_by(Guardianship.rank)
    )
    return db.session.scalars(disputed.execution_options(populate_existing=True)).all()


def settle_ended(notice: SchoolNotice, reason: str, child: uuid.UUID | None = None, *, confirms: bool) -> None:
    """Settle the disputes about the ended ties to pupils of the notice's school, in one transaction.

    A rejected dispute ends: a file that names the tie again restores it. A confirmed one excludes the tie. The notice
    is settled if no other tie to a pupil of the school is in dispute.

    Args:
        notice: the notice.
        reason: the sentence for the journal and for the notice.
        child: the only child that is meant, or None.
        confirms: whether the dispute is right.

    Raises:
        RefusedError: no such dispute is open any more, or a file restored a disputed tie.
    """
    with unit_of_work():
        account = directory.get_for_change(notice.account_id)
        open_ones = open_disputes(notice.account_id, notice.school_id)
        ties = [tie for tie in open_ones if child in {None, tie.child_id}]
        if account is None or not ties:
            raise RefusedError(Code.SETTLED)
        if any(tie.is_unended for tie in ties):
            raise RefusedError(Code.CHANGED)
        _settle_ended_ties(ties, reason, confirms=confirms)
        if not open_disputes(account.id, notice.school_id):
            school_notices.settle(
                account.id,
                by=log.current_origin().actor,
                sentence=reason,
                kinds=[Kind.NOT_GUARDIAN],
                school=ties[0].child.school,
            )


def _settle_ended_ties(ties: Sequence[Guardianship], reason: str, *, confirms: bool) -> None:
    """Settle the disputes about ended ties of one account, in the caller's transaction, which has locked it."""
    if not ties:
        return
    for tie in ties:
        tie.disputed_at = None
        if confirms:
            tie.excluded_at = now()
    db.session.flush()
    log.record(
        DisputeSettled(
            account_id=ties[0].account_id,
            dispute=Kind.NOT_GUARDIAN.value,
            outcome="confirm" if confirms else "reject",
            before="ended",
            after="excluded" if confirms else "ended",
            reason=reason,
            children=[child_key(tie.child) for tie in ties],
        )
    )
