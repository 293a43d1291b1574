"""The words for what the school or the service did to an account: the same for the desk and for a command."""

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext

from idp.audit import catalogue
from idp.audit.kinds import CHILD, NAMED_CHILD, chosen

_OWN = {name: kind.own for name, kind in catalogue.KINDS.items() if kind.own}
KINDS = tuple(_OWN)
"""The kinds of events to read."""


def words_of(kind: str, details: Mapping[str, Any], children: Mapping[str, str]) -> Any:
    """Return the sentence for an event with places for `who` and `when`, or None if it is not listed.

    `children` are the given names that the person may read, by key.
    """
    words, change = _OWN.get(kind, ""), str(details.get("change", ""))
    if not details.get("child"):
        return chosen(words, "", change) or None
    name = children.get(str(details["child"]))
    if not name:
        return chosen(words, CHILD, "", change) or None
    sentence = str(chosen(words, NAMED_CHILD, "", change))
    return sentence % {"child": name.replace("%", "%%"), "who": "%(who)s", "when": "%(when)s"} or None


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
