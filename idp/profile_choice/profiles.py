"""The four profiles, and how a request or a browser names one."""

from dataclasses import dataclass

from flask_babel import lazy_gettext as _l

from idp.clients.registry import PROFILE_HINT
from idp.services import services
from idp.web.browser import cookie_name
from idp.web.http import current_request

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


def find(key: str) -> Profile | None:
    """Return the profile of that key, or None."""
    return _BY_KEY.get(key)


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
