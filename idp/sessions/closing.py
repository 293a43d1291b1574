"""Opens disputes about ties to children and closes the accounts: the one home of that rule."""

import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import tuple_, update

from idp.accounts import disputes, school_notices
from idp.accounts.models import Child, Guardianship
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import GuardianshipDisputed
from idp.clock import now
from idp.db import db
from idp.sessions import manager

_BY = "disputed"


def dispute(
    account_id: uuid.UUID, children: Sequence[Child], *, is_first: bool = True, taken_by: str = "", call: str = ""
) -> None:
    """Record that a person is not the guardian of some children, close the account, and write notices for the schools.

    In the caller's transaction, which has locked the row of the account.

    Args:
        account_id: the person's account.
        children: the children.
        is_first: whether the account is open; if not, the person names further children.
        taken_by: who took the person's telephone call; empty if the person answered in a page.
        call: who called and what they said.
    """
    ties = [(account_id, child.id) for child in children]
    if is_first:
        dispute_ties(ties)
    else:
        mark_disputed(ties)
    by_school: dict[uuid.UUID, list[uuid.UUID]] = {}
    for child in children:
        by_school.setdefault(child.school_id, []).append(child.id)
    school_notices.add(Kind.NOT_GUARDIAN, account_id, by_school, taken_by=[taken_by] if taken_by else ())
    log.record(
        GuardianshipDisputed(
            account_id=account_id,
            children=[child.id.hex for child in children],
            uais=sorted({child.school.uai for child in children}),
            by_telephone=taken_by != "",
            reason=call,
        )
    )


def dispute_ties(ties: Collection[tuple[uuid.UUID, uuid.UUID]]) -> None:
    """Mark the ties (account, child) as disputed, and close their accounts, in the caller's transaction.

    The caller has locked the rows of the accounts. A tie that is already disputed keeps its date.
    """
    mark_disputed(ties)
    close({account_id for account_id, _ in ties})


def mark_disputed(ties: Collection[tuple[uuid.UUID, uuid.UUID]]) -> None:
    """Mark further ties of closed accounts as disputed."""
    db.session.execute(
        update(Guardianship)
        .where(
            tuple_(Guardianship.account_id, Guardianship.child_id).in_(list(ties)),
            ~Guardianship.has_open_dispute,
        )
        .values(disputed_at=now())
        .execution_options(synchronize_session=False)
    )


def close(account_ids: Collection[uuid.UUID]) -> None:
    """End the letters, codes, tokens and sessions of accounts that have a disputed tie."""
    disputes.revoke_credentials(account_ids)
    for account_id in sorted(account_ids):
        manager.end_all(account_id, by=_BY)
