"""Warns people whose account is unused, and removes it with all its rows; the journal keeps the events, without names.

- Active, without a sign-in for `inactive_days`: a mail; removed `inactive_warning_days` later, unless they sign in.
- The same without a confirmed address: nobody can be warned. The account is removed after the sum of the two delays,
  and never before `inactive_warning_days` have passed since it lost its last mailbox.
- Disabled, also because another account took its children over or because a school file no longer names a child:
  removed after `DISABLED_KEPT`.

An account that was never activated stays as the school's file brought it; only its secret expires. No account is
removed while it or one of its ties is suspended, or a school has to settle a notice that the person was told of.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, or_, select, update

from idp.accounts import disputes, notices, retired, school_notices
from idp.accounts.models import Account, Child, FormerMailbox, Guardianship, OneTimeLink, RosterAlias, SchoolNotice
from idp.accounts.notices import Notice
from idp.accounts.suspensions.models import FormerPupilName, KeptSuspension, Suspension
from idp.audit import log
from idp.audit.data_events import AccountErased
from idp.audit.events import AccountPurged, InactivityWarned
from idp.charter.models import CharterAcceptance
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.oidc.models import AuthorizationCode, Token
from idp.operations import batches
from idp.operations.purge import protected_pupils
from idp.passkeys.models import Passkey, PasskeyUser
from idp.sessions.models import DeviceSession, Session

DISABLED_KEPT = timedelta(days=90)
"""How long a disabled account can be enabled again."""


def remove_expired_secrets(some: ColumnElement[bool], settings: Settings, moment: datetime) -> int:
    """Remove the expired provisional passwords, in the caller's transaction; return their number.

    Not before the last activation that one of them opened has expired: it was valid when it was typed.
    """
    expired = Account.provisional_expires_at <= moment - settings.lifetime("activation_lifetime")
    removing = (
        update(Account)
        .where(some, Account.provisional_hash.is_not(None), expired)
        .values(provisional_hash=None, updated_at=Account.updated_at)
    )
    return db.session.connection().execute(removing).rowcount


def warn(some: ColumnElement[bool], settings: Settings, moment: datetime) -> int:
    """Warn a batch of people whose account will be removed, in the caller's transaction; return their number."""
    due = and_(
        _unused_since(moment - timedelta(days=settings.inactive_days)),
        Account.email.is_not(None),
        Account.inactive_warned_at.is_(None),
    )
    at_once = batches.ROWS // 3  # each writes a row in three tables
    locked = select(Account.id).where(some, due).order_by(Account.id).limit(at_once)
    keys = db.session.scalars(locked.with_for_update(skip_locked=True)).all()
    db.session.execute(
        update(Account)
        .where(Account.id.in_(keys))
        .values(inactive_warned_at=moment, updated_at=Account.updated_at)
        .execution_options(synchronize_session=False)
    )
    for key in keys:
        notices.tell(Notice.INACTIVE, key)
        log.record(InactivityWarned(account_id=key))
    return len(keys)


def removable(settings: Settings, moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the accounts that have to be removed."""
    unused = timedelta(days=settings.inactive_days)
    notice = timedelta(days=settings.inactive_warning_days)
    over = or_(
        and_(Account.disabled_at <= moment - DISABLED_KEPT, ~_still_in_a_file()),
        and_(_unused_since(moment - unused), Account.inactive_warned_at <= moment - notice),
        and_(_unused_since(moment - unused - notice), Account.email.is_(None), ~_lost_mailbox_since(moment - notice)),
        _orphan_since(moment - DISABLED_KEPT),
    )
    return and_(over, ~_is_promised(), ~_is_suspended(moment))


def _lost_mailbox_since(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the accounts that had a mailbox until after `moment`.

    Nobody can be warned without a mailbox: an account that a file restored without its mailbox gets the same time.
    """
    lost = select(FormerMailbox.mailbox).where(FormerMailbox.account_id == Account.id, FormerMailbox.left_at > moment)
    return lost.exists()


def _is_promised() -> ColumnElement[bool]:
    """Return the condition of the accounts with an open notice that the person was told of."""
    waits = school_notices.is_open(school_notices.PROMISED)
    return select(SchoolNotice.id).where(SchoolNotice.account_id == Account.id, waits).exists()


def _is_suspended(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the accounts that are suspended, or have a suspended tie.

    A school's file would bring the person back under a new account, without the suspension.
    """
    tie = select(Guardianship.child_id).where(
        Guardianship.account_id == Account.id, Guardianship.where_suspended(moment)
    )
    return or_(Account.where_suspended(moment), tie.exists())


def _orphan_since(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the accounts whose import was killed before it added a child, and never repeated."""
    tie = select(Guardianship.child_id).where(Guardianship.account_id == Account.id)
    nobody = and_(Account.activated_at.is_(None), Account.disabled_at.is_(None), ~tie.exists())
    return and_(Account.roster_key.is_not(None), Account.created_at <= moment, nobody)


def _still_in_a_file() -> ColumnElement[bool]:
    """Return the condition of the accounts that the next file would create again, under another identifier.

    A file keeps naming a tie that the school excluded while the tie has that mark.
    """
    tie = select(Guardianship.child_id).where(
        Guardianship.account_id == Account.id,
        or_(Guardianship.is_unended, Guardianship.is_excluded),
        Account.merged_into_id.is_(None),
    )
    return and_(Account.roster_key.is_not(None), tie.exists())


def _unused_since(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the active accounts without an activation or a sign-in since `moment`.

    Nobody can sign in while a dispute is open, so such accounts stay. Nobody is warned of a removal that waits for a
    school's answer.
    """
    return and_(
        Account.disabled_at.is_(None),
        Account.contested_at.is_(None),
        ~disputes.has_disputed_tie(),
        ~_is_promised(),
        Account.activated_at <= moment,
        or_(Account.last_sign_in_at.is_(None), Account.last_sign_in_at <= moment),
    )


def remove(account_id: uuid.UUID, due: ColumnElement[bool]) -> bool:
    """Remove one account in the caller's transaction, if it is still `due`: it may just have been used.

    Every statement uses an index, so that its time does not depend on the size of the table.
    """
    locked = select(Account).where(Account.id == account_id, due).execution_options(populate_existing=True)
    account = db.session.scalar(locked.with_for_update(skip_locked=True))
    if account is None:
        return False
    why = _why(account)
    _take_away(account)
    log.record(AccountPurged(account_id=account_id, why=why))
    return True


def erase(account: Account, event: AccountErased) -> None:
    """Remove one account now, in the caller's transaction, which has locked its row; `event` goes into the journal."""
    _take_away(account)
    log.record(event)


def _take_away(account: Account) -> None:
    """Remove an account with all its rows, and the person's data in the journal."""
    account_id = account.id
    retired.retire(account)
    sessions = select(Session.id).where(Session.account_id == account_id)
    for statement in (
        delete(Token).where(Token.session_id.in_(sessions)),
        delete(AuthorizationCode).where(AuthorizationCode.session_id.in_(sessions)),
        *(
            delete(table).where(table.account_id == account_id)
            for table in (
                Session,
                DeviceSession,
                Passkey,
                PasskeyUser,
                OneTimeLink,
                FormerMailbox,
                Guardianship,
                RosterAlias,
                CharterAcceptance,
                SchoolNotice,
                Suspension,
            )
        ),
        # a notice that is also about another account stays
        update(SchoolNotice).where(SchoolNotice.other_account_id == account_id).values(other_account_id=None),
        update(Account)
        .where(Account.merged_into_id == account_id)
        .values(merged_into_id=None, updated_at=Account.updated_at),
        delete(Account).where(Account.id == account_id),
    ):
        db.session.execute(statement.execution_options(synchronize_session=False))
    log.forget(account_id)


def _why(account: Account) -> str:
    if account.disabled_at is None:
        return "inactive"  # or never given to anybody
    if account.merged_into_id is not None:
        return "merged"
    return "left" if account.is_disabled_by_departure else "disabled"


def remove_children(secrets: Sequence[bytes], keys: Sequence[uuid.UUID]) -> int:
    """Remove pupils who left, with their ties, in the caller's transaction; return their number.

    Suspensions that hold are kept without the pupils (`protected_pupils`).

    A file may just have brought one back, so the rows are locked and checked again.
    """
    locked = select(Child.id).where(Child.id.in_(keys), Child.left_at.is_not(None)).order_by(Child.id)
    gone = db.session.scalars(locked.with_for_update(skip_locked=True)).all()
    protected_pupils.keep_decisions(secrets, gone)
    for statement in (
        delete(Suspension).where(Suspension.child_id.in_(gone)),
        delete(KeptSuspension).where(KeptSuspension.child_id.in_(gone)),
        delete(FormerPupilName).where(FormerPupilName.child_id.in_(gone)),
        delete(Guardianship).where(Guardianship.child_id.in_(gone)),
        delete(Child).where(Child.id.in_(gone)),
    ):
        db.session.execute(statement.execution_options(synchronize_session=False))
    return len(gone)


def remove_ended_links(before: datetime) -> int:
    """Remove a batch of the ties that ended before an instant, in the caller's transaction; return their number."""
    ended = and_(
        Guardianship.ended_at <= before,
        ~Guardianship.has_open_dispute,
        ~Guardianship.is_excluded,  # a school's decision stays while a file contradicts it
        ~Guardianship.where_suspended(now()),
        ~select(Account.id).where(Account.id == Guardianship.account_id, Account.where_suspended(now())).exists(),
    )
    some = select(Guardianship.account_id, Guardianship.child_id).where(ended).order_by(Guardianship.ended_at)
    pairs = db.session.execute(some.limit(batches.ROWS).with_for_update(skip_locked=True)).all()
    for account_id, child_id in pairs:
        db.session.execute(
            delete(Guardianship)
            .where(Guardianship.account_id == account_id, Guardianship.child_id == child_id)
            .execution_options(synchronize_session=False)
        )
    return len(pairs)
