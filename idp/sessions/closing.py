"""Opens disputes about ties to children and closes the accounts: the one home of that rule."""

import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import case, update

from idp.accounts import closing_acts, school_notices
from idp.accounts.closings import Kind
from idp.accounts.models import Account, Child
from idp.accounts.school_notices import Kind as NoticeKind
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
    ties = [(account_id, child.id, child.school_id) for child in children]
    closing_acts.close_ties(ties, Kind.DISPUTED)
    if is_first:
        close([account_id])
    by_school: dict[uuid.UUID, list[uuid.UUID]] = {}
    for child in children:
        by_school.setdefault(child.school_id, []).append(child.id)
    school_notices.add(NoticeKind.NOT_GUARDIAN, account_id, by_school, taken_by=[taken_by] if taken_by else ())
    log.record(
        GuardianshipDisputed(
            account_id=account_id,
            children=[child.id.hex for child in children],
            uais=sorted({child.school.uai for child in children}),
            by_telephone=taken_by != "",
            reason=call,
        )
    )


def dispute_ties(ties: Collection[tuple[uuid.UUID, uuid.UUID, uuid.UUID]]) -> None:
    """Dispute the ties (account, child, school), and close their accounts, in the caller's transaction.

    The caller has locked the rows of the accounts.
    """
    closing_acts.close_ties(ties, Kind.DISPUTED)
    close({account_id for account_id, _, _ in ties})


def revoke_credentials(account_ids: Collection[uuid.UUID]) -> None:
    """Revoke all that was issued for accounts: letters, codes, tokens, sessions.

    A letter expires: while a tie is disputed, its right secret still tells what to do (`idp.login.service`).
    The caller also ends the rows of the sessions (`sessions.manager.end_all`), so that ENTs are told.
    """
    db.session.execute(
        update(Account)
        .where(Account.id.in_(account_ids))
        .values(
            provisional_expires_at=case((Account.provisional_hash.is_not(None), now())),
            generation=Account.next_generation(),
            updated_at=now(),
        )
    )


def close(account_ids: Collection[uuid.UUID]) -> None:
    """End the letters, codes, tokens and sessions of accounts that have a disputed tie."""
    revoke_credentials(account_ids)
    for account_id in sorted(account_ids):
        manager.end_all(account_id, by=_BY)
