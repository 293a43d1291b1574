"""The words for what the school or the service did to an account: the same for the desk and for a command."""

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _l

_WORDS: Mapping[str, Any] = {
    "account.exported": _l("%(who)s a préparé une copie de vos données %(when)s."),
    "account.rectification_asked": _l("%(who)s a demandé de corriger vos données %(when)s."),
    "account.renamed": _l("%(who)s a changé votre nom %(when)s."),
    "account.reopened": _l("%(who)s a rouvert votre accès %(when)s."),
    "account.suspended": _l("%(who)s a suspendu votre accès %(when)s."),
    "dispute.settled": _l("%(who)s a répondu à un signalement sur votre compte %(when)s."),
    "guardianship.disputed": _l(
        "%(who)s a fermé votre compte %(when)s, le temps d’une vérification, après un appel en votre nom."
    ),
    "letter.drawn": _l("%(who)s a imprimé un courrier %(when)s."),
    "passkey.changed": _l("%(who)s a retiré vos clés d’accès %(when)s."),
    "school.notice_settled": _l("%(who)s a réglé un signalement sur votre compte %(when)s."),
}
"""The kinds of events that are listed. `letter.reissued` stands beside a `letter.drawn`, which is the letter."""

_OF_TIES: Mapping[str, tuple[Any, Any]] = {
    "account.reopened": (
        _l("%(who)s a rouvert votre accès pour %(child)s %(when)s."),
        _l("%(who)s a rouvert votre accès pour un élève %(when)s."),
    ),
    "account.suspended": (
        _l("%(who)s a suspendu votre accès pour %(child)s %(when)s."),
        _l("%(who)s a suspendu votre accès pour un élève %(when)s."),
    ),
}
"""The words for the kinds that are about one tie if they name a child: with its given name, and without."""

_CHANGES: Mapping[str, Any] = {
    "disabled": _l("%(who)s a fermé votre compte %(when)s."),
    "enabled": _l("%(who)s a rouvert votre compte %(when)s."),
    "password_blocked": _l("%(who)s vous a demandé de choisir un nouveau mot de passe %(when)s."),
    "unlocked": _l("%(who)s a débloqué votre compte %(when)s."),
}
"""The changes of `account.changed` that are listed; the others come from the school's file."""

KINDS = (*_WORDS, "account.changed")
"""The kinds of events to read."""


def words_of(kind: str, details: Mapping[str, Any], children: Mapping[str, str]) -> Any:
    """Return the sentence for an event with places for `who` and `when`, or None if it is not listed.

    `children` are the given names that the person may read, by key.
    """
    if kind == "account.changed":
        return _CHANGES.get(str(details.get("change", "")))
    if kind not in _OF_TIES or not details.get("child"):
        return _WORDS.get(kind)
    named, unnamed = _OF_TIES[kind]
    name = children.get(str(details["child"]))
    if not name:
        return unnamed
    return str(named) % {"child": name.replace("%", "%%"), "who": "%(who)s", "when": "%(when)s"}


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
