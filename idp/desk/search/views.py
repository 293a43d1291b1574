"""`/recherche` of the desk."""

from typing import Any

from flask import Blueprint, Response, make_response, render_template, request
from flask_babel import gettext
from flask_babel import lazy_gettext as _l

from idp.desk import typed, words
from idp.desk.access import Right, needs
from idp.desk.search import service
from idp.desk.search.lists import Listing
from idp.desk.search.terms import Terms
from idp.operations.helpdesk.standing import Group
from idp.services import services

blueprint = Blueprint("search", __name__)

_GROUPS = (
    (Group.LETTER, _l("Courrier à utiliser")),
    (Group.NO_LETTER, _l("Sans courrier valable")),
    (Group.UNCONFIRMED, _l("Adresse mail à confirmer")),
    (Group.BLOCKED, _l("Mot de passe à changer")),
    (Group.DISPUTED, _l("Signalement à régler")),
    (Group.ACTIVE, _l("En service")),
    (Group.CLOSED, _l("Fermé")),
)
"""The states that filter a search, in the order of a family's way to its account."""
_LISTS = {
    Listing.EXPIRING: _l("Le courrier de ces familles expire cette semaine, et n’a pas encore servi."),
    Listing.REFUSED: _l("L’adresse mail de ces familles a refusé le message de confirmation."),
}


@blueprint.get("/recherche")
@needs(Right.READ_FAMILIES)
def search() -> Response:
    """Show the field and, once something was typed, what it finds."""
    text = typed.search_words()
    group = _group(request.args.get("etat", ""))
    listing = _listing(request.args.get("liste", ""))
    terms = Terms.parse(text)
    error, results = "", None
    if text and terms.is_empty:
        error = _too_short()
    elif text:
        results = service.find(services().settings, terms, group)
        if terms.is_short and not terms.is_class and not results.families:
            error, results = _too_short(), None
    elif group is not None and listing is None:
        error = gettext("Avec un état, tapez aussi un nom ou une classe.")
    elif listing is not None:
        results = service.find_listed(services().settings, listing, group)
    return make_response(
        render_template(
            "desk/search/recherche.html",
            typed=text,
            error=error,
            results=results,
            summary=_LISTS[listing] if listing and not text else _summary(results, is_filtered=group is not None),
            groups=[(choice.value, label, choice is group) for choice, label in _GROUPS],
            words=words,
        )
    )


def _group(value: str) -> Group | None:
    return next((group for group in Group if group.value == value), None)


def _listing(value: str) -> Listing | None:
    return next((listing for listing in Listing if listing.value == value), None)


def _too_short() -> Any:
    return gettext("Tapez au moins trois lettres d’un nom, ou une classe, par exemple 6e 1.")


def _summary(results: service.Results | None, *, is_filtered: bool) -> Any:
    """Return the sentence above the results."""
    if results is None:
        return ""
    families = results.families
    if not families:
        return _nobody(is_filtered=is_filtered)
    if results.has_more:
        return gettext(
            "Voici les %(n)s premières familles. Ajoutez un prénom ou une classe pour préciser.", n=service.MOST
        )
    if families[0].is_near:
        return gettext("Rien ne s’écrit exactement ainsi. Voici les noms proches.")
    if len(families) == 1:
        return gettext("Une famille trouvée.")
    return gettext("%(n)s familles trouvées.", n=len(families))


def _nobody(*, is_filtered: bool) -> Any:
    if is_filtered:
        return gettext("Aucune famille trouvée dans cet état. Choisissez « Tous » pour chercher dans tous les états.")
    return gettext("Aucune famille trouvée. Essayez le nom de l’autre responsable, le prénom ou la classe.")
