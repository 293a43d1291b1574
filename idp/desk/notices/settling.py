"""Settles a notice by the act of `idp.families` that the answer means."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk import access, decisions
from idp.desk.access import Right
from idp.desk.notices.particular_words import OF_ENDED_TIE
from idp.desk.notices.words import OVER, SHORT, WORDS, Answer, Consequence
from idp.families import acts, admission, disputes, merging
from idp.families.disputes import Decision, Outcome

FOR_HEAD = frozenset({Kind.GUARDIAN_WAITS, Kind.GUARDIAN_ADDED, *school_notices.SETTLED_BY_REOPENING})
"""The kinds of notices that only the head answers; of other kinds, some notices are for the head (`for_head`)."""
_REJECTIONS = {Answer.REJECT, Answer.WAS_WRONG}
_DISPUTES = {Kind.NOT_GUARDIAN, Kind.EMAIL_CONTESTED}


@dataclass(frozen=True)
class Reply:
    """An answer with its sentence.

    Attributes:
        answer: the answer.
        sentence: what was found and done.
        child: the child of the only disputed tie that is meant, or None for all of the notice.
        names: the new names of the person, for a name in doubt.
        seen: the `admission.pupils_asked` of the page, for a question to the head or about a letter.
    """

    answer: Answer
    sentence: str
    child: uuid.UUID | None = None
    names: Mapping[str, str] | None = None
    seen: str = ""

    @property
    def kept(self) -> str:
        """The sentence as the notice and the journal keep it."""
        return f"{SHORT[self.answer]} : {self.sentence}"


def disputed_ties(notice: SchoolNotice) -> Sequence[Guardianship]:
    """Return the ties of the account to pupils of the notice's school that are in dispute, also if they have ended."""
    return disputes.open_disputes(notice.account_id, notice.school_id)


def is_in_dispute(notice: SchoolNotice) -> bool:
    """Return whether the notice is about a dispute that is open."""
    return notice.id in in_dispute([notice])


def in_dispute(notices: Collection[SchoolNotice]) -> set[uuid.UUID]:
    """Return the notices that are about a dispute that is open."""
    of_ties = [notice for notice in notices if notice.kind == Kind.NOT_GUARDIAN.value]
    of_emails = [notice for notice in notices if notice.kind == Kind.EMAIL_CONTESTED.value]
    ties: set[tuple[uuid.UUID, uuid.UUID]] = set()
    contested: set[uuid.UUID] = set()
    if of_ties:
        disputed = (
            select(Guardianship.account_id, Child.school_id)
            .join(Child, Child.id == Guardianship.child_id)
            .where(Guardianship.account_id.in_({notice.account_id for notice in of_ties}), Guardianship.is_disputed)
        )
        ties = {(account_id, school_id) for account_id, school_id in db.session.execute(disputed)}
    if of_emails:
        keys = {notice.account_id for notice in of_emails}
        contested = set(
            db.session.scalars(select(Account.id).where(Account.id.in_(keys), Account.contested_at.is_not(None)))
        )
    by_ties = {notice.id for notice in of_ties if (notice.account_id, notice.school_id) in ties}
    return by_ties | {notice.id for notice in of_emails if notice.account_id in contested}


def with_ended_ties(notices: Collection[SchoolNotice]) -> set[uuid.UUID]:
    """Return the notices about a dispute that is open although an import has ended the tie.

    Such a tie closes no account. If a notice is about another tie too, which holds, it is not among them.
    """
    of_ties = [notice for notice in notices if notice.kind == Kind.NOT_GUARDIAN.value]
    ended = disputes.among_ended({notice.account_id for notice in of_ties}) if of_ties else set()
    rows = [notice for notice in of_ties if (notice.account_id, notice.school_id) in ended]
    return {notice.id for notice in rows} - in_dispute(rows)


def is_with_ended_ties(notice: SchoolNotice) -> bool:
    """Return whether the notice is one of `with_ended_ties`."""
    return notice.id in with_ended_ties([notice])


def added(notices: Collection[SchoolNotice]) -> set[uuid.UUID]:
    """Return the notices about a letter that is added to the other account: also settled ones can be taken back."""
    keys = [notice.id for notice in notices if notice.kind == Kind.LETTER_DOUBT.value]
    rows = select(SchoolNotice.id).where(SchoolNotice.id.in_(keys), school_notices.is_added())
    return set(db.session.scalars(rows)) if keys else set()


def answers(
    notice: SchoolNotice, *, is_disputed: bool, is_ended: bool, is_for_head: bool
) -> Mapping[Answer, Consequence]:
    """Return the answers that the post may give, and what each does.

    Args:
        notice: the notice, open or one of `added`.
        is_disputed: what `is_in_dispute` says.
        is_ended: what `is_with_ended_ties` says.
        is_for_head: whether the notice is one of `for_head`.
    """
    kind = Kind(notice.kind)
    if is_for_head and not access.may(Right.REOPEN):
        return {}
    if kind in _DISPUTES and not is_disputed and not is_ended:
        return {Answer.FILE: OVER}
    possible = OF_ENDED_TIE if is_ended else WORDS[kind].answers
    if notice.settled_at is not None:
        return {Answer.TWO_PEOPLE: possible[Answer.TWO_PEOPLE]}
    if notice.taken_by and not _may_confirm_call(notice):
        return {answer: possible[answer] for answer in possible if answer in _REJECTIONS}
    return possible


def _may_confirm_call(notice: SchoolNotice) -> bool:
    """Return whether the person may confirm what somebody said on the telephone: a head who took none of the calls."""
    return access.may(Right.REOPEN) and not any(map(access.was_by, notice.taken_by))


def needs_proof(notice: SchoolNotice, answer: Answer, *, is_disputed: bool, is_for_head: bool) -> bool:
    """Return whether an answer needs a fresh proof: one that only the head gives, also to a call, or moved children."""
    is_call = bool(notice.taken_by) and (is_disputed or answer in OF_ENDED_TIE)
    moves = notice.kind == Kind.LETTER_DOUBT.value and (answer is Answer.ONE_PERSON) is not bool(added([notice]))
    return is_for_head or moves or (is_call and answer not in _REJECTIONS)


def for_head(notices: Collection[SchoolNotice]) -> set[uuid.UUID]:
    """Return the notices that only the head answers, with a fresh proof, because an answer may bypass a closing.

    They are about a new guardian who waits, about a guardian whom a file added beside an active one, or about another
    name for a guardian of a pupil to whom somebody's access is closed: under another name a person is not recognised
    any more, or is another person.
    """
    doubts = [notice for notice in notices if notice.kind == Kind.NAME_IN_DOUBT.value]
    beside = decisions.beside({notice.account_id for notice in doubts})
    always = {notice.id for notice in notices if notice.kind in FOR_HEAD}
    return always | {notice.id for notice in doubts if notice.account_id in beside}


def consequence(notice: SchoolNotice, answer: Answer) -> Consequence | None:
    """Return what an answer did about a notice that is settled, or None if its kind has no such answer."""
    known = {**OF_ENDED_TIE, **WORDS[Kind(notice.kind)].answers}
    return known.get(answer, OVER if answer is Answer.FILE else None)


def answer_of(notice: SchoolNotice) -> Answer | None:
    """Return the answer that settled a notice, or None if an act settled it by itself."""
    return next((answer for answer, short in SHORT.items() if notice.sentence.startswith(f"{short} : ")), None)


def settle(settings: Settings, notice: SchoolNotice, reply: Reply) -> None:
    """Settle a notice.

    Raises:
        RefusedError: somebody else was first (`SETTLED`), or the account does not allow the answer any more.
    """
    kind = Kind(notice.kind)
    if reply.answer in OF_ENDED_TIE or _is_of_ended_tie(notice, reply):
        decision = _decision(notice, kind, reply)
        confirms = decision.outcome is Outcome.CONFIRM
        disputes.settle_ended(notice, decision.reason, decision.child, confirms=confirms)
    elif is_in_dispute(notice):
        disputes.settle(settings, notice.account_id, _decision(notice, kind, reply))
    elif kind is Kind.NAME_IN_DOUBT and reply.answer is Answer.RIGHT:
        acts.rename(notice.account_id, dict(reply.names or {}), reply.kept, notice.id)
    elif kind is Kind.GUARDIAN_WAITS:
        decide = admission.admit if reply.answer is Answer.ADMIT else admission.keep_out
        decide(notice.id, reply.kept, reply.seen)
    elif kind is Kind.GUARDIAN_ADDED and reply.answer is Answer.REJECT:
        admission.close(notice.id, reply.kept, reply.seen)
    elif kind is Kind.LETTER_DOUBT:
        is_one_person = reply.answer is Answer.ONE_PERSON
        merging.decide(settings, notice.id, reply.kept, reply.seen, is_one_person=is_one_person)
    elif kind is Kind.LETTER_GUESSED and reply.answer is Answer.RIGHT:
        acts.void_letter(notice.id, reply.kept)
    else:
        with unit_of_work():
            acts.settle_notice(notice.id, reply.kept)


def _is_of_ended_tie(notice: SchoolNotice, reply: Reply) -> bool:
    ties = disputed_ties(notice) if reply.child and notice.kind == Kind.NOT_GUARDIAN.value else ()
    return any(tie.child_id == reply.child and not tie.is_unended for tie in ties)


def _decision(notice: SchoolNotice, kind: Kind, reply: Reply) -> Decision:
    return Decision(
        outcome=Outcome.REJECT if reply.answer in _REJECTIONS else Outcome.CONFIRM,
        reason=reply.kept,
        kind=kind,
        child=reply.child,
        school=db.session.get_one(School, notice.school_id),
    )
