"""What a school decides about a dispute, in the tests' own process: the act of the desk, without its page."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import select

from idp.accounts.closings import Kind as ClosingKind
from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.school_notices import Kind
from idp.config import Settings
from idp.db import db
from idp.families import disputes
from idp.families.disputes import Decision, Outcome
from idp.families.refusals import Code, RefusedError
from tests.closed import contest

REASON = "pièce d’identité vue au guichet"
REJECT, CONFIRM = Outcome.REJECT, Outcome.CONFIRM


def decision_about(
    account: Account,
    outcome: Outcome,
    *,
    kind: Kind | None = None,
    child: Child | None = None,
    uai: str | None = None,
    reason: str = REASON,
    reopens: bool = False,
) -> Decision:
    """Return the decision of the first disputed pupil's school: about the contested address, if there is one."""
    stored = db.session.get_one(Account, account.id, populate_existing=True)
    ties = select(Child).join(Guardianship).where(Guardianship.account_id == account.id)
    if uai is not None:
        school = db.session.scalars(select(School).where(School.uai == uai)).one()
    else:
        about = (
            child
            or db.session.scalars(
                ties.order_by(~Guardianship.where_closed_as(ClosingKind.DISPUTED), Guardianship.rank)
            ).first()
        )
        school = about.school if about else db.session.scalars(select(School)).one()
    return Decision(
        outcome=outcome,
        reason=reason,
        kind=kind or (Kind.NOT_GUARDIAN if contest(stored.id) is None else Kind.EMAIL_CONTESTED),
        school=school,
        child=child.id if child else None,
        reopens=reopens,
    )


def settle(
    settings: Settings,
    account: Account,
    outcome: Outcome,
    *,
    kind: Kind | None = None,
    child: Child | None = None,
    uai: str | None = None,
    reason: str = REASON,
    reopens: bool = False,
) -> None:
    decision = decision_about(account, outcome, kind=kind, child=child, uai=uai, reason=reason, reopens=reopens)
    disputes.settle(settings, account.id, decision)
    db.session.expire_all()


@contextmanager
def refused(code: Code) -> Iterator[None]:
    with pytest.raises(RefusedError) as refusal:
        yield
    assert refusal.value.code is code
