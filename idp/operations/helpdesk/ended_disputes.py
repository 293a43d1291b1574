"""Settles a dispute about a tie that an import has ended: the pupil left, or the file no longer names the person.

Nothing is open any more, so no session ends and no mail is sent. The dispute would return with the tie, if a file
names it again: the answer decides that.
"""

import uuid
from collections.abc import Collection

from sqlalchemy import select

from idp.accounts import directory, school_notices
from idp.accounts.disputes import child_key
from idp.accounts.models import Child, Guardianship, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import DisputeSettled
from idp.clock import now
from idp.db import db, unit_of_work
from idp.operations.helpdesk.acts import RefusedError
from idp.operations.helpdesk.disputes import Decision, Outcome


def among(account_ids: Collection[uuid.UUID]) -> set[tuple[uuid.UUID, uuid.UUID]]:
    """Return the accounts with such a dispute, each with the pupil's school."""
    ties = (
        select(Guardianship.account_id, Child.school_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id.in_(account_ids), Guardianship.has_open_dispute, ~Guardianship.is_unended)
    )
    return {(account_id, school_id) for account_id, school_id in db.session.execute(ties)}


def settle(notice: SchoolNotice, decision: Decision) -> None:
    """Settle the disputes about the ended ties to pupils of the notice's school, and the notice, in one transaction.

    A rejected dispute ends: a file that names the tie again restores it. A confirmed one excludes the tie.

    Raises:
        RefusedError: no such dispute is open any more, or a file restored a disputed tie.
    """
    with unit_of_work():
        account = directory.get_for_change(notice.account_id)
        disputed = (
            select(Guardianship)
            .join(Child, Child.id == Guardianship.child_id)
            .where(
                Guardianship.account_id == notice.account_id,
                Guardianship.has_open_dispute,
                Child.school_id == notice.school_id,
            )
            .execution_options(populate_existing=True)
        )
        ties = db.session.scalars(disputed).all()
        if account is None or not ties:
            raise RefusedError("no dispute about an ended tie is open", "settled")
        if any(tie.is_unended for tie in ties):
            raise RefusedError("a file restored the tie")
        confirms = decision.outcome is Outcome.CONFIRM
        for tie in ties:
            tie.disputed_at = None
            if confirms:
                tie.excluded_at = now()
        log.record(
            DisputeSettled(
                account_id=account.id,
                dispute=Kind.NOT_GUARDIAN.value,
                outcome=decision.outcome.value,
                before="ended",
                after="excluded" if confirms else "ended",
                reason=decision.reason,
                children=[child_key(tie.child) for tie in ties],
            )
        )
        school_notices.settle(
            account.id,
            by=log.current_origin().actor,
            sentence=decision.reason,
            kinds=[Kind.NOT_GUARDIAN],
            school=decision.school,
        )
