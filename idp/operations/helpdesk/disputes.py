"""Lists the open disputes about accounts, and settles one in one transaction.

The account's row is locked first: of two operators who settle the same dispute at once, one is told that it is settled.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Select, select, true
from sqlalchemy.orm import selectinload

from idp.accounts import directory, mailboxes, notices, one_time_links, school_notices
from idp.accounts import disputes as rules
from idp.accounts.disputes import child_key
from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import Purpose
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import AccountChanged, AccountRead, DisputeSettled
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.operations.helpdesk import ended_disputes
from idp.operations.helpdesk.acts import OPERATOR, RefusedError
from idp.operations.helpdesk.dossier import masked_apart
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


@dataclass(frozen=True)
class Dispute:
    """An open dispute, as the school concerned sees it. A contested address concerns each school of the account."""

    account: Account
    kind: Kind
    children: Sequence[Child]
    school: School | None
    since: datetime


@dataclass(frozen=True)
class Settled:
    """The result of a settlement: its kind, the children of the settled ties, whether the account is still closed."""

    kind: Kind
    children: Sequence[Child]
    is_closed: bool


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An operator's decision.

    Attributes:
        outcome: in whose favour.
        reason: the sentence for the journal and for the school's notice.
        kind: which of two disputes of one account is meant; None if there is only one.
        child: the key of the only child that is meant.
        school: the only school whose ties are meant.
        reopens: whether it is about ties that a school ended when it confirmed a dispute (`meant`).
    """

    outcome: Outcome
    reason: str
    kind: Kind | None = None
    child: str | None = None
    school: School | None = None
    reopens: bool = False


def find(school: School | None, account: Account | None = None) -> list[Dispute]:
    """Return the open disputes of a school, an account, or all, after the journal recorded that they were read.

    A school also sees another school's dispute that closes an account of its own, without the other school's children.
    """
    open_disputes = sorted(
        [*_disputed_ties(school, account), *_contested(school, account)],
        key=lambda dispute: (dispute.since, dispute.account.username, dispute.school.uai if dispute.school else ""),
    )
    with unit_of_work():
        for account_id in dict.fromkeys(dispute.account.id for dispute in open_disputes):
            log.record(AccountRead(account_id=account_id, school=school.uai if school else ""))
    return open_disputes


def _disputed_ties(school: School | None, account: Account | None) -> Iterator[Dispute]:
    statement = (
        select(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .join(Account, Account.id == Guardianship.account_id)
        .join(School, School.id == Child.school_id)
        .where(Guardianship.is_disputed, Account.merged_into_id.is_(None))
        .order_by(Account.username, School.uai, Guardianship.rank)
        .options(selectinload(Guardianship.account))
    )
    if school is not None:
        statement = statement.where(Guardianship.account_id.in_(_accounts_of(school)))
    if account is not None:
        statement = statement.where(Guardianship.account_id == account.id)
    for _, group in groupby(db.session.scalars(statement), lambda tie: (tie.account_id, tie.child.school_id)):
        ties = list(group)
        since = min(tie.disputed_at for tie in ties if tie.disputed_at is not None)
        children = [tie.child for tie in ties]
        where = children[0].school
        seen = children if school is None or where.id == school.id else []
        yield Dispute(ties[0].account, Kind.NOT_GUARDIAN, seen, where, since)


def _accounts_of(school: School) -> Select[uuid.UUID]:
    """Return the query of the accounts with a tie to a child of the school that has not ended."""
    return (
        select(Guardianship.account_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Child.school_id == school.id, Guardianship.is_unended)
    )


def _contested(school: School | None, account: Account | None) -> Iterator[Dispute]:
    statement = (
        select(Account)
        .where(Account.contested_at.is_not(None), Account.merged_into_id.is_(None))
        .options(selectinload(Account.guardianships))
    )
    if account is not None:
        statement = statement.where(Account.id == account.id)
    for contested in db.session.scalars(statement):
        # as in `directory.schools_of_ties`: a school whose ties are all in dispute also settles this one
        children = [link.child for link in contested.guardianships if link.is_unended]
        by_school = sorted(children, key=attrgetter("school.uai"))
        groups = [list(group) for _, group in groupby(by_school, attrgetter("school_id"))] or [[]]
        for children in groups:
            where = children[0].school if children else None
            if contested.contested_at and (school is None or (where is not None and where.id == school.id)):
                yield Dispute(contested, Kind.EMAIL_CONTESTED, children, where, contested.contested_at)


def line(dispute: Dispute) -> dict[str, Any]:
    """Return the list's row for a dispute; the middle of mail addresses is hidden."""
    is_about_email = dispute.kind is Kind.EMAIL_CONTESTED
    former, present = (
        masked_apart(dispute.account.contested_email, dispute.account.email) if is_about_email else (None, None)
    )
    return {
        "account": dispute.account.username,
        "name": dispute.account.display_name,
        "kind": dispute.kind.value,
        "children": [
            {
                "key": child_key(child),
                "given_name": child.given_name,
                "family_name": child.family_name,
                "class": child.class_name,
            }
            for child in dispute.children
        ],
        "uai": dispute.school.uai if dispute.school else None,
        "school": dispute.school.name if dispute.school else None,
        "since": dispute.since.isoformat(timespec="seconds"),
        "former_email": former,
        "new_email": present,
    }


def meant(account: Account, decision: Decision) -> Decision:
    """Return the decision with `reopens` set, if it rejects what a school confirmed and no dispute is open.

    Called before the account is locked, so that the second of two operators does not undo the first one's decision.
    """
    if decision.outcome is not Outcome.REJECT or decision.kind is Kind.EMAIL_CONTESTED:
        return decision
    is_contested = account.contested_at is not None and decision.child is None and decision.kind is None
    reopening = replace(decision, reopens=True)
    reopens = not is_contested and not _ties_meant(account, decision) and bool(_ties_meant(account, reopening))
    return reopening if reopens else decision


def settle(settings: Settings, account_id: uuid.UUID, decision: Decision) -> Settled:
    """Settle the account's dispute that `decision` names, in one transaction.

    The account's generation grows, and all sessions end. A mail tells the person of ties that ended. Tries during the
    dispute do not count any more: the owner may ask for a new password at once.

    Raises:
        RefusedError: no such dispute is open (another operator may have settled it), or several disputes match.
    """
    with unit_of_work():
        settled = _settle(settings, directory.get_for_change(account_id), decision)
        username = db.session.scalars(select(Account.username).where(Account.id == account_id)).one()
    guard.clear_account(username)
    return settled


def _settle(settings: Settings, account: Account | None, decision: Decision) -> Settled:
    if account is None:
        raise RefusedError("the account was removed meanwhile")
    ties = _ties_meant(account, decision)
    kind = _kind_meant(account, ties, decision)
    if kind is Kind.EMAIL_CONTESTED:
        _settle_email(settings, account, decision)
        return Settled(kind, [], rules.is_closed(account))
    _settle_ties(settings, account, ties, decision)
    return Settled(kind, [tie.child for tie in ties], rules.is_closed(account))


def _ties_meant(account: Account, decision: Decision) -> list[Guardianship]:
    """Return the ties that the decision may mean, as the database has them now: disputed ones, or excluded ones."""
    ties = db.session.scalars(
        select(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            Guardianship.account_id == account.id,
            Guardianship.is_excluded if decision.reopens else Guardianship.is_disputed,
            Child.left_at.is_(None) if decision.reopens else true(),
        )
        .order_by(Guardianship.rank)
        .execution_options(populate_existing=True)
    ).all()
    meant = [tie for tie in ties if decision.school is None or tie.child.school_id == decision.school.id]
    if decision.child is None:
        return meant
    meant = [tie for tie in meant if decision.child in {tie.child.roster_key, tie.child.student_id}]
    if len(meant) > 1:
        keys = ", ".join(child_key(tie.child) for tie in meant)
        raise RefusedError(f"{decision.child} means several children of {account.username}: {keys}")
    return meant


def _kind_meant(account: Account, ties: Sequence[Guardianship], decision: Decision) -> Kind:
    kind = Kind.NOT_GUARDIAN if decision.child is not None else decision.kind
    open_ones = [Kind.NOT_GUARDIAN] if ties else []
    if account.contested_at is not None:
        open_ones.append(Kind.EMAIL_CONTESTED)
    if kind is None and len(open_ones) > 1:
        raise RefusedError(
            f"{account.username} has a contested address and a disputed child: "
            "say which with --kind email_contested, --kind not_guardian, or --child"
        )
    kinds = [candidate for candidate in open_ones if kind in {None, candidate}]
    if not kinds:
        about = f" about {decision.child}" if decision.child is not None else ""
        if others := _open_ones(account, decision):
            raise RefusedError(
                f"{account.username} has no open {kind.value if kind else ''} dispute{about}; "
                f"open: {', '.join(others)}",
                "settled",
            )
        elsewhere = rules.uais_of_disputes([account.id]).get(account.id, []) if decision.school is not None else []
        other = f"; {' and '.join(elsewhere)} has one to settle" if elsewhere else ""
        raise RefusedError(
            f"{account.username} has no open dispute{about}: it was never opened, or it is settled already{other}",
            "settled",
        )
    return kinds[0]


def _open_ones(account: Account, decision: Decision) -> list[str]:
    """Return the disputes that the decision could mean: their kinds, and the keys of the children."""
    keys = [child_key(tie.child) for tie in _ties_meant(account, replace(decision, child=None, reopens=False))]
    names = [f"{Kind.NOT_GUARDIAN.value} about {' and '.join(keys)}"] if keys else []
    return [*names, Kind.EMAIL_CONTESTED.value] if account.contested_at is not None else names


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
        Kind.NOT_GUARDIAN,
        decision,
        before="excluded" if decision.reopens else "disputed",
        after="holds" if decision.outcome is Outcome.REJECT else "excluded",
        children=[child_key(tie.child) for tie in ties],
    )
    db.session.flush()
    schools = {tie.child.school_id: tie.child.school for tie in ties}
    ended = ended_disputes.of_schools(account.id, [] if decision.child or decision.reopens else schools)
    ended_disputes.settle_ties(ended, decision.reason, confirms=decision.outcome is Outcome.CONFIRM)
    waiting = ended_disputes.schools_that_wait(account.id)
    for school in schools.values():
        if decision.outcome is Outcome.CONFIRM:
            notices.tell(Notice.TIE_ENDED, account.id, school=str(school.id))
        if school.id not in waiting:
            _settle_notices(account, Kind.NOT_GUARDIAN, decision, school)
    if decision.outcome is Outcome.CONFIRM:
        leavers.disable_if_childless(account.id, moment)
    elif ties and account.is_enabled_at(moment) and not rules.is_closed(account):
        notices.tell(Notice.TIE_RESTORED, account.id, school=str(ties[0].child.school_id))


def _enable_if_closed_by_tie(settings: Settings, account: Account) -> None:
    """Enable the account if it was disabled because the school had ended its last tie."""
    if account.left_at is None:
        return
    if account.is_disabled_by_departure:
        if account.email is not None and mailboxes.is_refused(settings, account, account.email):
            raise RefusedError(
                f"another account has confirmed the mailbox of {account.username} meanwhile, and "
                "IDP_SHARED_MAILBOX=refuse; one of the two needs another mailbox",
                "mailbox_taken",
            )
        account.disabled_at = None
    account.left_at = account.inactive_warned_at = None
    log.record(AccountChanged(account_id=account.id, change="returned"))


def _settle_email(settings: Settings, account: Account, decision: Decision) -> None:
    """Keep one of the two addresses. A blocked password stays so: a new one is chosen by mail to that address only."""
    if account.activated_at is None:
        raise RefusedError(
            f"{account.username} has a new letter, which ends this dispute when it is used; "
            "print another one if it is lost",
            "new_letter",
        )
    former, present = account.contested_email, account.email
    if decision.outcome is Outcome.CONFIRM and former is None:
        raise RefusedError(
            f"several former addresses claim {account.username}: none of them can be confirmed, "
            "print a new letter with `idp letters print --username`",
            "no_former",
        )
    kept, dropped = (former, present) if decision.outcome is Outcome.CONFIRM else (present, former)
    if kept is not None and mailboxes.is_refused(settings, account, kept):
        raise RefusedError(
            f"another account has confirmed the {'former' if kept == former else 'new'} address of {account.username} "
            "meanwhile, and IDP_SHARED_MAILBOX=refuse: print a new letter with `idp letters print --username`",
            "mailbox_taken",
        )
    if kept != present:
        account.email, account.email_confirmed_at = kept, now()
        db.session.flush()
        mailboxes.note_sharing(account)
    account.pending_email = account.contested_at = account.contested_email = None
    if decision.outcome is Outcome.CONFIRM:  # somebody else knew the password
        account.password_blocked_at = account.password_blocked_at or now()
        passkeys.remove_all(account.id, by="contested", mailed=False)
    _renew(account)
    notices.tell(Notice.EMAIL_KEPT, account.id)
    if dropped is not None:
        notices.tell_at(settings, Notice.EMAIL_DROPPED, account, dropped)
    after = f"{'former' if kept == former else 'new'} address kept (@{(kept or '').rpartition('@')[2]})"
    _record(account, Kind.EMAIL_CONTESTED, decision, before="contested", after=after)
    _settle_notices(account, Kind.EMAIL_CONTESTED, decision, None)


def _renew(account: Account) -> None:
    """Revoke all that was issued for the account, also other links « Ce n’était pas moi »: the school has decided."""
    account.credentials_changed()
    one_time_links.revoke(account.id, *Purpose)
    manager.end_all(account.id, by=OPERATOR)


def _record(
    account: Account, kind: Kind, decision: Decision, *, before: str, after: str, children: Sequence[str] = ()
) -> None:
    log.record(
        DisputeSettled(
            account_id=account.id,
            dispute=kind.value,
            outcome=decision.outcome.value,
            before=before,
            after=after,
            reason=decision.reason,
            children=list(children),
        )
    )


def _settle_notices(account: Account, kind: Kind, decision: Decision, school: School | None) -> None:
    actor = log.current_origin().actor
    school_notices.settle(account.id, by=actor, sentence=decision.reason, kinds=[kind], school=school)
