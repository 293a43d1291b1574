"""The acts of « Décisions »: what each needs and whom it tells; for the answers also their words and what they do."""

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.closings import Kind as ClosingKind, Wait
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.access import Right
from idp.desk.decisions import closings
from idp.desk.decisions.words import OVER, SHORT, WORDS, Answer, Consequence, Words
from idp.families import acts, admission, disputes, merging
from idp.families.disputes import Decision, Outcome


@dataclass(frozen=True)
class Act:
    """What a page, or an answer, needs: a right, a fresh proof; and whether the heads learn that another role did it.

    The proof comes first if something opens, closes or is given. None: the row of the notice's kind says it.
    """

    right: Right
    proof: bool | None = False
    tells_heads: bool = False


_SETTLES, _GIVES = Act(Right.SETTLE_NOTICES), Act(Right.SETTLE_NOTICES, proof=True)
_OF_HEAD = Act(Right.REOPEN, proof=True)
ACTS: Mapping[str, Act] = {
    "to_decide": Act(Right.READ_NOTICES),
    "notice": Act(Right.READ_NOTICES),
    "in_force": Act(Right.CLOSE),
    "closed": Act(Right.CLOSE),
    "close": Act(Right.CLOSE, proof=True, tells_heads=True),
    "reopen": _OF_HEAD,
    "restore": _OF_HEAD,
    "call": _GIVES,
    "answer": replace(_SETTLES, proof=None),
    Kind.EMAIL_CONTESTED: replace(_GIVES, tells_heads=True),
    **dict.fromkeys((Kind.NOT_GUARDIAN, Kind.LETTER_DOUBT, Kind.NAME_IN_DOUBT), _GIVES),
    **dict.fromkeys((Kind.GUARDIAN_WAITS, Kind.GUARDIAN_ADDED, *school_notices.SETTLED_BY_REOPENING), _OF_HEAD),
    **dict.fromkeys((Kind.EMAIL_CHANGE_STOPPED, Kind.LETTER_GUESSED, Kind.SHARED_MAILBOX), _SETTLES),
    **dict.fromkeys((Kind.OTHER_MAILBOX, Kind.PERSON_REPLACED, Kind.RECTIFICATION), _SETTLES),
}
"""The rows of the pages, by the name of the view, and of the answers, by the kind of notice; see also `for_head`."""
FOR_HEAD = [kind for kind in Kind if ACTS[kind].right is Right.REOPEN]
_REJECTIONS = {Answer.REJECT, Answer.WAS_WRONG}
_DISPUTES = {Kind.NOT_GUARDIAN.value, Kind.EMAIL_CONTESTED.value}
_RECOGNISED = _l(
    "Votre fichier ajoute %(name)s aux responsables de %(children)s. C’est le nom d’une personne dont "
    "l’établissement a fermé l’accès. En attendant la direction, %(name)s n’a ni accès à l’élève, ni courrier."
)
_RETURNED = _l(
    "L’établissement avait fermé l’accès de %(name)s à %(children)s, ou confirmé que ce n’est pas un responsable. "
    "Votre fichier dit maintenant autre chose, ou nomme de nouveau cette personne. En attendant la direction, elle n’a "
    "pas accès à l’élève."
)
_IS_SAME_PERSON = _l(
    "Est-ce cette personne ? Regardez le motif et le document de la suspension : vaut-elle aussi pour cet élève ? "
    "Sinon, la personne peut entrer."
)
_BY_TELEPHONE = _l(
    "Au téléphone, quelqu’un a dit au nom de %(name)s : « Ce n’est pas mon enfant », pour %(children)s. En attendant "
    "votre réponse, le compte est fermé et aucun courrier ne s’imprime."
)
_CALL_BACK = _l(
    "Regardez le dossier de l’élève, et rappelez la personne au numéro du dossier : est-elle un responsable légal ? Si "
    "elle ne l’est pas, la direction le confirme, mais pas une personne qui a pris un appel. Corrigez aussi le fichier."
)
_ENDED = _l(
    "%(name)s, ou quelqu’un en son nom, a dit : « Ce n’est pas mon enfant », pour %(children)s. Depuis, ce lien a "
    "fini : l’élève est parti, ou le fichier ne nomme plus cette personne. Ce signalement ne ferme donc plus le compte."
)
_WAS_GUARDIAN = _l("Regardez le dossier de l’élève : cette personne était-elle un responsable légal ?")
OF_ENDED_TIE: Mapping[Answer, Consequence] = {
    Answer.WAS_RIGHT: Consequence(
        _l("Donner raison à %(name)s : ce n’était pas son enfant"),
        _l(
            "Le lien entre %(name)s et %(children)s a déjà fini : rien d’autre ne change. Si le prochain fichier nomme "
            "encore cette personne, il ne le rétablit pas."
        ),
        _l("C’est noté. Le lien entre %(name)s et %(children)s avait déjà fini."),
    ),
    Answer.WAS_WRONG: Consequence(
        _l("Rejeter : c’était bien son enfant"),
        _l(
            "Le lien entre %(name)s et %(children)s a déjà fini, et reste fini. Si un fichier nomme de nouveau cette "
            "personne pour cet élève, l’import rétablit le lien."
        ),
        _l("C’est noté. Le lien entre %(name)s et %(children)s avait déjà fini, et reste fini."),
    ),
}
"""The answers about a disputed tie that an import has ended."""
_CHECKED = _l(
    "Votre fichier donne à %(children)s un nouveau responsable : %(name)s. La direction doit le vérifier. En "
    "attendant, cette personne n’a pas accès à l’élève."
)
_MAY_ENTER = _l("C’est un responsable de l’élève : %(name)s peut entrer")
_IS_GUARDIAN = _l(
    "Cette personne peut-elle savoir ce qui concerne l’élève ? Regardez son dossier, ou demandez à la famille."
)
_HEAD_CHECKS = _l("Rien de votre côté. Ne dites rien de cet élève à cette personne.")
_DOUBT = WORDS[Kind.LETTER_DOUBT]
# The words of a letter that is added to the other account.
_ADDED = replace(
    _DOUBT,
    meaning=_l(
        "Le courrier de %(name)s a été ajouté au compte de %(other)s, qui a maintenant ses élèves : le nom est le "
        "même, et l’adresse postale, l’adresse mail ou la famille aussi ; ou un établissement a répondu « Oui »."
    ),
    answers={
        Answer.ONE_PERSON: replace(_DOUBT.answers[Answer.ONE_PERSON], before=_l("Le signalement est réglé.")),
        Answer.TWO_PEOPLE: replace(
            _DOUBT.answers[Answer.TWO_PEOPLE],
            before=_l(
                "Les élèves de %(name)s quittent tout de suite le compte de %(other)s, qui reçoit un mail. Le compte "
                "de %(name)s est rouvert, sans courrier : imprimez-en un. Un élève suspendu le reste."
            ),
        ),
    },
)


def act(view: Callable[..., Any]) -> Callable[..., Any]:
    """Declare that a view needs what its row says."""
    row = ACTS[view.__name__]
    return access.needs(row.right, fresh=row.proof)(view)


def tells_heads(name: str) -> bool:
    """Return whether the heads learn that the person of the request did what a row is about."""
    return ACTS[name].tells_heads and not access.own_spec().leads


@dataclass(frozen=True)
class State:
    """What the words and the answers of a notice depend on, beside its kind.

    Attributes:
        is_disputed: whether it is open and about a dispute that is open.
        is_ended: whether it is open and about a dispute that is open although an import has ended the tie.
        is_for_head: whether it is one of `for_head`.
        is_added: whether the letter that it is about is added to the other account: that can be taken back.
        wait: why the head has to decide about its person, if the head has.
    """

    is_disputed: bool
    is_ended: bool
    is_for_head: bool
    is_added: bool
    wait: Wait | None


def states(notices: Collection[SchoolNotice], waits: Mapping[uuid.UUID, Wait]) -> Mapping[uuid.UUID, State]:
    """Return the states of notices. As many statements run for many notices as for one."""
    open_ones = [notice for notice in notices if notice.settled_at is None]
    disputed, added, of_head = _in_dispute(open_ones), _added(notices), for_head(open_ones)
    ended = _with_ended_ties(open_ones) - disputed
    return {
        row.id: State(row.id in disputed, row.id in ended, row.id in of_head, row.id in added, waits.get(row.id))
        for row in notices
    }


def _in_dispute(notices: Collection[SchoolNotice]) -> set[uuid.UUID]:
    keys = {notice.account_id for notice in notices if notice.kind in _DISPUTES}
    if not keys:
        return set()
    disputed = (
        select(Guardianship.account_id, Child.school_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            Guardianship.account_id.in_(keys),
            Guardianship.is_unended,
            Guardianship.where_closed_as(ClosingKind.DISPUTED),
        )
    )
    ties = {(Kind.NOT_GUARDIAN.value, account_id, school_id) for account_id, school_id in db.session.execute(disputed)}
    contested = set(db.session.scalars(select(Account.id).where(Account.id.in_(keys), Account.has_contested_email)))
    return {
        notice.id
        for notice in notices
        if (notice.kind, notice.account_id, notice.school_id) in ties
        or (notice.kind == Kind.EMAIL_CONTESTED.value and notice.account_id in contested)
    }


def _with_ended_ties(notices: Collection[SchoolNotice]) -> set[uuid.UUID]:
    """Return the notices about a dispute that is open although an import has ended a tie, which closes no account."""
    of_ties = [notice for notice in notices if notice.kind == Kind.NOT_GUARDIAN.value]
    ended = disputes.among_ended({notice.account_id for notice in of_ties}) if of_ties else set()
    return {notice.id for notice in of_ties if (notice.account_id, notice.school_id) in ended}


def _added(notices: Collection[SchoolNotice]) -> set[uuid.UUID]:
    keys = [notice.id for notice in notices if notice.kind == Kind.LETTER_DOUBT.value]
    rows = select(SchoolNotice.id).where(SchoolNotice.id.in_(keys), school_notices.is_added())
    return set(db.session.scalars(rows)) if keys else set()


def for_head(notices: Collection[SchoolNotice]) -> set[uuid.UUID]:
    """Return the notices that the person, who settles others, leaves to the head: an answer may bypass a closing.

    They are about a new guardian who waits, about a guardian whom a file added beside an active one, or about another
    name for a guardian of a pupil to whom somebody's access is closed: under another name a person is not recognised
    any more, or is another person.
    """
    if access.may(Right.REOPEN) or not access.may(Right.SETTLE_NOTICES):
        return set()
    doubts = [notice for notice in notices if notice.kind == Kind.NAME_IN_DOUBT.value]
    beside = closings.beside({notice.account_id for notice in doubts})
    always = {notice.id for notice in notices if notice.kind in FOR_HEAD}
    return always | {notice.id for notice in doubts if notice.account_id in beside}


def words_of(notice: SchoolNotice, state: State) -> Words:
    """Return the words of a notice, with all answers.

    Who does not decide about people who wait reads the same words whatever the reason is.
    """
    words = _ADDED if state.is_added else WORDS[Kind(notice.kind)]
    if notice.kind in _DISPUTES and notice.settled_at is None and not state.is_disputed:
        words = replace(words, answers=OF_ENDED_TIE if state.is_ended else {Answer.FILE: OVER})
        is_of_tie = notice.kind == Kind.NOT_GUARDIAN.value
        return replace(words, meaning=_ENDED, check=_WAS_GUARDIAN) if is_of_tie else words
    if notice.taken_by:
        return replace(words, meaning=_BY_TELEPHONE, check=_CALL_BACK)
    if state.wait is not None and not access.may(Right.REOPEN):
        return replace(_of_check(words), check=_HEAD_CHECKS)
    match state.wait:
        case Wait.RECOGNISED:
            return replace(words, meaning=_RECOGNISED, check=_IS_SAME_PERSON)
        case Wait.RETURNED:
            return replace(_of_check(words), meaning=_RETURNED)
        case _:
            return words


def _of_check(words: Words) -> Words:
    """Return the words about a person whom the head has to check; they do not say that anybody is closed."""
    admit, keep_out = words.answers[Answer.ADMIT], words.answers[Answer.KEEP_OUT]
    answers = {
        Answer.ADMIT: replace(admit, label=_MAY_ENTER, before=_l("%(name)s a accès à l’élève tout de suite.")),
        Answer.KEEP_OUT: replace(keep_out, label=_l("C’est à refuser : %(name)s reste dehors")),
    }
    return replace(words, meaning=_CHECKED, check=_IS_GUARDIAN, answers=answers)


def possible(notice: SchoolNotice, state: State, words: Words) -> Mapping[Answer, Consequence]:
    """Return the answers that the post may give, in the words of the notice, and what each does."""
    if state.is_for_head or not access.may(Right.SETTLE_NOTICES):
        return {}
    if notice.settled_at is not None:
        return {Answer.TWO_PEOPLE: words.answers[Answer.TWO_PEOPLE]} if state.is_added else {}
    # a head who took none of the calls confirms what somebody said on the telephone
    if not notice.taken_by or (access.may(Right.REOPEN) and not any(map(access.was_by, notice.taken_by))):
        return words.answers
    return {answer: does for answer, does in words.answers.items() if answer in _REJECTIONS or does is OVER}


def consequence(notice: SchoolNotice, answer: Answer) -> Consequence | None:
    """Return what an answer did about a notice that is settled, or None if its kind has no such answer."""
    known = {**OF_ENDED_TIE, **WORDS[Kind(notice.kind)].answers}
    return known.get(answer, OVER if answer is Answer.FILE else None)


def given(notice: SchoolNotice) -> Answer | None:
    """Return the answer that settled a notice, or None if an act settled it by itself."""
    return next((answer for answer, short in SHORT.items() if notice.sentence.startswith(f"{short} : ")), None)


@dataclass(frozen=True)
class Reply:
    """An answer with its sentence.

    `child` is the child of the only disputed tie that is meant, or None for all of the notice; `names` are the new
    names of the person, for a name in doubt; `seen` is the `admission.pupils_asked` of the page.
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


def settle(settings: Settings, notice: SchoolNotice, reply: Reply) -> None:
    """Settle a notice.

    Raises:
        RefusedError: somebody else was first (`SETTLED`), or the account does not allow the answer any more.
    """
    kind = Kind(notice.kind)
    if reply.answer in OF_ENDED_TIE or _in_dispute([notice]) or _with_ended_ties([notice]):
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


def _decision(notice: SchoolNotice, kind: Kind, reply: Reply) -> Decision:
    return Decision(
        outcome=Outcome.REJECT if reply.answer in _REJECTIONS else Outcome.CONFIRM,
        reason=reply.kept,
        kind=kind,
        child=reply.child,
        school=db.session.get_one(School, notice.school_id),
        of_ended=reply.answer in OF_ENDED_TIE,
        note=str(WORDS[kind].answers[reply.answer].before) if tells_heads(kind) else "",
    )
