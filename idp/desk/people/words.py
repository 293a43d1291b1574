"""French sentences about people's rights: erasure, obstacles."""

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext, ngettext
from flask_babel import lazy_gettext as _l

from idp.config import Settings
from idp.operations.personal_data.erasure import Kept, Obstacle

OBSTACLES: Mapping[Obstacle, Any] = {
    Obstacle.MERGED: _l("Ce compte a été réuni avec un autre : effacez l’autre compte."),
    Obstacle.REMOVED: _l("Ce compte n’existe plus."),
    Obstacle.CHANGED: _l("Les comptes de cette personne viennent de changer. Recommencez."),
    Obstacle.DISPUTED: _l(
        "Un lien avec un élève, ou l’adresse mail, est contesté. L’établissement règle d’abord la contestation."
    ),
    Obstacle.EXCLUDED: _l(
        "L’établissement a décidé que la personne n’est pas responsable d’un élève, mais son fichier le dit encore. "
        "Il corrige d’abord le fichier et l’importe, sinon le lien reviendrait."
    ),
    Obstacle.SUSPENDED: _l(
        "Le compte est suspendu et n’a plus d’élève : rien ne pourrait être conservé de la suspension. Attendez sa "
        "fin, ou demandez qu’il soit rouvert."
    ),
    Obstacle.PROMISED: _l(
        "Un signalement que l’établissement a promis de lire n’est pas réglé. Il le règle d’abord, au bureau."
    ),
}
"""Why an account must stay for now, and what has to happen first."""

_KEPT: Mapping[str, Any] = {
    "pupils": _l("Les enfants : ce sont des élèves de l’établissement, et leur fiche part avec son fichier."),
    "suspension": _l(
        "La suspension de l’accès à un élève : des empreintes chiffrées des noms et des numéros de la personne, pour "
        "que le prochain fichier ne lui rende pas cet accès. Elles restent jusqu’à la fin de la suspension, ou jusqu’à "
        "ce que la fiche de l’élève soit effacée. L’académie peut y mettre fin avant."
    ),
    "school_file_refused": _l(
        "Le fichier de l’établissement : il nomme encore la personne. Là où son accès est suspendu, l’import refuse sa "
        "ligne et le dit. Ailleurs, il crée un nouveau compte."
    ),
    "school_file": _l(
        "Le fichier de l’établissement : il nomme encore la personne. Le prochain import crée un nouveau compte, "
        "sauf si l’établissement retire la personne de son fichier."
    ),
    "ents": _l("Les comptes dans les ENT : chaque ENT répond lui-même. Nous lui demandons de fermer les connexions."),
    "copies": _l("Les sauvegardes de la base et les mails déjà envoyés : personne ne peut y effacer une ligne."),
}


def stays(settings: Settings, kept: Kept) -> str:
    """Return the sentence about data that stay, with the reason."""
    if kept.name != "journal":
        return str(_KEPT[kept.name])
    return str(
        ngettext(
            "Le journal : %(num)s ligne, sans adresse ni détails, comme preuve de ce qui a été fait, "
            "pendant %(days)s jours au plus.",
            "Le journal : %(num)s lignes, sans adresse ni détails, comme preuve de ce qui a été fait, "
            "pendant %(days)s jours au plus.",
            kept.count,
            days=settings.audit_days,
        )
    )


def stayed(name: str) -> str:
    """Return the sentence about data that stayed, by the name in the journal; empty for an unknown name."""
    if name == "journal":
        return str(gettext("Le journal : la trace de ce qui a été fait, sans adresse ni détails."))
    return str(_KEPT.get(name, ""))
