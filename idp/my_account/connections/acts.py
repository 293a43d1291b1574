"""The words for what the school or the service did to an account: the same for the desk and for a command."""

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _l

_WORDS: Mapping[str, Any] = {
    "account.exported": _l("a préparé une copie de vos données"),
    "account.rectification_asked": _l("a demandé de corriger vos données"),
    "account.renamed": _l("a changé votre nom"),
    "account.reopened": _l("a rouvert votre accès"),
    "account.suspended": _l("a suspendu votre accès"),
    "dispute.settled": _l("a répondu à un signalement sur votre compte"),
    "letter.drawn": _l("a imprimé un courrier"),
    "passkey.changed": _l("a retiré vos clés d’accès"),
    "school.notice_settled": _l("a réglé un signalement sur votre compte"),
}
"""The kinds of events that are listed. `letter.reissued` stands beside a `letter.drawn`, which is the letter."""

_CHANGES: Mapping[str, Any] = {
    "disabled": _l("a fermé votre compte"),
    "enabled": _l("a rouvert votre compte"),
    "password_blocked": _l("vous a demandé de choisir un nouveau mot de passe"),
    "unlocked": _l("a débloqué votre compte"),
}
"""The changes of `account.changed` that are listed; the others come from the school's file."""

KINDS = (*_WORDS, "account.changed")
"""The kinds of events to read."""


def words_of(kind: str, details: Mapping[str, Any]) -> Any:
    """Return what was done, or None if it is not listed."""
    return _CHANGES.get(str(details.get("change", ""))) if kind == "account.changed" else _WORDS.get(kind)


def actor(details: Mapping[str, Any]) -> str:
    """Return who did it, by the role at the desk; a command is run by the service's team."""
    desk = details.get("desk")
    role = desk.get("role") if isinstance(desk, dict) else ""
    names: dict[Any, str] = {
        "secretary": gettext("Le secrétariat"),
        "head": gettext("La direction de l’établissement"),
        "helpdesk": gettext("L’assistance de l’académie"),
        "dpo": gettext("Le délégué à la protection des données"),
    }
    return names.get(role) or gettext("L’équipe du service")
