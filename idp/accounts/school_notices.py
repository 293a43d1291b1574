"""What a school has to know and to settle: written in the caller's transaction, settled by an operator.

Each notice stands in the list of one school (`idp school notices`), in the count of `idp letters status` and, when the
school has given a mail address, in the next digest.
"""

import enum
import uuid
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, and_, select, update

from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.audit import log
from idp.audit.registry_events import NoticeSettled
from idp.clock import now
from idp.db import db


class Kind(enum.StrEnum):
    """What a notice is about."""

    NOT_GUARDIAN = "not_guardian"
    EMAIL_CONTESTED = "email_contested"
    EMAIL_CHANGE_STOPPED = "email_change_stopped"
    LETTER_DOUBT = "letter_doubt"
    LETTER_GUESSED = "letter_guessed"
    SHARED_MAILBOX = "shared_mailbox"
    OTHER_MAILBOX = "other_mailbox"
    PERSON_REPLACED = "person_replaced"


SETTLED_BY_UNLOCK = (Kind.LETTER_GUESSED, Kind.EMAIL_CHANGE_STOPPED)
"""What an operator has dealt with who unlocks the account."""
SETTLED_BY_LETTER = (Kind.LETTER_GUESSED, Kind.EMAIL_CHANGE_STOPPED, Kind.OTHER_MAILBOX, Kind.SHARED_MAILBOX)
"""What a new letter ends: former secret and password are dead, and the account has no mailbox any more."""
PROMISED = (
    Kind.NOT_GUARDIAN,
    Kind.EMAIL_CONTESTED,
    Kind.EMAIL_CHANGE_STOPPED,
    Kind.LETTER_DOUBT,
    Kind.OTHER_MAILBOX,
)
"""What somebody did who then read that the school is told."""
_SAME_QUESTION = (Kind.LETTER_DOUBT,)
"""What brings no new mail when it comes again while it is open: the same letter typed again asks nothing new."""


class Refusal(enum.Enum):
    """Why a notice cannot be settled by itself."""

    UNKNOWN = "unknown"
    SETTLED = "settled"
    DISPUTED = "disputed"


def add(
    kind: Kind,
    account_id: uuid.UUID,
    schools: Iterable[uuid.UUID] | Mapping[uuid.UUID, Sequence[uuid.UUID]],
    *,
    other_account_id: uuid.UUID | None = None,
) -> None:
    """Write one notice for each school; one that is open there already gets the children added.

    The school's next mail names it, also when an earlier one did: what has just happened was not in that.

    Args:
        kind: what happened.
        account_id: whose account it is about; its row is locked by the caller, so that two writers do not both add.
        schools: the schools that are told; a mapping names the children that each is told of.
        other_account_id: a second account that the notice is about.
    """
    children = schools if isinstance(schools, Mapping) else dict.fromkeys(schools, ())
    same = select(SchoolNotice).where(
        SchoolNotice.account_id == account_id,
        SchoolNotice.kind == kind.value,
        SchoolNotice.other_account_id == other_account_id
        if other_account_id
        else SchoolNotice.other_account_id.is_(None),
        SchoolNotice.settled_at.is_(None),
    )
    # locked, since a mail may be taking them at this moment; in one order, for schools whose mails are made at once
    locked = same.order_by(SchoolNotice.school_id).with_for_update().execution_options(populate_existing=True)
    known = {notice.school_id: notice for notice in db.session.scalars(locked)}
    for school_id, child_ids in children.items():
        wanted, notice = [child.hex for child in child_ids], known.get(school_id)
        if notice is None:
            db.session.add(
                SchoolNotice(
                    school_id=school_id,
                    account_id=account_id,
                    other_account_id=other_account_id,
                    kind=kind.value,
                    child_ids=wanted,
                )
            )
            continue
        if kind not in _SAME_QUESTION:
            notice.digested_at = None
        if notice.child_ids:  # without children it concerns them all already
            notice.child_ids = list(dict.fromkeys((*notice.child_ids, *wanted))) if wanted else []


def is_open(kinds: Iterable[Kind] = Kind) -> ColumnElement[bool]:
    """Return the condition of the notices of some kinds, all by default, that nobody has settled."""
    return and_(SchoolNotice.settled_at.is_(None), SchoolNotice.kind.in_([kind.value for kind in kinds]))


def settle(
    account_id: uuid.UUID,
    *,
    by: str,
    sentence: str = "",
    kinds: Iterable[Kind] = Kind,
    school: School | None = None,
) -> None:
    """Settle the open notices about the account, in the caller's transaction.

    Args:
        account_id: whose account they are about.
        by: the operator, or the act that settled them.
        sentence: what the operator said.
        kinds: the kinds that are settled; all by default.
        school: settle those of this school alone.
    """
    statement = update(SchoolNotice).where(SchoolNotice.account_id == account_id, is_open(kinds))
    if school is not None:
        statement = statement.where(SchoolNotice.school_id == school.id)
    db.session.execute(
        statement.values(settled_at=now(), settled_by=by[:80], sentence=sentence[:500]).execution_options(
            synchronize_session=False
        )
    )


def settle_one(notice_id: uuid.UUID, *, by: str, sentence: str, school: School | None = None) -> Refusal | None:
    """Settle one notice and journal it, in the caller's transaction; return why not, with nothing done.

    Of two operators at once, exactly one settles it. A dispute that is still open is settled where the tie or the
    address is decided, never by its notice alone.

    Args:
        notice_id: the notice.
        by: the operator.
        sentence: what was found and done.
        school: the only school whose notices may be settled, if given.
    """
    wanted = select(SchoolNotice).where(SchoolNotice.id == notice_id)
    if school is not None:
        wanted = wanted.where(SchoolNotice.school_id == school.id)
    notice = db.session.scalar(wanted)
    account = directory.get_for_change(notice.account_id) if notice else None
    if notice is None or account is None:
        return Refusal.UNKNOWN
    if notice.settled_at is None and _is_in_dispute(account, notice):
        return Refusal.DISPUTED
    won = db.session.scalar(
        update(SchoolNotice)
        .where(SchoolNotice.id == notice_id, SchoolNotice.settled_at.is_(None))
        .values(settled_at=now(), settled_by=by[:80], sentence=sentence[:500])
        .returning(SchoolNotice.id)
        .execution_options(synchronize_session=False)
    )
    if won is None:
        return Refusal.SETTLED
    log.record(NoticeSettled(account_id=account.id, notice=str(notice_id), about=notice.kind))
    return None


def _is_in_dispute(account: Account, notice: SchoolNotice) -> bool:
    """Say whether what the notice tells of is still to be decided with the account's disputes."""
    if notice.kind == Kind.EMAIL_CONTESTED.value:
        return account.contested_at is not None
    if notice.kind != Kind.NOT_GUARDIAN.value:
        return False
    disputed = (
        select(Guardianship.child_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            Guardianship.account_id == account.id,
            Guardianship.disputed_at.is_not(None),
            Guardianship.ended_at.is_(None),
            Child.school_id == notice.school_id,
        )
    )
    return db.session.scalar(disputed.limit(1)) is not None


def children_of(notices: Sequence[SchoolNotice]) -> dict[uuid.UUID, list[Child]]:
    """Return the children that each of a page of notices concerns, by the notice's id.

    Those that it names, else all children of the account in that school: a tie in dispute counts, one that has ended
    only when there is no other.
    """
    named = {uuid.UUID(key) for notice in notices for key in notice.child_ids}
    children = {child.id: child for child in db.session.scalars(select(Child).where(Child.id.in_(named)))}
    ties = db.session.scalars(
        select(Guardianship)
        .where(Guardianship.account_id.in_({notice.account_id for notice in notices if not notice.child_ids}))
        .order_by(Guardianship.rank, Guardianship.child_id)
    ).all()
    found = {}
    for notice in notices:
        keys = [uuid.UUID(key) for key in notice.child_ids]
        there = [tie for tie in ties if tie.account_id == notice.account_id and tie.child.school_id == notice.school_id]
        alive = [tie for tie in there if tie.ended_at is None]
        found[notice.id] = (
            [children[key] for key in keys if key in children] if keys else [tie.child for tie in alive or there]
        )
    return found
