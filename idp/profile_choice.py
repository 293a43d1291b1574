"""« Sélectionnez votre profil »: parents continue, others learn where they sign in. Owns `/profil` and `/mon-ent`."""

from dataclasses import dataclass, replace

from flask import Blueprint, Response, abort, render_template, request
from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from idp.accounts.models import School
from idp.clients import registry
from idp.clients.models import Client, ClientSchool
from idp.clients.registry import PROFILE_HINT, Registration
from idp.db import db
from idp.interaction import store
from idp.services import services
from idp.web.browser import cookie_name, cookie_options
from idp.web.declarations import Trait, declares
from idp.web.http import current_request
from idp.web.redirects import render_page, see_other

_COOKIE = "profil"


@dataclass(frozen=True)
class Profile:
    """A choice on the page. `sentence_elsewhere` says where people of this profile sign in."""

    key: str
    icon: str
    title: str
    sentence: str
    sentence_elsewhere: str


PROFILES = (
    Profile(
        "eleve",
        "pupil",
        _l("Élève"),
        _l("J’ai reçu mon propre identifiant."),
        _l("Les élèves se connectent par l’ENT, avec l’identifiant que l’établissement leur a remis."),
    ),
    Profile("parent", "parent", _l("Parent"), _l("Je suis représentant légal d’un élève."), ""),
    Profile(
        "enseignant",
        "teacher",
        _l("Enseignant"),
        _l("J’ai une adresse académique."),
        _l("Les enseignants utilisent le portail de leur académie, avec leur adresse professionnelle."),
    ),
    Profile(
        "personnel",
        "staff",
        _l("Personnel"),
        _l("Je travaille dans un établissement ou une collectivité."),
        _l("Les personnels utilisent le portail de leur académie ou de leur collectivité."),
    ),
)
PARENT = "parent"
_BY_KEY = {profile.key: profile for profile in PROFILES}


def from_hint(login_hint: str) -> str:
    """Return the profile that `login_hint=profil:…` names, or an empty string."""
    key = login_hint.removeprefix(PROFILE_HINT).partition(":")[0] if login_hint.startswith(PROFILE_HINT) else ""
    return key if key in _BY_KEY else ""


def cookie() -> str:
    """Return the name of the cookie that remembers that this browser is a parent's."""
    return cookie_name(services().settings, _COOKIE)


def remembered() -> str:
    """Return `PARENT` if a parent chose it in this browser earlier, or an empty string."""
    return PARENT if current_request().cookies.get(cookie()) == PARENT else ""


blueprint = Blueprint("profile_choice", __name__)

_REMEMBERED_SECONDS = 180 * 86400


@blueprint.route("/profil", methods=["GET", "POST"])
@declares(Trait.LEADS_TO_ENT)
def choose() -> Response | str:
    """Ask for the person's profile; on a POST, continue, and remember in this browser that it is a parent's.

    Another profile is not remembered: a pupil on the family's tablet would send the parent elsewhere next time.
    """
    interaction = store.current()
    client = store.client_of(interaction)
    profile = _BY_KEY.get(request.form.get("profil", "")) if request.method == "POST" else None
    if profile is None:
        back_url = store.decline_url(interaction)
        return render_template("profile_choice/profil.html", dest=client, profiles=PROFILES, back_url=back_url)
    chosen = replace(interaction or store.Interaction(), profile=profile.key)
    if profile.key == PARENT:
        target = store.resume_url(chosen) if chosen.request else store.page_url("login.sign_in", chosen)
    else:
        doors = dict(client.profile_uris) if client else {}
        target = doors.get(profile.key) or store.page_url("profile_choice.elsewhere", chosen)
    response = see_other(target)
    options = cookie_options(services().settings)
    if profile.key == PARENT:
        response.set_cookie(cookie(), PARENT, max_age=_REMEMBERED_SECONDS, **options)
    else:
        response.delete_cookie(cookie(), **options)
    return response


@blueprint.get("/profil/ailleurs")
def elsewhere() -> Response | str:
    """Show where people of another profile sign in."""
    interaction = store.current()
    profile = _BY_KEY.get(interaction.profile) if interaction else None
    if profile is None or profile.key == PARENT:
        abort(404)
    client = store.client_of(interaction)
    doors = dict(client.profile_uris) if client else {}
    return render_page(
        "profile_choice/ailleurs.html",
        dest=client,
        profile=profile,
        door_url=doors.get(profile.key, ""),
        choose_url=store.page_url("profile_choice.choose", interaction),
        back_url=store.decline_url(interaction),
    )


_MOST = 5000  # the most schools on the page


def _entries() -> list[tuple[Registration, list[str]]]:
    """Return the ENTs that have an address, each with its schools by name; a school without a name is left out."""
    rows = db.session.execute(
        select(Client.id, School)
        .join(ClientSchool, ClientSchool.client_id == Client.id)
        .join(School, School.uai == ClientSchool.uai)
        .where(Client.disabled_at.is_(None))
        .order_by(School.name)
        .limit(_MOST)
    ).all()
    schools: dict[object, list[str]] = {}
    for key, school in rows:
        if school.is_named:
            schools.setdefault(key, []).append(school.name)
    ents = registry.all_serving({school.uai for _, school in rows})
    return [(ent, schools[ent.key]) for ent in ents if ent.home and ent.key in schools]


@blueprint.get("/mon-ent")
def ents() -> str:
    """« Trouvez votre ENT »: a link to each ENT, with its schools."""
    return render_template("profile_choice/mon_ent.html", dest=None, entries=_entries())
