"""Opens disputes about ties to children and closes the accounts: the one home of that rule."""

import uuid
from collections.abc import Collection

from sqlalchemy import tuple_, update

from idp.accounts import disputes
from idp.accounts.models import Guardianship
from idp.clock import now
from idp.db import db
from idp.sessions import manager

_BY = "disputed"


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
