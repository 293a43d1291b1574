"""The French words of a settled notice: who settled it, and why."""

from collections.abc import Mapping
from typing import Any

from flask_babel import lazy_gettext as _l

AUTHORS: Mapping[str, Any] = {
    "parent": _l("la famille"),
    "letter": _l("un nouveau courrier"),
    "import": _l("un import de fichier"),
    "reopening": _l("la réouverture de l’accès"),
}
"""The acts that settle a notice by themselves."""

_BY_ITSELF: Mapping[str, Any] = {
    "a new letter was used": _l("Un nouveau courrier a servi."),
    "new letter": _l("Nouveau courrier"),
    "the file names the same person": _l("Le fichier nomme la même personne."),
    "the letter was added": _l("Le courrier a été ajouté au compte."),
    "unlocked": _l("Compte débloqué"),
    "reopened": _l("L’accès est rouvert."),
}
"""The sentences of the acts that settle a notice by themselves, as the database has them."""
_LETTER = "new letter: "


def sentence(stored: str) -> str:
    """Return the sentence of a settled notice in French: a colleague's own, or that of an act."""
    if stored.startswith(_LETTER):
        return f"{_BY_ITSELF['new letter']} : {stored.removeprefix(_LETTER)}"
    return str(_BY_ITSELF.get(stored, stored))
