"""What the desk says if an act on a family is refused, in French."""

from collections.abc import Mapping
from typing import Any

from flask_babel import lazy_gettext as _l

from idp.desk import access
from idp.families.refusals import Code, RefusedError

SENTENCES: Mapping[Code, Any] = {
    Code.GONE: _l("Ce compte n’existe plus. Rien n’a été fait."),
    Code.CHANGED: _l("Ce n’est plus possible : le compte a changé entre-temps. Rien n’a été fait."),
    Code.SETTLED: _l("Un collègue vient de régler ce signalement. Votre réponse n’a rien changé."),
    Code.QUESTION_CHANGED: _l(
        "D’autres élèves sont concernés depuis que la page est ouverte : relisez-la, puis répondez."
    ),
    Code.CLOSED_BY_DISPUTE: _l("Un signalement ferme ce compte : réglez-le d’abord. Débloquer ne l’ouvrirait pas."),
    Code.MERGED: _l("Ce compte a été réuni avec un autre : suspendez l’autre. Rien n’a été fait."),
    Code.MAILBOX_OF_OTHER: _l(
        "L’adresse mail de cette personne sert maintenant à un autre compte : le lien reste fermé."
    ),
    Code.MERGED_TOO: _l("Ce compte a lui-même été réuni avec un autre. Rien n’a été fait."),
    Code.NO_SUCH_TIE: _l("Cet élève n’est plus lié à ce compte. Rien n’a été fait."),
    Code.CLOSED_LONGER: _l("Cet accès est déjà suspendu, pour plus longtemps. Seule la direction peut le rouvrir."),
    Code.CLOSED_LATELY: _l(
        "L’assistance a déjà suspendu ce compte il y a moins de sept jours. C’est à l’établissement de décider de la "
        "suite."
    ),
    Code.TOO_MANY_CLOSINGS: _l(
        "Vous avez suspendu dix comptes en une heure, ou trente en un jour : c’est le maximum. L’établissement peut "
        "suspendre lui-même."
    ),
    Code.NO_SUCH_CLOSING: _l("Ce compte n’existe plus. Rien n’a été fait."),
    Code.CLOSING_OVER: _l("Cette suspension était déjà finie : un collègue l’a peut-être levée. Rien n’a été fait."),
    Code.END_IN_THE_PAST: _l("Ce jour est passé. Choisissez aujourd’hui ou un jour à venir."),
    Code.END_TOO_FAR: _l("Ce jour est trop loin. Choisissez « Sans date de fin »."),
    Code.TIE_OPEN: _l("Le lien n’est pas écarté, ou l’élève est parti : un collègue a peut-être répondu avant vous."),
    Code.CALLED_LATELY: _l(
        "L’établissement a déjà répondu à un appel sur ce lien il y a moins de sept jours : seule la direction peut en "
        "noter un autre. Rien n’a été fait."
    ),
    Code.NEW_LETTER: _l("Un nouveau courrier est imprimé : il règle cette contestation quand la personne l’utilise."),
    Code.NO_FORMER_EMAIL: _l(
        "Plusieurs anciennes adresses se contredisent : aucune ne peut être remise. Imprimez un courrier."
    ),
    Code.KEPT_MAILBOX_OF_OTHER: _l(
        "Cette adresse sert maintenant à un autre compte. Imprimez un courrier pour cette personne."
    ),
    Code.SAME_NAMES: _l("Le compte porte déjà ce nom. Écrivez le nom du fichier."),
    Code.NO_SCHOOL: _l("Aucun établissement n’a plus d’enfant de cette personne."),
    Code.ERASE_OTHER: _l("Ce compte a été réuni avec un autre : effacez l’autre compte."),
    Code.MERGED_ACCOUNTS_CHANGED: _l("Les comptes de cette personne viennent de changer. Recommencez."),
    Code.IN_DISPUTE: _l(
        "Un lien avec un élève, ou l’adresse mail, est contesté. L’établissement règle d’abord la contestation."
    ),
    Code.EXCLUDED: _l(
        "L’établissement a décidé que la personne n’est pas responsable d’un élève, mais son fichier le dit encore. "
        "Il corrige d’abord le fichier et l’importe, sinon le lien reviendrait."
    ),
    Code.CLOSED_WITHOUT_CHILD: _l(
        "Le compte est suspendu et n’a plus d’élève : rien ne pourrait être conservé de la suspension. Attendez sa "
        "fin, ou demandez qu’il soit rouvert."
    ),
    Code.PROMISED_NOTICE: _l(
        "Un signalement que l’établissement a promis de lire n’est pas réglé. Il le règle d’abord, au bureau."
    ),
}
"""The sentences of the refusals that a page of the desk can meet."""


def sentence(refused: RefusedError) -> str:
    """Return why an act was refused."""
    closings = access.own_spec().closings
    if refused.code is Code.TOO_MANY_CLOSINGS and closings and closings.refusal:
        return str(closings.refusal)
    return str(SENTENCES[refused.code])
