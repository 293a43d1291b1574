"""The words of notices whose kind alone does not say what happened: a call, and the reason why a guardian waits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask_babel import lazy_gettext as _l

from idp.accounts.closings import Wait
from idp.accounts.models import SchoolNotice
from idp.accounts.school_notices import Kind
from idp.desk.notices.words import WORDS, Answer, Consequence, Words

_RECOGNISED = _l(
    "Votre fichier ajoute %(name)s aux responsables de %(children)s. C’est le nom d’une personne dont "
    "l’établissement a fermé l’accès. En attendant la direction, %(name)s n’a ni accès à l’élève, ni courrier."
)
_EXCLUDED = _l(
    "L’établissement avait confirmé que %(name)s n’est pas responsable de %(children)s. Votre fichier dit maintenant "
    "autre chose, ou nomme de nouveau cette personne. En attendant la direction, elle n’a pas accès à l’élève."
)
_RECOGNISED_CHECK = _l(
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
_CHECKED_ANSWERS: Mapping[Answer, Mapping[str, Any]] = {
    Answer.ADMIT: {
        "label": _l("C’est un responsable de l’élève : %(name)s peut entrer"),
        "before": _l("%(name)s a accès à l’élève tout de suite."),
    },
    Answer.KEEP_OUT: {"label": _l("C’est à refuser : %(name)s reste dehors")},
}
"""What the answers say to a post that may not know that anybody is closed."""
_DOUBT = WORDS[Kind.LETTER_DOUBT]
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
"""The words of a letter that is added to the other account."""
_HEAD_CHECKS = _l("Rien de votre côté. Ne dites rien de cet élève à cette personne.")


def words_of(
    notice: SchoolNotice, wait: Wait | None, *, decides: bool, is_ended: bool = False, is_added: bool = False
) -> Words:
    """Return the words of a notice.

    Who does not decide about people who wait reads the same words whatever the reason is.

    Args:
        notice: the notice.
        wait: why the head has to decide about its person, if the head has.
        decides: whether the post decides about people who wait.
        is_ended: whether the notice is open and about ties that have ended.
        is_added: whether the letter that the notice is about is added to the other account.
    """
    if is_ended or notice.taken_by:
        meaning, check = (_ENDED, _WAS_GUARDIAN) if is_ended else (_BY_TELEPHONE, _CALL_BACK)
        return replace(WORDS[Kind.NOT_GUARDIAN], meaning=meaning, check=check)
    kind = Kind(notice.kind)
    words = _ADDED if is_added else WORDS[kind]
    if wait is not None and not decides:
        return replace(_of_check(words), check=_HEAD_CHECKS)
    match wait:
        case Wait.RECOGNISED:
            return replace(words, meaning=_RECOGNISED, check=_RECOGNISED_CHECK)
        case Wait.EXCLUDED:
            return replace(_of_check(words), meaning=_EXCLUDED)
        case _:
            return words


def _of_check(words: Words) -> Words:
    """Return the words about a person whom the head has to check; they do not say that anybody is closed."""
    answers = {answer: replace(words.answers[answer], **changed) for answer, changed in _CHECKED_ANSWERS.items()}
    check = _l(
        "Cette personne peut-elle savoir ce qui concerne l’élève ? Regardez son dossier, ou demandez à la famille."
    )
    return replace(words, meaning=_CHECKED, check=check, answers=answers)
