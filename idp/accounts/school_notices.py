"""Notices to a school: written in the caller's transaction, settled by an operator.

Each notice is in the list of one school, in the count of `idp letters status` and, when the
school has given a mail address, in the next digest.
"""

import enum
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, Update, and_, exists, or_, select, update

from idp.accounts import closing_acts, directory
from idp.accounts.closings import Kind as ClosingKind
from idp.accounts.models import Account, Child, Guardianship, Merge, School, SchoolNotice
from idp.audit import log
from idp.audit.events import DisputeSettled
from idp.audit.registry_events import NoticeSettled
from idp.clock import now
from idp.db import db
from idp.outbox import queue

CONTACTS = "school.contacts"
"""The kind of outbox message about another telephone or address for the notices of a school."""


class Kind(enum.StrEnum):
    """The event that a notice is about."""

    NOT_GUARDIAN = "not_guardian"
    EMAIL_CONTESTED = "email_contested"
    EMAIL_CHANGE_STOPPED = "email_change_stopped"
    LETTER_DOUBT = "letter_doubt"
    LETTER_GUESSED = "letter_guessed"
    SHARED_MAILBOX = "shared_mailbox"
    OTHER_MAILBOX = "other_mailbox"
    PERSON_REPLACED = "person_replaced"
    NAME_IN_DOUBT = "name_in_doubt"
    RECTIFICATION = "rectification"
    GUARDIAN_WAITS = "guardian_waits"
    GUARDIAN_ADDED = "guardian_added"
    ACCOUNT_CLOSED = "account_closed"
    CLOSING_PASSED_ON = "closing_passed_on"


SETTLED_BY_UNLOCK = (Kind.LETTER_GUESSED, Kind.EMAIL_CHANGE_STOPPED)
"""The kinds that are settled when an operator unlocks the account."""
SETTLED_BY_LETTER = (Kind.LETTER_GUESSED, Kind.EMAIL_CHANGE_STOPPED, Kind.OTHER_MAILBOX, Kind.SHARED_MAILBOX)
"""The kinds that a new letter settles: it ends the former secret and password, and takes the account's mailbox away."""
SETTLED_BY_REOPENING = (Kind.ACCOUNT_CLOSED, Kind.CLOSING_PASSED_ON)
"""The kinds that are settled when a closed account opens again."""
PROMISED = (
    Kind.NOT_GUARDIAN,
    Kind.EMAIL_CONTESTED,
    Kind.EMAIL_CHANGE_STOPPED,
    Kind.LETTER_DOUBT,
    Kind.OTHER_MAILBOX,
)
"""The kinds about which the person was told that the school is informed."""
# The kinds that cause no second mail while a notice is open: the same letter, or the same file, asks nothing new.
_SAME_QUESTION = (Kind.LETTER_DOUBT, Kind.NAME_IN_DOUBT)
DECIDED = and_(SchoolNotice.kind == Kind.EMAIL_CONTESTED.value, SchoolNotice.note != "")
"""The SQL condition of the notices about a contested email with a decision of which the heads are told."""


class Refusal(enum.Enum):
    """The reason why a notice cannot be settled."""

    UNKNOWN = "unknown"
    SETTLED = "settled"
    DISPUTED = "disputed"
    WAITS = "waits"


def add(
    kind: Kind,
    account_id: uuid.UUID,
    schools: Iterable[uuid.UUID] | Mapping[uuid.UUID, Sequence[uuid.UUID]],
    *,
    other_account_id: uuid.UUID | None = None,
    taken_by: Sequence[str] = (),
) -> None:
    """Write one notice for each school, or add the children to the open notice of that school.

    The school's next mail names the notice, also if an earlier mail did: the earlier mail did not tell the new event.

    Args:
        kind: the event.
        account_id: the account that the notice is about. The caller has locked its row, so that two writers do not
            both add a notice.
        schools: the schools that are told; a mapping names the children for each school.
        other_account_id: a second account that the notice is about.
        taken_by: who took the telephone calls that the notice comes from.
    """
    children = schools if isinstance(schools, Mapping) else dict.fromkeys(schools, ())
    same = select(SchoolNotice).where(
        SchoolNotice.account_id == account_id,
        SchoolNotice.kind == kind.value,
        SchoolNotice.other_account_id.is_not_distinct_from(other_account_id),
        SchoolNotice.settled_at.is_(None),
    )
    # lock the notices, since a mail may take them at the same time; in one order, to avoid deadlocks with these mails
    locked = same.order_by(SchoolNotice.school_id).with_for_update().execution_options(populate_existing=True)
    known = {notice.school_id: notice for notice in db.session.scalars(locked)}
    for school_id, child_ids in children.items():
        child_keys, notice = [child.hex for child in child_ids], known.get(school_id)
        if notice is None:
            db.session.add(
                SchoolNotice(
                    school_id=school_id,
                    account_id=account_id,
                    other_account_id=other_account_id,
                    kind=kind.value,
                    child_ids=child_keys,
                    taken_by=list(dict.fromkeys(taken_by)),
                )
            )
            continue
        for taker in taken_by:
            note_taker(notice, taker)
        if kind not in _SAME_QUESTION:
            notice.digested_at = None
        if notice.child_ids:  # a notice without children concerns all of them
            notice.child_ids = list(dict.fromkeys((*notice.child_ids, *child_keys))) if child_keys else []


def tell_contacts(school_id: uuid.UUID, former_email: str | None) -> None:
    """Enqueue the message about other contacts of a school, in the caller's transaction."""
    desk = log.current_origin().desk
    by = str(desk.staff_id) if desk else ""
    queue.enqueue(CONTACTS, {"school": str(school_id), "by": by, "former": former_email or ""})


def note_taker(notice: SchoolNotice, taken_by: str) -> None:
    """Add who took a call to a notice; nobody who took one confirms it. The caller has locked the account's row."""
    if taken_by not in notice.taken_by:
        notice.taken_by = [*notice.taken_by, taken_by]


def is_open(kinds: Iterable[Kind] = Kind) -> ColumnElement[bool]:
    """Return the SQL condition of the open notices of some kinds; of all kinds by default."""
    return and_(SchoolNotice.settled_at.is_(None), SchoolNotice.kind.in_([kind.value for kind in kinds]))


def is_added() -> ColumnElement[bool]:
    """Return the SQL condition of the notices about a letter whose children are in the account that they name."""
    merged = exists().where(Merge.account_id == SchoolNotice.account_id, Merge.into_id == SchoolNotice.other_account_id)
    return and_(SchoolNotice.kind == Kind.LETTER_DOUBT.value, merged)


def were_told_apart(account_id: uuid.UUID, letter_of: uuid.UUID) -> bool:
    """Return whether a school or an engineer answered that two accounts, which are not merged, are two people's."""
    answered = exists().where(
        SchoolNotice.kind == Kind.LETTER_DOUBT.value,
        SchoolNotice.account_id == letter_of,
        SchoolNotice.other_account_id == account_id,
        SchoolNotice.settled_at.is_not(None),
    )
    return bool(db.session.scalar(select(answered)))


def settle(
    account_id: uuid.UUID,
    *,
    by: str,
    sentence: str = "",
    kinds: Iterable[Kind] = Kind,
    school: School | None = None,
    note: str = "",
) -> None:
    """Settle the open notices about the account, in the caller's transaction.

    Args:
        account_id: the account that the notices are about.
        by: the operator, or the act that settles the notices.
        sentence: the operator's sentence.
        kinds: the kinds that are settled; all by default.
        school: the only school whose notices are settled, if given.
        note: the decision, for the school's next mail.
    """
    statement = update(SchoolNotice).where(SchoolNotice.account_id == account_id, is_open(kinds))
    if school is not None:
        statement = statement.where(SchoolNotice.school_id == school.id)
    _settle(statement.values(note=note, digested_at=None) if note else statement, by, sentence)


def end_contest(account: Account) -> None:
    """End the contest of the account's address, if any, in the caller's transaction, because a new letter was used.

    The school gave that letter to a person whom it knows; neither of the two addresses is kept.
    """
    if not account.has_contested_email:
        return
    sentence = "a new letter was used"
    closing_acts.end(account.id, [ClosingKind.CONTESTED.value], by="letter", reason=sentence)
    settle(account.id, by="letter", sentence=sentence, kinds=[Kind.EMAIL_CONTESTED])
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


def settle_all(account_ids: Collection[uuid.UUID], *, by: str, sentence: str, kinds: Iterable[Kind]) -> None:
    """Settle the open notices about many accounts, in the caller's transaction, by one statement; see `settle`."""
    _settle(update(SchoolNotice).where(SchoolNotice.account_id.in_(account_ids), is_open(kinds)), by, sentence)


def _settle(statement: Update, by: str, sentence: str) -> None:
    values = statement.values(settled_at=now(), settled_by=by[:80], sentence=sentence[:500])
    db.session.execute(values.execution_options(synchronize_session=False))


def settle_one(notice_id: uuid.UUID, *, by: str, sentence: str) -> Refusal | None:
    """Settle one notice and journal it, in the caller's transaction; return None, or the reason for a refusal.

    If two operators settle the notice at once, exactly one succeeds. The notice of an open dispute is refused:
    `idp.families.disputes` settles it together with the tie or the address. So is the notice of a guardian
    who waits for the head: `idp.families.closing` settles it together with the tie.

    Args:
        notice_id: the notice.
        by: the operator.
        sentence: the operator's sentence: what was found and done.
    """
    notice = db.session.get(SchoolNotice, notice_id, populate_existing=True)
    account = directory.get_for_change(notice.account_id) if notice else None
    if notice is None or account is None:
        return Refusal.UNKNOWN
    if notice.settled_at is None and _is_in_dispute(account, notice):
        return Refusal.DISPUTED
    if notice.settled_at is None and _is_waiting(notice):
        return Refusal.WAITS
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


def settle_waits(account_id: uuid.UUID, *, by: str, sentence: str) -> None:
    """Settle the notices about a new guardian none of whose ties waits for the head any more."""
    notices = select(SchoolNotice).where(SchoolNotice.account_id == account_id, is_open([Kind.GUARDIAN_WAITS]))
    for notice in db.session.scalars(notices).all():
        settle_one(notice.id, by=by, sentence=sentence)  # refused while a tie waits


def _is_waiting(notice: SchoolNotice) -> bool:
    if notice.kind != Kind.GUARDIAN_WAITS.value:
        return False
    return bool(closing_acts.waits_of(notice.account_id, notice.school_id, now()))


def _is_in_dispute(account: Account, notice: SchoolNotice) -> bool:
    """Return whether the dispute that the notice is about is still open, also if the pupil is in another school now.

    The next import moves such a notice (`idp.rostering.write.moving`). Without it, nobody could settle the dispute.
    """
    if notice.kind == Kind.EMAIL_CONTESTED.value:
        return account.has_contested_email
    if notice.kind != Kind.NOT_GUARDIAN.value:
        return False
    disputed = (
        select(Guardianship.child_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            Guardianship.account_id == account.id,
            Guardianship.is_unended,
            Guardianship.where_closed_as(ClosingKind.DISPUTED),
            or_(Child.school_id == notice.school_id, Child.id.in_(map(uuid.UUID, notice.child_ids))),
        )
    )
    return db.session.scalar(disputed.limit(1)) is not None


def children_of(notices: Sequence[SchoolNotice]) -> dict[uuid.UUID, list[Child]]:
    """Return the children that each notice concerns, by the notice's id.

    A notice without named children concerns all children of the account in that school. Disputed ties count. Ended
    ties count only if the account has no other tie there.
    """
    named = {uuid.UUID(key) for notice in notices for key in notice.child_ids}
    children = {child.id: child for child in db.session.scalars(select(Child).where(Child.id.in_(named)))}
    ties = db.session.scalars(
        select(Guardianship)
        .where(Guardianship.account_id.in_({notice.account_id for notice in notices if not notice.child_ids}))
        .order_by(Guardianship.rank, Guardianship.child_id)
    ).all()
    children_by_notice = {}
    for notice in notices:
        keys = [uuid.UUID(key) for key in notice.child_ids]
        there = [tie for tie in ties if tie.account_id == notice.account_id and tie.child.school_id == notice.school_id]
        alive = [tie for tie in there if tie.is_unended]
        children_by_notice[notice.id] = (
            [children[key] for key in keys if key in children] if keys else [tie.child for tie in alive or there]
        )
    return children_by_notice
