"""What each scope releases, as sentences for the person. All pages that list it use these, in this order."""

from collections.abc import Collection

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from idp.accounts.models import Degree

_USERNAME = "preferred_username"
_SCHOOL = "ent"
_ALWAYS = _l("un numéro pour vous reconnaître, et l’heure de votre connexion")
_SENTENCES = {
    "profile": _l(
        "votre prénom, votre nom et votre langue ; votre date de naissance, votre genre ou un autre nom si le compte "
        "les a"
    ),
    _USERNAME: _l("l’identifiant avec lequel vous vous connectez"),
    "email": _l("votre adresse mail confirmée"),
    "address": _l("votre adresse postale, celle du fichier de l’établissement"),
    "phone": _l("votre numéro de téléphone, s’il est connu"),
    _SCHOOL: _l(
        "que vous êtes parent, votre numéro dans le fichier de l’établissement, et pour chacun de vos enfants dans ses "
        "établissements : prénom, nom, classe, établissement et numéro d’élève"
    ),
    "charter": _l("si vous avez accepté sa charte, quelle version et quand"),
    "offline_access": _l("ces informations aussi après votre visite, pendant quelques semaines"),
}
# The sentence of the scope `ent` for a client that serves no school of the person's children.
_SCHOOL_WITHOUT_CHILD = _l("que vous êtes parent")


def sentences_of(scopes: Collection[str], *, username: bool, child: bool) -> list[LazyString]:
    """Return one sentence for each scope, after the sentence for what every client gets.

    Args:
        scopes: the scopes that the client gets.
        username: whether the registration releases the identifier, which the scope `profile` alone does not.
        child: whether the client serves the school of a child of the person.
    """
    names = {*scopes, _USERNAME} if username and "profile" in scopes else set(scopes)
    sentences = _SENTENCES if child else _SENTENCES | {_SCHOOL: _SCHOOL_WITHOUT_CHILD}
    return [_ALWAYS, *(sentence for name, sentence in sentences.items() if name in names)]


_GUARDIAN = {Degree.PRIMARY: "1", Degree.SECONDARY: "2"}


def guardian_vector(degree: Degree, *, family_name: str, given_name: str, student_id: str, uai: str) -> str:
    """Return FrEduVecteur (SDET), the key by which ENT software knows a parent: « 2|NOM|Prénom|eleve_id|UAI ».

    The names are the guardian's, verbatim from the school's file; the identifier is the child's in that file.
    """
    return "|".join((_GUARDIAN[degree], _field(family_name), _field(given_name), _field(student_id), uai))


def _field(value: str) -> str:
    """Replace bars by spaces: a bar in a name would add a field to the vector."""
    return value.replace("|", " ")
