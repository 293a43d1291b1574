"""Decides whether an account is in dispute: the one home of that condition.

Two things can be contested. The holder of a letter says that they are not the legal guardian of a child: the tie is
*disputed*. A mailbox says that a change of address, already applied, was not asked for: the address is *contested*.
Both close the account until the school has settled the dispute. If the contesting mailbox is,
or was, another account's too, the password stays valid (`idp.email_confirmation.contest`), and the account is open to
it: a contested address always ends recovery by mail and changes of the address (`ends_recovery`). A new letter can be
printed for a contested address, and ends that dispute when it is used; no letter is printed while a tie is disputed.
"""

import uuid
from collections.abc import Collection

from sqlalchemy import ColumnElement, Select, Update, and_, case, or_, select, update

from idp.accounts import directory, school_notices
from idp.accounts.closings import CONTESTED, Closing
from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import DisputeSettled
from idp.clock import now
from idp.db import db


def child_key(child: Child) -> str:
    """Return the key by which operators name a child: the school file's key, or else the pupil's number."""
    return child.roster_key or child.student_id


def has_disputed_tie() -> ColumnElement[bool]:
    """Return the condition of the accounts with a disputed tie, for a statement about `Account`."""
    return _disputed_ties().exists()


def _disputed_ties() -> Select[uuid.UUID]:
    ties = select(Guardianship.child_id).where(Guardianship.account_id == Account.id, Guardianship.is_disputed)
    return ties.correlate(Account)


def closes() -> ColumnElement[bool]:
    """Return the condition that a dispute closes the account (`is_closed`), for a statement about one account.

    A scalar subquery reads the ties of that account. An EXISTS may be hashed, which would read all ties there are.
    """
    no_password = or_(Account.has_blocked_password, Account.activated_at.is_(None))
    contested = and_(Account.contested_at.is_not(None), no_password)
    return or_(contested, _disputed_ties().limit(1).scalar_subquery().is_not(None))


def disputed_among(account_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return which of these accounts have a disputed tie."""
    ties = select(Guardianship.account_id).where(Guardianship.account_id.in_(account_ids), Guardianship.is_disputed)
    return set(db.session.scalars(ties.distinct()))


def uais_of_disputes(account_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """Return for each of these accounts the UAIs of the schools that have to settle a disputed tie."""
    ties = (
        select(Guardianship.account_id, School.uai)
        .join(Child, Child.id == Guardianship.child_id)
        .join(School, School.id == Child.school_id)
        .where(Guardianship.account_id.in_(account_ids), Guardianship.is_disputed)
        .distinct()
        .order_by(School.uai)
    )
    uais: dict[uuid.UUID, list[str]] = {}
    for account_id, uai in db.session.execute(ties):
        uais.setdefault(account_id, []).append(uai)
    return uais


def is_disputed(account_id: uuid.UUID) -> bool:
    """Return whether a tie of the account is disputed: no letter is printed for it, and no secret is accepted."""
    return bool(disputed_among([account_id]))


def is_closed(account: Account) -> bool:
    """Return whether the account is closed by a dispute: neither its own password nor its mailbox gives access.

    The caller has locked the account's row, or checks again after locking it.
    """
    return is_closed_by_contest(account) or is_disputed(account.id)


def is_closed_by_contest(account: Account) -> bool:
    """Return whether a contested address closes the account: no password opens it."""
    no_password = account.has_blocked_password or account.activated_at is None
    return account.contested_at is not None and no_password


def ends_recovery(account: Account) -> bool:
    """Return whether a dispute keeps every mailbox from recovering the account; its password may still open it."""
    return account.contested_at is not None or is_disputed(account.id)


def get_for_sign_in(account_id: uuid.UUID) -> tuple[Account | None, bool]:
    """Return the account, its row locked, and whether a dispute (`is_closed`) or a decision closes it.

    One statement reads them.

    If a dispute is committed while this statement waits for the lock, the account's generation has grown: the caller
    compares it.
    """
    statement = directory.locking(select(Account, closes()), account_id)
    account, closed = db.session.execute(statement).one_or_none() or (None, False)
    return account, closed or (account is not None and account.is_shut_at(now()))


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


def contest(account: Account, former: str) -> None:
    """Contest the account's address, which replaced the address `former`, in the caller's transaction, which locked it.

    If another former address claims the account already, none can be confirmed any more: the school could confuse them.
    """
    if account.contested_at is None:
        by = log.current_origin().actor[:80]
        db.session.add(Closing(account_id=account.id, kind=CONTESTED, email=former, reason="", begun_by=by))
    elif account.contested_email != former:
        db.session.execute(_open_contest(account).values(email=None))
    _read_contest_again(account)


def settle_contest(account: Account, *, by: str, reason: str) -> None:
    """End the contest of the account's address, in the caller's transaction, which locked it; forget the former one."""
    values = {"ended_at": now(), "ended_by": by[:80], "end_reason": reason[:500], "email": None}
    db.session.execute(_open_contest(account).values(values))
    _read_contest_again(account)


def _open_contest(account: Account) -> Update:
    is_open = Closing.account_id == account.id, Closing.kind == CONTESTED, Closing.ended_at.is_(None)
    return update(Closing).where(*is_open).execution_options(synchronize_session=False)


def _read_contest_again(account: Account) -> None:
    db.session.flush()
    db.session.expire(account, ["contested_at", "contested_email"])


def end_contest(account: Account) -> None:
    """End the dispute about the account's address, in the caller's transaction, because a new letter was used.

    The school gave that letter to a person whom it knows; neither of the two addresses is kept.
    """
    sentence = "a new letter was used"
    settle_contest(account, by="letter", reason=sentence)
    school_notices.settle(account.id, by="letter", sentence=sentence, kinds=[Kind.EMAIL_CONTESTED])
    log.record(
        DisputeSettled(
            account_id=account.id,
            dispute=Kind.EMAIL_CONTESTED.value,
            outcome="letter",
            before="contested",
            after="neither address is kept",
            reason=sentence,
        )
    )
