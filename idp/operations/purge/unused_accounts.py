"""Warns people whose account is unused, and removes it with all its rows; the journal keeps the events, without names.

- Active, without a sign-in for `inactive_days`: a mail; removed `inactive_warning_days` later, unless they sign in.
- The same without a confirmed address: nobody can be warned. The account is removed after the sum of the two delays,
  and never before `inactive_warning_days` have passed since it lost its last mailbox.
- Disabled, also because a school file no longer names a child: removed after `DISABLED_KEPT`. An account that was
  merged into another one stays as long as that one, so that the two can be separated (`idp.families.merging`).

Every account has to be looked at again and again, since no index has the last sign-in, so that a sign-in writes none.
`known_use_at` is the last use that a look found, which is never later than the true one: only accounts that it leaves
in doubt are looked at, each about once in `inactive_days`. Before the activation, it is when a look found a tie, or
the creation: such an account is looked at once in `DISABLED_KEPT`.

An account that was never activated stays as the school's file brought it; only its secret expires. No account is
removed while it or one of its ties is closed, or a school has to settle a notice that the person was told of.

A pupil to whom a decision closes somebody's access stays longer than other pupils who left, and the decision stays
with the pupil when its person's account is removed (`directory.protected_pupils`).
"""

import uuid
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Update, and_, case, delete, exists, literal, or_, select, update

from idp.accounts import directory, notices, retired, school_notices
from idp.accounts.closings import Closing, Kind
from idp.accounts.models import (
    Account,
    Child,
    FormerMailbox,
    Guardianship,
    Merge,
    RemovalWarning,
    RosterAlias,
    SchoolNotice,
)
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import OneTimeLink
from idp.audit import log
from idp.audit.data_events import AccountErased
from idp.audit.events import AccountPurged, InactivityWarned
from idp.charter.models import CharterAcceptance
from idp.clock import ACTIVATION_LIFETIME, now
from idp.config import Settings
from idp.db import UtcDateTime, db, upsert
from idp.oidc.models import AuthorizationCode, Token
from idp.operations import batches
from idp.passkeys.models import Passkey, PasskeyUser
from idp.sessions.models import DeviceSession, Session

DISABLED_KEPT = timedelta(days=90)  # how long a disabled account can be enabled again
YEARS_AFTER_DEPARTURE = 5
LONGEST_AFTER_DEPARTURE = timedelta(days=YEARS_AFTER_DEPARTURE * 366)
"""How long a pupil who left is kept at most for a closing, because the pupil may return."""


def remove_expired_secrets(moment: datetime) -> int:
    """Remove a batch of the expired provisional passwords, in the caller's transaction; return their number.

    Not before the last activation that one of them opened has expired: it was valid when it was typed. Nor while a tie
    is disputed: see `sessions.closing.close`.
    """
    expired = Account.provisional_expires_at <= moment - ACTIVATION_LIFETIME
    due = and_(Account.provisional_hash.is_not(None), expired, ~Account.has_disputed_tie)
    return _update_some(due, Account.provisional_expires_at, provisional_hash=None)


def note_use(some: ColumnElement[bool], moment: datetime) -> int:
    """Note the last use of a page of accounts, in the caller's transaction; return how many had a newer one."""
    use = _use(moment)
    newer = and_(Account.disabled_at.is_(None), Account.known_use_at < use)
    return _update_some(and_(some, newer), Account.id, known_use_at=use)


def _use(moment: datetime) -> ColumnElement[datetime | None]:
    """Return the last use of an account. Before the activation: the present instant, unless it may be an orphan."""
    return case(
        (Account.last_sign_in_at > Account.activated_at, Account.last_sign_in_at),
        (Account.activated_at.is_not(None), Account.activated_at),
        (or_(_any(_ties()), Account.roster_key.is_(None)), literal(moment, UtcDateTime())),
    )


def candidates(settings: Settings, moment: datetime) -> Iterator[Sequence[uuid.UUID]]:
    """Yield pages of the accounts that may have to be warned or removed: all these, and as few others as possible."""
    is_open, known = Account.disabled_at.is_(None), Account.known_use_at
    unused = and_(Account.activated_at.is_not(None), known <= moment - timedelta(days=settings.inactive_days))
    without_tie = and_(Account.activated_at.is_(None), known <= moment - DISABLED_KEPT)
    for condition, column in (
        (and_(is_open, unused), known),
        (and_(is_open, without_tie), known),
        (Account.disabled_at <= moment - DISABLED_KEPT, Account.disabled_at),
    ):
        yield from batches.pages(Account.id, condition, order_by=column)


def _update_some(due: ColumnElement[bool], order_by: Any, **values: Any) -> int:
    """Update a batch of accounts, except those that another transaction has; return their number."""
    locked = select(Account.id).where(due).order_by(order_by).limit(batches.ROWS).with_for_update(skip_locked=True)
    keys = db.session.scalars(locked).all()
    db.session.execute(
        update(Account)
        .where(Account.id.in_(keys))
        .values(**values, updated_at=Account.updated_at)
        .execution_options(synchronize_session=False)
    )
    return len(keys)


def _any(rows: Select[Any]) -> ColumnElement[bool]:
    """Return the condition that there is such a row, for a statement about some accounts.

    A scalar subquery reads the rows of each account. An EXISTS may be hashed, which would read all rows there are.
    """
    return rows.correlate(Account).limit(1).scalar_subquery().is_not(None)


def _ties(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(Guardianship.child_id).where(Guardianship.account_id == Account.id, *conditions)


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
    warned = _store_warnings(keys, moment, before=moment - timedelta(days=settings.inactive_days))
    for key in warned:
        notices.tell(Notice.INACTIVE, key)
        log.record(InactivityWarned(account_id=key))
    return len(warned)


def _store_warnings(keys: Sequence[uuid.UUID], moment: datetime, before: datetime) -> Sequence[uuid.UUID]:
    """Store warnings, also in place of those from `before`; return the accounts that no other purge has just warned."""
    if not keys:
        return []
    new = upsert(RemovalWarning).values([{"account_id": key, "warned_at": moment} for key in keys])
    stored = new.on_conflict_do_update(
        index_elements=[RemovalWarning.account_id],
        set_={"warned_at": moment},
        where=RemovalWarning.warned_at <= before,
    )
    return db.session.scalars(stored.returning(RemovalWarning.account_id)).all()


def removable(settings: Settings, moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the accounts that have to be removed."""
    unused = timedelta(days=settings.inactive_days)
    notice = timedelta(days=settings.inactive_warning_days)
    over = or_(
        and_(Account.disabled_at <= moment - DISABLED_KEPT, ~Account.merge.has(), ~_still_in_a_file()),
        and_(_unused_since(moment - unused), Account.inactive_warned_at <= moment - notice),
        and_(_unused_since(moment - unused - notice), Account.email.is_(None), ~_lost_mailbox_since(moment - notice)),
        _orphan_since(moment - DISABLED_KEPT),
    )
    return and_(over, ~_is_promised(), ~_is_shut(moment))


def _lost_mailbox_since(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the accounts that had a mailbox until after `moment`.

    Nobody can be warned without a mailbox: an account that a file restored without its mailbox gets the same time.
    """
    return _any(
        select(FormerMailbox.mailbox).where(FormerMailbox.account_id == Account.id, FormerMailbox.left_at > moment)
    )


def _is_promised() -> ColumnElement[bool]:
    waits = school_notices.is_open(school_notices.PROMISED)
    return _any(select(SchoolNotice.id).where(SchoolNotice.account_id == Account.id, waits))


def _is_shut(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the accounts that are closed, or have a closed tie to a pupil who is here.

    A school's file would bring the person back under a new account, without the closing.
    """
    is_here = or_(Child.left_at.is_(None), Child.left_at > moment - DISABLED_KEPT)
    to_pupil = exists().where(Child.id == Guardianship.child_id, is_here).correlate(Guardianship)
    return or_(Account.where_shut(moment), _any(_ties(Guardianship.where_shut(moment), to_pupil)))


def _orphan_since(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the accounts whose import was killed before it added a child, and never repeated."""
    nobody = and_(Account.activated_at.is_(None), Account.disabled_at.is_(None), ~_any(_ties()))
    return and_(Account.roster_key.is_not(None), Account.created_at <= moment, nobody)


def _still_in_a_file() -> ColumnElement[bool]:
    """Return the condition of the accounts that the next file would create again, under another identifier.

    A file keeps naming a tie that the school excluded while the tie has that mark.
    """
    named = _any(_ties(or_(Guardianship.is_unended, Guardianship.where_closed_as(Kind.EXCLUDED))))
    return and_(Account.roster_key.is_not(None), named)


def _unused_since(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the active accounts without an activation or a sign-in since `moment`.

    Nobody can sign in while a dispute is open, so such accounts stay. Nobody is warned of a removal that waits for a
    school's answer.
    """
    return and_(
        Account.disabled_at.is_(None),
        ~Account.has_contested_email,
        ~Account.has_disputed_tie,
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
    account_id = account.id
    _leave_decisions(account_id)
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
                Closing,
                RemovalWarning,
            )
        ),
        # a notice that is also about another account stays
        update(SchoolNotice).where(SchoolNotice.other_account_id == account_id).values(other_account_id=None),
        delete(Merge).where(or_(Merge.account_id == account_id, Merge.into_id == account_id)),
        delete(Account).where(Account.id == account_id),
    ):
        db.session.execute(statement.execution_options(synchronize_session=False))
    log.forget(account_id)


def closed_pupils(accounts: Collection[uuid.UUID]) -> dict[uuid.UUID, datetime | None]:
    """Return the pupils to whom people have no access by a decision about a tie or the account, and until when.

    Ended ties count, as in an import. Of several ends the last one counts; None is no end. A guardian who only waits
    for the head is not closed: the next file brings a new guardian, who waits again.
    """
    rows = db.session.execute(
        select(Guardianship.child_id, Closing.until)
        .join(Closing, Closing.account_id == Guardianship.account_id)
        .where(
            Guardianship.account_id.in_(accounts),
            or_(Closing.child_id.is_(None), Closing.child_id == Guardianship.child_id),
            Closing.where_decided(now()),
        )
    )
    ends: dict[uuid.UUID, datetime | None] = {}
    for child_id, until in rows:
        known = ends.get(child_id, until)
        ends[child_id] = max(known, until) if known and until else None
    return ends


def _leave_decisions(account_id: uuid.UUID) -> None:
    """Keep with the pupils that decisions of an account hold, without a word about its person."""
    for child_id, until in closed_pupils([account_id]).items():
        db.session.add(Closing(id=uuid.uuid4(), child_id=child_id, until=until, reason="", begun_by=""))
    db.session.flush()


def _why(account: Account) -> str:
    if account.disabled_at is None:
        return "inactive"  # or never given to anybody
    return "left" if account.has_left else "disabled"


def removable_pupils(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the pupils who left and have to be removed."""
    longest = Child.left_at <= moment - LONGEST_AFTER_DEPARTURE
    return and_(
        Child.left_at <= moment - DISABLED_KEPT, or_(longest, Child.id.not_in(directory.protected_pupils(moment)))
    )


def remove_children(keys: Sequence[uuid.UUID], due: ColumnElement[bool]) -> int:
    """Remove pupils who left, with their ties, in the caller's transaction; return their number.

    A file may just have brought one back, so the rows are locked and checked again, whether they are still `due`.
    """
    locked = select(Child.id).where(Child.id.in_(keys), due).order_by(Child.id)
    gone = db.session.scalars(locked.with_for_update(skip_locked=True)).all()
    for statement in (
        _look_again(select(Guardianship.account_id).where(Guardianship.child_id.in_(gone))),
        delete(Closing).where(Closing.child_id.in_(gone)),
        delete(Guardianship).where(Guardianship.child_id.in_(gone)),
        delete(Child).where(Child.id.in_(gone)),
    ):
        db.session.execute(statement.execution_options(synchronize_session=False))
    return len(gone)


def remove_ended_links(before: datetime) -> int:
    """Remove a batch of the ties that ended before an instant, in the caller's transaction; return their number."""
    ended = and_(
        Guardianship.ended_at <= before,
        ~Guardianship.where_shut(now()),  # a school's decision stays while a file contradicts it
        ~select(Account.id).where(Account.id == Guardianship.account_id, Account.where_shut(now())).exists(),
    )
    some = select(Guardianship.account_id, Guardianship.child_id).where(ended).order_by(Guardianship.ended_at)
    pairs = db.session.execute(some.limit(batches.ROWS).with_for_update(skip_locked=True)).all()
    for account_id, child_id in pairs:
        db.session.execute(
            delete(Guardianship)
            .where(Guardianship.account_id == account_id, Guardianship.child_id == child_id)
            .execution_options(synchronize_session=False)
        )
    db.session.execute(_look_again([account_id for account_id, _ in pairs]))
    return len(pairs)


def _look_again(account_ids: Any) -> Update:
    """Return the statement that has never activated accounts looked at again: they lose a tie, maybe the last one."""
    return (
        update(Account)
        .where(Account.id.in_(account_ids), Account.activated_at.is_(None))
        .values(known_use_at=Account.created_at, updated_at=Account.updated_at)
        .execution_options(synchronize_session=False)
    )
