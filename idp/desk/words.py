"""French words for the state of an account: for lists and figures, for its pages, and what to say on the telephone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _l

from idp.desk.ties import CutOff
from idp.families.standing import Group, Standing, group_of


@dataclass(frozen=True)
class Words:
    """What the desk says about a standing: `short` in lists, `state` to the colleague, `say` on the telephone.

    `tone` is the class of the tag: `ok`, `warn`, `bad`, `plain`. `step` is the key of the action that comes next
    (`families.subjects`); `next` says it if there is no action, or the person has no right to it.
    """

    short: Any
    tone: str
    state: Any
    say: Any
    step: str = ""
    next: Any = ""


_SETTLE = _l("L’établissement règle d’abord le signalement, dans « Décisions ».")
_CLOSED_SAY = _l("Ce compte est fermé. L’établissement regarde votre dossier et vous rappelle.")

OF: dict[Standing, Words] = {
    Standing.LETTER_VALID: Words(
        _l("Courrier à utiliser"),
        "warn",
        _l("Le compte n’a jamais servi. Le courrier est valable."),
        _l(
            "Prenez le courrier de l’établissement : il donne votre identifiant et un mot de passe "
            "provisoire. Tapez-les sur la page de connexion, puis choisissez votre mot de passe."
        ),
        "letter",
        _l("Si le courrier est perdu, il en faut un nouveau."),
    ),
    Standing.LETTER_EXPIRED: Words(
        _l("Courrier expiré"),
        "bad",
        _l("Le compte n’a jamais servi, et le courrier n’est plus valable."),
        _l("Votre courrier n’est plus valable. L’établissement vous en prépare un nouveau."),
        "letter",
        _l("Il faut un nouveau courrier."),
    ),
    Standing.NO_LETTER: Words(
        _l("Pas de courrier"),
        "bad",
        _l("Le compte n’a jamais servi, et aucun courrier n’est valable."),
        _l("Il vous faut un courrier. L’établissement vous le prépare."),
        "letter",
        _l("Il faut un courrier."),
    ),
    Standing.NEW_LETTER_VALID: Words(
        _l("Nouveau courrier à utiliser"),
        "warn",
        _l("Le compte a déjà servi. Un nouveau courrier l’a fermé, et ce courrier est valable."),
        _l(
            "Prenez le nouveau courrier de l’établissement : il donne un mot de passe provisoire. Tapez-le avec votre "
            "identifiant sur la page de connexion, puis choisissez votre mot de passe. L’ancien ne marche plus."
        ),
        "letter",
        _l("Si ce courrier est perdu, il en faut un autre : la personne vient avec une pièce d’identité."),
    ),
    Standing.NEW_LETTER_EXPIRED: Words(
        _l("Nouveau courrier expiré"),
        "bad",
        _l("Le compte a déjà servi. Un nouveau courrier l’a fermé, et ce courrier n’est plus valable."),
        _l("Votre courrier n’est plus valable. Venez en chercher un autre, avec une pièce d’identité."),
        "letter",
        _l("Il faut un autre courrier : la personne vient avec une pièce d’identité."),
    ),
    Standing.ACTIVE: Words(
        _l("En service"),
        "ok",
        _l("Le compte est en service."),
        _l(
            "Votre compte est prêt. Si vous ne savez plus le mot de passe, touchez « Mot de passe "
            "oublié » sur la page de connexion : un mail vous donne un lien."
        ),
    ),
    Standing.UNCONFIRMED: Words(
        _l("Adresse mail à confirmer"),
        "warn",
        _l("Le mot de passe est choisi, mais l’adresse mail n’est pas encore confirmée."),
        _l(
            "Cherchez notre mail, aussi dans les messages indésirables. Connectez-vous et tapez le code à six chiffres "
            "du mail, ou touchez son lien. Si le mail manque, je vous le renvoie. Si l’adresse mail est fausse, "
            "connectez-vous et touchez « Modifier l’adresse mail »."
        ),
        "resend",
        _l(
            "Demandez l’adresse mail, et comparez le début et la fin avec ceux de la page du compte. Si elle est "
            "fausse, ne renvoyez rien : le parent la change lui-même, à sa connexion, par « Modifier l’adresse mail »."
        ),
    ),
    Standing.NO_ADDRESS: Words(
        _l("Sans adresse mail"),
        "warn",
        _l("Le mot de passe est choisi, mais le compte n’a pas d’adresse mail."),
        _l("Connectez-vous : la page vous demande une adresse mail, puis nous vous envoyons un code et un lien."),
        "",
        _l("C’est au parent de donner une adresse mail, à sa prochaine connexion."),
    ),
    Standing.BLOCKED: Words(
        _l("Mot de passe à changer"),
        "warn",
        _l("Le mot de passe est bloqué : l’établissement ou l’équipe du service en demande un autre."),
        _l("Connectez-vous comme d’habitude : vous recevez un mail avec un lien pour choisir un autre mot de passe."),
        "",
        _l("C’est au parent de choisir un autre mot de passe, par le mail."),
    ),
    Standing.BREACHED: Words(
        _l("Mot de passe à changer"),
        "warn",
        _l("Le mot de passe est dans une liste de mots de passe volés : il est bloqué."),
        _l("Connectez-vous comme d’habitude : vous recevez un mail avec un lien pour choisir un autre mot de passe."),
        "",
        _l("C’est au parent de choisir un autre mot de passe, par le mail."),
    ),
    Standing.BLOCKED_UNCONFIRMED: Words(
        _l("Nouveau courrier à faire"),
        "bad",
        _l("Le mot de passe est bloqué, et aucune adresse mail n’est confirmée : aucun mail ne peut aider."),
        _l("Votre mot de passe ne marche plus. Il vous faut un nouveau courrier. L’établissement vous le prépare."),
        "letter",
        _l("Il faut un nouveau courrier : la personne vient avec une pièce d’identité."),
    ),
    Standing.CONTESTED: Words(
        _l("Adresse contestée"),
        "bad",
        _l(
            "Quelqu’un dit ne pas avoir demandé le changement d’adresse mail. Aucun mail n’ouvre le compte "
            "jusqu’à la réponse de l’établissement."
        ),
        _l(
            "Pour vous protéger, aucun mail n’ouvre le compte. Nous vérifions quelle adresse mail est la "
            "vôtre, et nous vous rappelons."
        ),
        "settle",
        _SETTLE,
    ),
    Standing.DISPUTED: Words(
        _l("Compte contesté"),
        "bad",
        _l(
            "Quelqu’un a dit au nom de cette personne qu’elle n’est pas responsable d’un enfant. Le compte est fermé "
            "jusqu’à la réponse de l’établissement."
        ),
        _l("Le compte est fermé le temps que nous vérifiions qui est responsable de l’enfant. Nous vous rappelons."),
        "settle",
        _SETTLE,
    ),
    Standing.WARNED: Words(
        _l("Bientôt effacé"),
        "warn",
        _l("Le compte n’a pas servi depuis longtemps : sans connexion, il sera effacé."),
        _l("Connectez-vous une fois pour garder votre compte."),
        "",
        _l("C’est au parent de se connecter une fois."),
    ),
    Standing.MERGED: Words(
        _l("Réuni avec un autre compte"),
        "plain",
        _l("Les enfants de ce compte sont maintenant dans un autre compte de la même personne."),
        _l("Utilisez l’identifiant de votre autre compte : tous vos enfants y sont."),
        "",
        _l("Rien à faire ici."),
    ),
    Standing.EXCLUDED: Words(
        _l("Écarté par l’établissement"),
        "plain",
        _l("L’établissement a confirmé que cette personne n’est pas responsable de l’enfant. Le compte est fermé."),
        _CLOSED_SAY,
        "",
        _l("Si c’est une erreur, la direction peut rétablir le lien."),
    ),
    Standing.LEFT: Words(
        _l("Fermé : enfant parti"),
        "plain",
        _l("Aucun enfant de ce compte n’est encore scolarisé ici. Le compte est fermé."),
        _l("Votre enfant n’est plus inscrit chez nous. Adressez-vous à son établissement actuel."),
        "",
        _l("Si l’enfant est inscrit, le prochain fichier de l’établissement rouvre le compte."),
    ),
    Standing.CLOSED: Words(
        _l("Suspendu"),
        "bad",
        _l("L’accès est suspendu : personne ne peut se connecter."),
        _l("Votre accès est suspendu. La direction de l’établissement qui l’a décidé peut vous dire pourquoi."),
        "reopen",
    ),
    Standing.REPLACED: Words(
        _l("Remplacé"),
        "plain",
        _l("Un import a fermé ce compte : le fichier donne maintenant son numéro ou son nom à une autre personne."),
        _CLOSED_SAY,
        "",
        _l("L’ancien compte reste fermé. Si c’est la même personne, il lui faut un courrier pour son nouveau compte."),
    ),
}

CUT_OFF: Mapping[CutOff, Words] = {
    CutOff.WAITS: Words(
        _l("Attend la direction"),
        "warn",
        _l("Cette personne n’a accès à aucun élève ici tant que la direction n’a pas décidé."),
        _l("L’établissement vérifie votre dossier et vous rappelle."),
        "settle",
        _l("La direction décide d’abord, dans « Décisions »."),
    ),
    CutOff.CLOSED: Words(
        _l("Lien suspendu"),
        "bad",
        _l("Aucun élève d’ici n’est ouvert à cette personne : un nouveau courrier n’y changerait rien."),
        _l("Je ne peux pas vous répondre au téléphone. Demandez à la direction de l’établissement."),
        "",
        _l("La direction peut rouvrir le lien."),
    ),
}
"""The words of an account without an open tie, in place of those of its standing; not of a closed account."""

UNCOLLECTED: Mapping[Standing, Words] = {
    Standing.LETTER_VALID: Words(
        _l("Courrier à imprimer à nouveau"),
        "bad",
        _l("Le compte n’a jamais servi. Un courrier est préparé, mais personne n’a pris le fichier : il est effacé."),
        _l("Il vous faut un courrier. L’établissement vous le prépare."),
        "letter",
        _l("Il faut imprimer le courrier à nouveau : celui-ci n’existe pas sur papier."),
    ),
    Standing.NEW_LETTER_VALID: Words(
        _l("Courrier à imprimer à nouveau"),
        "bad",
        _l(
            "Le compte a déjà servi. Un nouveau courrier l’a fermé, mais personne n’a pris le fichier de ce courrier : "
            "il est effacé."
        ),
        _l(
            "Votre ancien mot de passe ne marche plus, et le nouveau courrier n’est pas encore imprimé. "
            "L’établissement vous le prépare."
        ),
        "letter",
        _l("Il faut imprimer le courrier à nouveau : celui-ci n’existe pas sur papier."),
    ),
}
"""The words of an account with a valid letter whose file nobody took, in place of those of its standing."""


def of(standing: Standing, cut_off: CutOff | None, *, is_uncollected: bool = False) -> Words:
    """Return the words of an account, given why it has no open tie, if any, and whether nobody took its letter."""
    if is_uncollected and cut_off is None and standing in UNCOLLECTED:
        return UNCOLLECTED[standing]
    is_closed = group_of([standing]) in {Group.CLOSED, Group.DISPUTED} and standing is not Standing.LEFT
    return OF[standing] if cut_off is None or is_closed else CUT_OFF[cut_off]


GROUPS: Mapping[Group, Any] = {
    Group.LETTER: OF[Standing.LETTER_VALID].short,
    Group.EXPIRED: OF[Standing.LETTER_EXPIRED].short,
    Group.NO_LETTER: OF[Standing.NO_LETTER].short,
    Group.UNCONFIRMED: OF[Standing.UNCONFIRMED].short,
    Group.BLOCKED: OF[Standing.BLOCKED].short,
    Group.RELETTER: OF[Standing.BLOCKED_UNCONFIRMED].short,
    Group.DISPUTED: OF[Standing.DISPUTED].short,
    Group.ACTIVE: OF[Standing.ACTIVE].short,
    Group.CLOSED: _l("Fermé ou suspendu"),
}
"""The words of each group, in the order of a family's way to its account: the board, the figures and the search."""
