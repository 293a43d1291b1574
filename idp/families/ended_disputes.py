"""Settles a dispute about a tie that an import has ended: the pupil left, or the file no longer names the person.

Nothing is open any more, so no session ends and no mail is sent. The dispute would return with the tie, if a file
names it again: the answer decides that. An answer for all pupils of a notice also answers for those of ended ties, and
a notice stays open while one of its ties is in dispute (`idp.families.disputes`).
"""

import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import select

from idp.accounts import directory, school_notices
from idp.accounts.disputes import child_key
from idp.accounts.models import Child, Guardianship, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import DisputeSettled
from idp.clock import now
from idp.db import db, unit_of_work
from idp.families.refusals import Code, RefusedError


def among(account_ids: Collection[uuid.UUID]) -> set[tuple[uuid.UUID, uuid.UUID]]:
    """Return the accounts with such a dispute, each with the pupil's school."""
    ties = (
        select(Guardianship.account_id, Child.school_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id.in_(account_ids), Guardianship.has_open_dispute, ~Guardianship.is_unended)
    )
    return {(account_id, school_id) for account_id, school_id in db.session.execute(ties)}


def of_school(account_id: uuid.UUID, school_id: uuid.UUID) -> list[Guardianship]:
    """Return the ended ties of an account to pupils of a school that are in dispute, as the database has them now."""
    return [tie for tie in open_disputes(account_id, school_id) if not tie.is_unended]


def open_disputes(account_id: uuid.UUID, school_id: uuid.UUID) -> Sequence[Guardianship]:
    """Return the ties of an account to pupils of a school in dispute, ended or not, as the database has them now."""
    disputed = (
        select(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == account_id, Guardianship.has_open_dispute, Child.school_id == school_id)
        .order_by(Guardianship.rank)
    )
    return db.session.scalars(disputed.execution_options(populate_existing=True)).all()


def waits(account_id: uuid.UUID, school_id: uuid.UUID) -> bool:
    """Return whether a school has to settle a dispute about a tie of the account, ended or not."""
    return bool(open_disputes(account_id, school_id))


def settle(notice: SchoolNotice, reason: str, child: uuid.UUID | None = None, *, confirms: bool) -> None:
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
        settle_ties(ties, reason, confirms=confirms)
        if not waits(account.id, notice.school_id):
            school_notices.settle(
                account.id,
                by=log.current_origin().actor,
                sentence=reason,
                kinds=[Kind.NOT_GUARDIAN],
                school=ties[0].child.school,
            )


def settle_ties(ties: Sequence[Guardianship], reason: str, *, confirms: bool) -> None:
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
