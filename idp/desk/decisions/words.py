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
    KEEP_OUT = "refus"
    WAS_RIGHT = "raison-lien-fini"
    WAS_WRONG = "rejet-lien-fini"
    ONE_PERSON = "meme-personne"
    TWO_PEOPLE = "deux-personnes"


SHORT: Mapping[Answer, Any] = {
    Answer.RIGHT: _l("Fondé"),
    Answer.REJECT: _l("Rejeté"),
    Answer.FILE: _l("Fichier corrigé"),
    Answer.ADMIT: _l("Autre personne"),
    Answer.KEEP_OUT: _l("Accès refusé"),
    Answer.WAS_RIGHT: _l("Fondé, lien déjà fini"),
    Answer.WAS_WRONG: _l("Rejeté, lien déjà fini"),
    Answer.ONE_PERSON: _l("Même personne"),
    Answer.TWO_PEOPLE: _l("Deux personnes"),
}
"""The first word of the sentence that is kept with the notice."""


class Next(enum.Enum):
    """The page that comes after an answer."""

    ACCOUNT = "account"
    LETTER = "letter"
    FILES = "files"


@dataclass(frozen=True)
class Consequence:
    """What an answer says and does.

    The texts may name the people (`%(name)s`, `%(other)s`) and the pupils (`%(children)s`).

    Attributes:
        label: the answer, with the person or the thing that it agrees with; it begins with the word of the answer.
        before: what will happen, on the page that asks for a sentence.
        after: what has happened and comes next; None if `before` says it.
        next: the page that comes next.
    """

    label: Any
    before: Any
    after: Any = None
    next: Next = Next.ACCOUNT


@dataclass(frozen=True)
class Words:
    """What happened, as a title; what it means, what to check, and the answers."""

    title: Any
    meaning: Any
    check: Any
    answers: Mapping[Answer, Consequence]


# The only answer: a head reopens on the page of the account, which settles the notice.
_STAYS = Consequence(
    _l("Donner raison à la suspension : elle reste"),
    _l("Le signalement est réglé, avec votre phrase. Rien d’autre ne change."),
)
WORDS: Mapping[Kind, Words] = {
    Kind.GUARDIAN_WAITS: Words(
        _l("Nouveau responsable à vérifier"),
        _l(
            "L’accès d’une personne à %(children)s est suspendu, et votre fichier ajoute %(name)s aux responsables. "
            "En attendant la direction, %(name)s n’a pas accès à l’élève."
        ),
        _l("Est-ce la personne suspendue, écrite autrement ? Regardez le motif et le document de la suspension."),
        {
            Answer.ADMIT: Consequence(
                _l("C’est une autre personne : %(name)s peut entrer"),
                _l("%(name)s a accès à l’élève tout de suite. La personne suspendue reste sans accès."),
                _l("%(name)s a accès à l’élève. Si son compte n’est pas activé, imprimez son courrier."),
            ),
            Answer.KEEP_OUT: Consequence(
                _l("C’est la personne suspendue : %(name)s reste dehors"),
                _l("%(name)s reste sans accès à l’élève, jusqu’à ce que vous rouvriez son accès."),
                _l("%(name)s reste sans accès à l’élève. Corrigez le fichier s’il ne doit pas nommer cette personne."),
            ),
        },
    ),
    Kind.GUARDIAN_ADDED: Words(
        _l("Responsable ajouté à côté d’un autre"),
        _l(
            "Votre fichier ajoute %(name)s aux responsables de %(children)s. %(name)s a accès. Un responsable de "
            "cet élève utilise déjà son compte : s’il a une adresse mail, il est prévenu, sans le nom de la personne."
        ),
        _l("Regardez le dossier de l’élève : cette personne est-elle un responsable légal ?"),
        {
            Answer.RIGHT: Consequence(
                _l("Donner raison au fichier : %(name)s garde son accès"),
                _l("Rien ne change : %(name)s garde son accès à %(children)s."),
            ),
            Answer.REJECT: Consequence(
                _l("Rejeter : suspendre l’accès de %(name)s"),
                _l(
                    "%(name)s n’a plus accès à %(children)s, tout de suite, jusqu’à ce que vous rouvriez son accès. "
                    "Ses accès à d’autres élèves restent. Corrigez aussi le fichier."
                ),
                _l("L’accès de %(name)s à %(children)s est suspendu. Corrigez aussi le fichier."),
                Next.FILES,
            ),
        },
    ),
    Kind.NOT_GUARDIAN: Words(
        _l("Une personne dit que ce n’est pas son enfant"),
        _l(
            "%(name)s a répondu : « Je ne suis pas le représentant légal », pour %(children)s. En attendant votre "
            "réponse, le compte est fermé et aucun courrier ne s’imprime."
        ),
        _l("Regardez le dossier de l’élève : cette personne est-elle un responsable légal ?"),
        {
            Answer.RIGHT: Consequence(
                _l("Donner raison à %(name)s : ce n’est pas son enfant"),
                _l(
                    "Le lien entre %(name)s et %(children)s finit tout de suite. Le fichier ne le rétablit pas tant "
                    "qu’il n’a pas changé. Si c’était le dernier élève de cette personne, son compte est fermé. S’il "
                    "lui en reste et que son compte n’est pas activé, imprimez-lui un autre courrier : le sien ne "
                    "marche plus."
                ),
                _l(
                    "Le lien entre %(name)s et %(children)s a fini. Corrigez le fichier, sinon il continue de nommer "
                    "cette personne."
                ),
                Next.FILES,
            ),
            Answer.REJECT: Consequence(
                _l("Rejeter : c’est bien son enfant"),
                _l(
                    "Le lien entre %(name)s et %(children)s est rétabli. Si le compte n’est pas activé, imprimez un "
                    "autre courrier : le sien ne marche plus."
                ),
                _l("Le lien entre %(name)s et %(children)s est rétabli."),
            ),
            Answer.FILE: Consequence(
                _l("Corrigé dans le fichier : %(name)s n’y est plus"),
                _l(
                    "Le lien entre %(name)s et %(children)s finit tout de suite, et le prochain import trouvera votre "
                    "fichier corrigé. S’il reste des élèves à cette personne et que son compte n’est pas activé, "
                    "imprimez-lui un autre courrier : le sien ne marche plus."
                ),
                _l("Le lien entre %(name)s et %(children)s a fini. Importez le fichier corrigé."),
                Next.FILES,
            ),
        },
    ),
    Kind.EMAIL_CONTESTED: Words(
        _l("Une adresse mail a été changée, et quelqu’un dit que ce n’était pas lui"),
        _l(
            "L’adresse mail du compte a été changée, et la boîte de l’ancienne adresse répond : « Ce n’était pas "
            "moi ». En attendant, aucun mail n’ouvre ce compte."
        ),
        _l("Appelez la personne au numéro du dossier, pas à un numéro reçu par mail : quelle adresse est la sienne ?"),
        {
            Answer.RIGHT: Consequence(
                _l("Donner raison à l’ancienne adresse : la remettre"),
                _l("L’ancienne adresse est remise. La personne y choisit un nouveau mot de passe, par mail."),
                _l("L’ancienne adresse est remise. Dites à la personne : « Mot de passe oublié », puis le mail."),
            ),
            Answer.REJECT: Consequence(
                _l("Rejeter : garder la nouvelle adresse"),
                _l("La nouvelle adresse est gardée. La personne y choisit un nouveau mot de passe, par mail."),
                _l("La nouvelle adresse est gardée. Dites à la personne : « Mot de passe oublié », puis le mail."),
            ),
        },
    ),
    Kind.EMAIL_CHANGE_STOPPED: Words(
        _l("Quelqu’un a essayé de changer l’adresse mail d’un compte"),
        _l("Quelqu’un a voulu changer l’adresse mail du compte. La personne l’a arrêté à temps."),
        _l("Demandez à la personne si elle a donné son mot de passe, et si elle en a choisi un autre depuis."),
        {
            Answer.RIGHT: Consequence(
                _l("Donner raison à %(name)s : c’était quelqu’un d’autre"),
                _l("Le signalement est réglé : la personne a choisi un autre mot de passe."),
            ),
            Answer.REJECT: Consequence(
                _l("Rejeter : c’était la personne elle-même"),
                _l("Le signalement est réglé : c’était la personne elle-même."),
            ),
        },
    ),
    Kind.LETTER_DOUBT: Words(
        _l("Un courrier tapé dans un autre compte"),
        _l("Le courrier de %(name)s a été tapé dans le compte de %(other)s : des homonymes ? Rien n’a été ajouté."),
        _l("Est-ce la même personne ? Comparez les deux dossiers, et appelez aux numéros des dossiers."),
        {
            Answer.ONE_PERSON: Consequence(
                _l("Oui, la même personne"),
                _l("Les élèves de %(name)s vont dans le compte de %(other)s, et le courrier ne marche plus."),
                _l("Les élèves de %(name)s sont dans le compte de %(other)s."),
            ),
            Answer.TWO_PEOPLE: Consequence(
                _l("Non, ce sont deux personnes"),
                _l("Rien n’est ajouté, et chaque personne garde son compte. Le signalement est réglé."),
                _l("Chaque personne a son compte. Si le courrier de %(name)s ne sert plus, imprimez-en un autre."),
                Next.LETTER,
            ),
        },
    ),
    Kind.LETTER_GUESSED: Words(
        _l("Quelqu’un a essayé de deviner le mot de passe d’un courrier"),
        _l("Quelqu’un a essayé beaucoup de mots de passe avec l’identifiant de ce courrier."),
        _l("Demandez à la famille si c’était elle. Sinon, le courrier est peut-être dans d’autres mains."),
        {
            Answer.RIGHT: Consequence(
                _l("Donner raison à %(name)s : quelqu’un d’autre a essayé"),
                _l(
                    "Le courrier de %(name)s ne marche plus, tout de suite : il est peut-être dans d’autres mains. "
                    "Imprimez ensuite un nouveau courrier. Un compte activé entre-temps garde son mot de passe."
                ),
                _l(
                    "Le signalement est réglé, et le courrier de %(name)s ne marche plus. Imprimez maintenant un "
                    "nouveau courrier pour cette personne."
                ),
                Next.LETTER,
            ),
            Answer.REJECT: Consequence(
                _l("Rejeter : c’était la famille"), _l("Le signalement est réglé : c’était la famille.")
            ),
        },
    ),
    Kind.SHARED_MAILBOX: Words(
        _l("Deux personnes ont donné la même adresse mail"),
        _l("Deux personnes ont donné la même adresse mail. Qui lit cette boîte peut entrer dans les deux comptes."),
        _l("Les deux personnes sont-elles d’accord ? Si elles sont séparées, l’une des deux change d’adresse."),
        {
            Answer.RIGHT: Consequence(
                _l("Donner raison au signalement : une des deux personnes change d’adresse"),
                _l("Le signalement est réglé. Imprimez un nouveau courrier pour la personne qui change d’adresse."),
                next=Next.LETTER,
            ),
            Answer.REJECT: Consequence(
                _l("Rejeter : les deux personnes sont d’accord"),
                _l("Le signalement est réglé : les deux personnes sont d’accord."),
            ),
            Answer.FILE: Consequence(
                _l("Corrigé dans le fichier : il donnait la même adresse aux deux"),
                _l("Le signalement est réglé : le fichier donnait la même adresse aux deux."),
                next=Next.FILES,
            ),
        },
    ),
    Kind.OTHER_MAILBOX: Words(
        _l("Un compte a peut-être été activé par quelqu’un d’autre"),
        _l(
            "Le compte est activé, mais la personne qui lit l’adresse mail de votre fichier dit : « Ce n’est pas moi »."
        ),
        _l("Appelez la personne au numéro du dossier : a-t-elle activé son compte elle-même ?"),
        {
            Answer.RIGHT: Consequence(
                _l("Donner raison à %(name)s : quelqu’un d’autre a activé le compte"),
                _l("Le signalement est réglé. Imprimez ensuite un nouveau courrier : il ferme l’ancien accès."),
                next=Next.LETTER,
            ),
            Answer.REJECT: Consequence(
                _l("Rejeter : la personne a bien activé son compte"),
                _l("Le signalement est réglé : le compte est dans les bonnes mains."),
            ),
            Answer.FILE: Consequence(
                _l("Corrigé dans le fichier : l’adresse mail y était fausse"),
                _l("Le signalement est réglé : l’adresse du fichier était fausse."),
                next=Next.FILES,
            ),
        },
    ),
    Kind.PERSON_REPLACED: Words(
        _l("Un import a remplacé une personne par une autre"),
        _l("Votre fichier donne maintenant ce nom ou ce numéro à une autre personne. L’ancien compte est fermé."),
        _l("Regardez le fichier : est-ce vraiment une autre personne ?"),
        {
            Answer.REJECT: Consequence(
                _l("Rejeter : c’est bien une autre personne"),
                _l("Le signalement est réglé : c’est bien une autre personne. L’ancien compte reste fermé."),
            ),
            Answer.FILE: Consequence(
                _l("Corrigé dans le fichier : c’est la même personne"),
                _l("Le signalement est réglé. L’ancien compte reste fermé : importez le fichier corrigé."),
                _l("Le signalement est réglé. Importez le fichier corrigé, puis imprimez un courrier."),
                Next.FILES,
            ),
        },
    ),
    Kind.NAME_IN_DOUBT: Words(
        _l("Le fichier donne un autre nom à une personne qui a un compte"),
        _l("Votre fichier donne un autre nom à la personne qui a ce compte. En attendant, rien n’est changé."),
        _l("Est-ce la même personne sous un autre nom, par exemple après un mariage ? Ou quelqu’un d’autre ?"),
        {
            Answer.RIGHT: Consequence(
                _l("Donner raison au fichier : %(name)s a un nouveau nom"),
                _l(
                    "Le compte prend le nom que vous écrivez. Le mot de passe reste, et les enfants aussi, sauf si la "
                    "direction doit d’abord vérifier ce nom."
                ),
                _l("Le compte a son nouveau nom. Le prochain import le reconnaîtra."),
            ),
            Answer.REJECT: Consequence(
                _l("Rejeter : c’est quelqu’un d’autre"),
                _l("Le signalement est réglé. Donnez un autre numéro à cette personne, puis importez le fichier."),
                next=Next.FILES,
            ),
            Answer.FILE: Consequence(
                _l("Corrigé dans le fichier : le nom y était faux"),
                _l("Le signalement est réglé : le fichier avait une erreur. Importez le fichier corrigé."),
                next=Next.FILES,
            ),
        },
    ),
    Kind.RECTIFICATION: Words(
        _l("Une correction est demandée"),
        _l("Le délégué à la protection des données vous demande de corriger les données de cette personne."),
        _l("Comparez sa demande avec le dossier de la personne. Seul votre fichier corrige pour de bon."),
        {
            Answer.FILE: Consequence(
                _l("Corrigé dans le fichier"),
                _l("Le signalement est réglé. La correction paraît ici au prochain import du fichier."),
                next=Next.FILES,
            ),
            Answer.REJECT: Consequence(
                _l("Rejeter : les données sont justes"),
                _l("Le signalement est réglé : les données sont justes. Votre phrase reste."),
            ),
        },
    ),
    # schools that did not decide read neither by whom nor why
    Kind.ACCOUNT_CLOSED: Words(
        _l("Tout un compte est suspendu"),
        _l("L’accès de %(name)s est suspendu : cette personne ne peut plus se connecter, pour aucun de ses élèves."),
        _l("Ouvrez la page de la personne : elle dit jusqu’à quand, et si votre direction peut rouvrir."),
        {Answer.RIGHT: _STAYS},
    ),
    Kind.CLOSING_PASSED_ON: Words(
        _l("Un accès suspendu que la direction peut rouvrir"),
        _l("L’accès de %(name)s est suspendu, et c’est maintenant à la direction, ou à l’académie, d’en décider."),
        _l("Parlez avec la personne, et demandez à l’académie s’il y a un jugement. Rouvrez sur la page du compte."),
        {Answer.RIGHT: _STAYS},
    ),
}


OVER = Consequence(
    _l("Corrigé dans le fichier : il n’y a plus rien à décider"),
    _l("Il n’y a plus rien à décider : le lien ou l’adresse a changé entre-temps. Le signalement est réglé."),
)
"""What any answer does about a dispute that ended by itself."""
