"""`/recherche` of the desk."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, lazy_gettext as _l, ngettext

from idp.desk import access, fields as desk_fields, naming, words
from idp.desk.school import find_typed
from idp.desk.search import service
from idp.desk.search.query import SHORTEST, Filters, Listing, Terms
from idp.desk.search.service import Results
from idp.families.standing import Group
from idp.letters import class_lists
from idp.services import services
from idp.web.redirects import render_page

blueprint = Blueprint("search", __name__)

_LISTS = {
    Listing.EXPIRING: _l("Le courrier de ces familles expire cette semaine, et n’a pas encore servi."),
    Listing.REFUSED: _l("L’adresse mail de ces familles a refusé le message de confirmation."),
}
_EMPTY_LISTS = {
    Listing.EXPIRING: _l("Aucun courrier n’expire cette semaine"),
    Listing.REFUSED: _l("Aucune adresse mail n’a refusé le message de confirmation"),
}
_MOST_PAGES = 10_000


@dataclass(frozen=True)
class Choice:
    """A list of the form, of which one value is chosen; the empty value stands for all."""

    name: str
    label: Any
    every: Any
    values: list[tuple[str, Any]]
    chosen: str

    @property
    def chosen_label(self) -> Any:
        """The label of the chosen value; empty for all."""
        return dict(self.values).get(self.chosen, "") if self.chosen else ""


@blueprint.get("/recherche")
@access.needs(access.Right.READ_FAMILIES)
def search() -> Response:
    """Show the field and, once something was typed or chosen, what it finds."""
    text, listing, own, school = (
        desk_fields.searched("q"),
        _listing(),
        access.post().school,
        desk_fields.searched("ecole"),
    )
    keys, fault = ([own.id], "") if own else find_typed(school)
    only = keys[0] if len(keys) == 1 else None
    classes = class_lists.classes(only) if only else []
    state = request.args.get("etat", "")
    group = next((group for group in Group if group.value == state), None)
    filters = Filters(group, _class_name() if only else None, () if own else tuple(keys))
    results, error = None, "" if fault else _fault(text, filters, classes)
    is_wrong = bool(fault or error)
    if not is_wrong and text:
        results = service.find(services().settings, Terms.parse(text), filters)
        if not (results.families or results.former) and Terms.parse(text).needs_more:
            error, results = _too_short(filters), None
    elif not is_wrong and listing is not None:
        results = service.find_listed(services().settings, listing, filters, _page())
    elif not is_wrong and filters != Filters():
        results = service.find_without_words(services().settings, filters, _page())
    return render_page(
        "desk/search/recherche.html",
        typed=text,
        school=None if own else school,
        error=error,
        school_fault=fault,
        results=results,
        summary=_of_list(listing, results, filters) if listing and not text else _summary(results, filters, text),
        listing=listing.value if listing and not text else "",
        pages=_links(results, text) if results else [],
        choices=_choices(filters, classes),
    )


def _fault(text: str, filters: Filters, classes: list[str]) -> Any:
    if filters.class_name is not None and filters.class_name not in classes:
        return gettext("Cette classe n’existe plus dans l’établissement.")
    if text:
        terms = Terms.parse(text)
        is_wrong = terms.is_empty or (terms.is_only_class and not filters.are_of_schools)
        return _too_short(filters) if is_wrong else ""
    if len(filters.schools) > 1:
        return gettext("Plusieurs établissements ont ce nom : tapez aussi un nom de famille, ou leur numéro (UAI).")
    if filters.group is not None and not filters.are_of_schools:
        return gettext("Avec un état, tapez aussi un nom, ou un établissement.")
    return ""


def _choices(filters: Filters, classes: list[str]) -> list[Choice]:
    states = [(group.value, label) for group, label in words.GROUPS.items()]
    choices = [Choice("etat", _l("État"), _l("Tous"), states, filters.group.value if filters.group else "")]
    if classes:
        names = [(naming.class_search_query(name)["classe"], naming.class_title(name)) for name in classes]
        chosen = naming.class_search_query(filters.class_name).get("classe", "")
        choices.append(Choice("classe", _l("Classe"), _l("Toutes"), names, chosen))
    return choices


def _class_name() -> str | None:
    name = request.args.get("classe", "")
    if not name:
        return None
    return "" if name == naming.WITHOUT_CLASS else name


def _listing() -> Listing | None:
    """Return the list of the URL, if the post is at a school: a list of all schools would be too long."""
    if access.post().school is None:
        return None
    value = request.args.get("liste", "")
    return next((listing for listing in Listing if listing.value == value), None)


def _page() -> int:
    return min(max(request.args.get("page", 1, type=int), 1), _MOST_PAGES)


def _links(results: Results, text: str) -> list[tuple[str, Any]]:
    """Return the URLs of the pages beside this one; a search by words has one page, which more words narrow down."""
    if text:
        return []
    beside = ((results.page - 1, _l("Page précédente")), (results.page + 1, _l("Page suivante")))
    kept: dict[str, Any] = {
        name: value for name, value in request.args.items() if name in {"etat", "classe", "liste", "ecole"}
    }
    shown = [(number, label) for number, label in beside if 1 <= number <= results.pages]
    return [(url_for("search.search", **kept, page=number), label) for number, label in shown]


def _too_short(filters: Filters) -> Any:
    if not filters.are_of_schools:  # hundreds of classes of an académie have the same name
        return gettext(
            "Tapez au moins %(n)s lettres d’un nom. Avec une classe seule, tapez aussi l’établissement.", n=SHORTEST
        )
    return gettext("Tapez au moins %(n)s lettres d’un nom, ou une classe, par exemple 6e 1.", n=SHORTEST)


def _summary(results: Results | None, filters: Filters, text: str) -> Any:
    if results is None:
        return ""
    families = results.families
    if not families:
        return gettext("Aucune famille d’aujourd’hui n’a ce nom.") if results.former else _nobody(filters)
    if not text:
        return _counted(results, filters.group)
    if results.pages > 1:
        return gettext(
            "Voici les %(n)s premiers élèves. Ajoutez un prénom ou une classe pour préciser.", n=service.MOST
        )
    if families[0].is_near:
        return gettext("Rien ne s’écrit exactement ainsi. Voici les noms proches.")
    return results.sentence


def _of_list(listing: Listing, results: Results | None, filters: Filters) -> Any:
    if results is None:
        return ""
    if results.families:
        return f"{_LISTS[listing]} {_counted(results, filters.group)}"
    if filters == Filters():
        return f"{_EMPTY_LISTS[listing]}."
    narrowed = gettext(
        "avec cet état ou dans cette classe. Choisissez « Tous » et « Toutes » pour voir toute la liste."
    )
    return f"{_EMPTY_LISTS[listing]} {narrowed}"


def _counted(results: Results, group: Group | None) -> Any:
    pupils = ngettext("%(num)s élève", "%(num)s élèves", results.pupils)
    if group is None:
        counted = ngettext(
            "%(num)s compte, %(pupils)s.", "%(num)s comptes, %(pupils)s.", results.accounts, pupils=pupils
        )
        return f"{counted} {_uncounted(results.uncounted)}".rstrip()
    return ngettext(
        "%(num)s compte dans cet état, pour %(pupils)s.",
        "%(num)s comptes dans cet état, pour %(pupils)s.",
        results.accounts,
        pupils=pupils,
    )


def _uncounted(number: int) -> str:
    if not number:
        return ""
    return str(
        ngettext(
            "%(num)s autre est dans la liste sans être compté : fermé, ou sans lien ouvert avec un de ces élèves.",
            "%(num)s autres sont dans la liste sans être comptés : fermés, ou sans lien ouvert avec un de ces élèves.",
            number,
        )
    )


def _nobody(filters: Filters) -> Any:
    if filters.group is not None:
        return gettext("Aucune famille trouvée dans cet état. Choisissez « Tous » pour chercher dans tous les états.")
    if filters.class_name is not None:
        return gettext("Aucune famille trouvée dans cette classe. Choisissez « Toutes » pour chercher partout.")
    return gettext("Aucune famille trouvée. Essayez le nom de l’autre responsable, le prénom ou la classe.")
