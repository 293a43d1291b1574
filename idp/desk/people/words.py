"""French sentences about people's rights: what stays after an erasure."""

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext, ngettext
from flask_babel import lazy_gettext as _l

from idp.config import Settings
from idp.operations.personal_data.erasure import Kept

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
