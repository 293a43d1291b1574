"""The French words of notices: what each kind means, what to check, and what each answer does."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _l

from idp.accounts.school_notices import Kind


class Answer(enum.StrEnum):
    """An answer of the school; the value is the last part of the URL of its page."""

    RIGHT = "raison"
    REJECT = "rejet"
    FILE = "fichier"
    ADMIT = "autre"
    KEEP_OUT = "ecartee"


LABELS: Mapping[Answer, Any] = {
    Answer.RIGHT: _l("Donner raison"),
    Answer.REJECT: _l("Rejeter"),
    Answer.FILE: _l("Corrigé dans le fichier"),
    Answer.ADMIT: _l("C’est une autre personne"),
    Answer.KEEP_OUT: _l("C’est la personne écartée"),
}
SHORT: Mapping[Answer, Any] = {
    Answer.RIGHT: _l("Fondé"),
    Answer.REJECT: _l("Rejeté"),
    Answer.FILE: _l("Fichier corrigé"),
    Answer.ADMIT: _l("Autre personne"),
    Answer.KEEP_OUT: _l("Personne écartée"),
}
"""The first word of the sentence that is kept with the notice."""


@dataclass(frozen=True)
class Consequence:
    """What an answer does: before, on the page that asks for a sentence, and afterwards."""

    before: Any
    after: Any


@dataclass(frozen=True)
class Words:
    """What a kind of notice is called, what it means, what to check, and its answers."""

    title: Any
    meaning: Any
    check: Any
    answers: Mapping[Answer, Consequence]


_NOTED = _l("Le signalement est réglé, avec votre phrase. Rien d’autre ne change.")

_END_OF_TIE = Consequence(
    _l(
        "Le lien entre cette personne et l’élève finit tout de suite. Le fichier ne le rétablit pas tant qu’il n’a pas "
        "changé. Si c’était le dernier élève de la personne, son compte est fermé."
    ),
    _l("Le lien avec l’élève a fini. Corrigez le fichier, sinon il continue de nommer cette personne."),
)

WORDS: Mapping[Kind, Words] = {
    Kind.GUARDIAN_WAITS: Words(
        _l("Nouveau responsable à vérifier"),
        _l(
            "Un accès à cet élève est suspendu et votre fichier lui donne une personne de plus, ou cette personne "
            "porte presque le nom d’une personne suspendue. En attendant, elle n’a pas accès à l’élève."
        ),
        _l("Est-ce la personne écartée, écrite autrement ? Regardez le jugement. Seule la direction répond."),
        {
            Answer.ADMIT: Consequence(
                _l("Cette personne a accès à l’élève tout de suite. La personne écartée reste suspendue."),
                _l("Cette personne a accès à l’élève. Si son compte n’est pas activé, imprimez son courrier."),
            ),
            Answer.KEEP_OUT: Consequence(
                _l("Cette personne reste sans accès à l’élève, jusqu’à ce que vous rouvriez son accès."),
                _l("Cette personne reste sans accès à l’élève. Corrigez le fichier s’il ne doit pas la nommer."),
            ),
        },
    ),
    Kind.NOT_GUARDIAN: Words(
        _l("Mauvais enfant"),
        _l(
            "La personne qui a le courrier a répondu : « Je ne suis pas le représentant légal ». En attendant votre "
            "réponse, le compte est fermé et aucun courrier ne s’imprime."
        ),
        _l("Regardez le dossier de l’élève : cette personne est-elle un responsable légal ?"),
        {
            Answer.RIGHT: _END_OF_TIE,
            Answer.REJECT: Consequence(
                _l("Le lien avec l’élève est rétabli. Le courrier ne marche plus : imprimez-en un autre."),
                _l("Le lien est rétabli. Imprimez un nouveau courrier pour cette personne."),
            ),
            Answer.FILE: Consequence(
                _l("Le lien finit tout de suite, et le prochain import trouvera votre fichier corrigé."),
                _l("Le lien avec l’élève a fini. Importez le fichier corrigé."),
            ),
        },
    ),
    Kind.EMAIL_CONTESTED: Words(
        _l("Adresse contestée"),
        _l(
            "L’adresse mail du compte a été changée, et quelqu’un dit que ce n’était pas lui. En attendant, personne "
            "n’entre dans ce compte."
        ),
        _l("Appelez la personne au numéro du dossier, pas à un numéro reçu par mail : quelle adresse est la sienne ?"),
        {
            Answer.RIGHT: Consequence(
                _l("L’ancienne adresse est remise. La personne y choisit un nouveau mot de passe, par mail."),
                _l("L’ancienne adresse est remise. Dites à la personne : « Mot de passe oublié », puis le mail."),
            ),
            Answer.REJECT: Consequence(
                _l("La nouvelle adresse est gardée. La personne y choisit un nouveau mot de passe, par mail."),
                _l("La nouvelle adresse est gardée. Dites à la personne : « Mot de passe oublié », puis le mail."),
            ),
        },
    ),
    Kind.EMAIL_CHANGE_STOPPED: Words(
        _l("Changement d’adresse arrêté"),
        _l("Quelqu’un a voulu changer l’adresse mail du compte. La personne l’a arrêté à temps."),
        _l("Demandez à la personne si elle a donné son mot de passe, et si elle en a choisi un autre depuis."),
        {
            Answer.RIGHT: Consequence(
                _l("Le signalement est réglé : la personne a choisi un autre mot de passe."),
                _NOTED,
            ),
            Answer.REJECT: Consequence(_l("Le signalement est réglé : c’était la personne elle-même."), _NOTED),
        },
    ),
    Kind.LETTER_DOUBT: Words(
        _l("Doublon possible"),
        _l(
            "Une personne a voulu ajouter ce courrier à son compte, mais les deux noms sont différents. Rien n’a été "
            "ajouté."
        ),
        _l("Est-ce la même personne, écrite de deux façons dans vos fichiers ? Ou deux personnes ?"),
        {
            Answer.FILE: Consequence(
                _l("Le signalement est réglé. Après l’import, la personne ajoute son courrier à nouveau."),
                _l("Le signalement est réglé. Importez le fichier, puis dites à la personne d’ajouter son courrier."),
            ),
            Answer.REJECT: Consequence(
                _l("Le signalement est réglé : ce sont deux personnes. Chacune garde son compte."),
                _NOTED,
            ),
        },
    ),
    Kind.LETTER_GUESSED: Words(
        _l("Courrier deviné"),
        _l("Quelqu’un essaie beaucoup de mots de passe avec l’identifiant de ce courrier."),
        _l("Demandez à la famille si c’était elle. Sinon, le courrier est peut-être dans d’autres mains."),
        {
            Answer.RIGHT: Consequence(
                _l("Le signalement est réglé. Imprimez ensuite un nouveau courrier : l’ancien ne marchera plus."),
                _l("Le signalement est réglé. Imprimez maintenant un nouveau courrier pour cette personne."),
            ),
            Answer.REJECT: Consequence(_l("Le signalement est réglé : c’était la famille."), _NOTED),
        },
    ),
    Kind.SHARED_MAILBOX: Words(
        _l("Même adresse mail pour deux comptes"),
        _l("Deux personnes ont donné la même adresse mail. Qui lit cette boîte peut entrer dans les deux comptes."),
        _l("Les deux personnes sont-elles d’accord ? Si elles sont séparées, l’une des deux change d’adresse."),
        {
            Answer.RIGHT: Consequence(
                _l("Le signalement est réglé. Une des deux personnes change d’adresse, avec un nouveau courrier."),
                _l("Le signalement est réglé. Imprimez un nouveau courrier pour la personne qui change d’adresse."),
            ),
            Answer.REJECT: Consequence(_l("Le signalement est réglé : les deux personnes sont d’accord."), _NOTED),
            Answer.FILE: Consequence(
                _l("Le signalement est réglé : le fichier donnait la même adresse aux deux."), _NOTED
            ),
        },
    ),
    Kind.OTHER_MAILBOX: Words(
        _l("Activé par quelqu’un d’autre ?"),
        _l(
            "Le compte est activé, mais la personne qui lit l’adresse mail de votre fichier dit : « Ce n’est pas moi »."
        ),
        _l("Appelez la personne au numéro du dossier : a-t-elle activé son compte elle-même ?"),
        {
            Answer.RIGHT: Consequence(
                _l("Le signalement est réglé. Imprimez ensuite un nouveau courrier : il ferme l’ancien accès."),
                _l("Le signalement est réglé. Imprimez maintenant un nouveau courrier : il ferme l’ancien accès."),
            ),
            Answer.REJECT: Consequence(_l("Le signalement est réglé : le compte est dans les bonnes mains."), _NOTED),
            Answer.FILE: Consequence(_l("Le signalement est réglé : l’adresse du fichier était fausse."), _NOTED),
        },
    ),
    Kind.PERSON_REPLACED: Words(
        _l("Personne remplacée par un import"),
        _l("Votre fichier donne maintenant ce nom ou ce numéro à une autre personne. L’ancien compte est fermé."),
        _l("Regardez le fichier : est-ce vraiment une autre personne ?"),
        {
            Answer.REJECT: Consequence(
                _l("Le signalement est réglé : c’est bien une autre personne. L’ancien compte reste fermé."), _NOTED
            ),
            Answer.FILE: Consequence(
                _l("Le signalement est réglé. L’ancien compte reste fermé : importez le fichier corrigé."),
                _l("Le signalement est réglé. Importez le fichier corrigé, puis imprimez un courrier."),
            ),
        },
    ),
    Kind.NAME_IN_DOUBT: Words(
        _l("Nom en doute"),
        _l("Votre fichier donne un autre nom à la personne qui a ce compte. En attendant, rien n’est changé."),
        _l("Est-ce la même personne sous un autre nom, par exemple après un mariage ? Ou quelqu’un d’autre ?"),
        {
            Answer.RIGHT: Consequence(
                _l("Le compte prend le nom que vous écrivez. Le mot de passe et les enfants restent."),
                _l("Le compte a son nouveau nom. Le prochain import le reconnaîtra."),
            ),
            Answer.REJECT: Consequence(
                _l("Le signalement est réglé. Dans le fichier, donnez un autre numéro à cette autre personne."),
                _l("Le signalement est réglé. Donnez un autre numéro à cette personne, puis importez le fichier."),
            ),
            Answer.FILE: Consequence(
                _l("Le signalement est réglé : le fichier avait une erreur."),
                _l("Le signalement est réglé. Importez le fichier corrigé."),
            ),
        },
    ),
    Kind.RECTIFICATION: Words(
        _l("Correction demandée"),
        _l("Le délégué à la protection des données vous demande de corriger les données de cette personne."),
        _l("Comparez sa demande avec le dossier de la personne. Seul votre fichier corrige pour de bon."),
        {
            Answer.FILE: Consequence(
                _l("Le signalement est réglé. La correction paraît ici au prochain import du fichier."),
                _l("Le signalement est réglé. Importez le fichier corrigé."),
            ),
            Answer.REJECT: Consequence(
                _l("Le signalement est réglé : les données sont justes. Votre phrase reste."),
                _NOTED,
            ),
        },
    ),
}

OVER = Consequence(
    _l("Il n’y a plus rien à décider : le lien ou l’adresse a changé entre-temps. Le signalement est réglé."), _NOTED
)
"""What any answer does about a dispute that ended by itself."""
AUTHORS: Mapping[str, Any] = {
    "parent": _l("la famille"),
    "letter": _l("un nouveau courrier"),
    "import": _l("un import de fichier"),
}
"""The acts that settle a notice by themselves."""

_BY_ITSELF: Mapping[str, Any] = {
    "a new letter was used": _l("Un nouveau courrier a servi."),
    "new letter": _l("Nouveau courrier"),
    "the file names the same person": _l("Le fichier nomme la même personne."),
    "the letter was added": _l("Le courrier a été ajouté au compte."),
    "unlocked": _l("Compte débloqué"),
}
"""The sentences of the acts that settle a notice by themselves, as the database has them."""
_LETTER = "new letter: "


def sentence(stored: str) -> str:
    """Return the sentence of a settled notice in French: a colleague's own, or that of an act."""
    if stored.startswith(_LETTER):
        return f"{_BY_ITSELF['new letter']} : {stored.removeprefix(_LETTER)}"
    return str(_BY_ITSELF.get(stored, stored))
