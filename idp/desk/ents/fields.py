"""The form of a registration: an operator may change a part of it, the engineer all that the page has.

What the page lacks (algorithms, FAPI, subjects) is changed by `idp client set`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, Field
from wtforms.fields.core import UnboundField

from idp.clients.models import Audience, CharterMode
from idp.desk.choices import AreaField, ChoiceField
from idp.desk.kept_forms.forms import DeskForm
from idp.oidc.claims.release import SCOPES
from idp.registration.declarations import Kind
from idp.registration.faults import Fault, FaultCode
from idp.registration.metadata import BY_NAME, ClientMetadata
from idp.uai import normalised_uai
from idp.web.forms import PlainField

ENGINEER_ONLY = ("uais", "audience", "scopes", "release_username", "auth_method", "pkce_required")
"""The fields that widen what an ENT knows or weaken its proof: no operator changes them."""
_LONGEST_URI = 600
_SHOWN = 100
_TEXTS = {Kind.TEXT, Kind.URI, Kind.CHOICE}


class ScopesField(Field):  # type: ignore[misc]
    """The ticked scopes."""

    data: list[str]

    def process_formdata(self, valuelist: list[str]) -> None:
        """Keep a bounded number of short texts; the checks of the registration refuse an unknown one."""
        self.data = [value[:40] for value in valuelist[:20]]


class RegistrationForm(DeskForm):
    """The fields of a registration, named as in `ClientMetadata`."""

    name = PlainField(_l("Nom de l’ENT"), longest=200)
    home_uri = PlainField(_l("Page d’accueil"), longest=_LONGEST_URI)
    redirect_uris = AreaField(_l("Adresses de retour après la connexion"), longest=12_000)
    post_logout_redirect_uris = AreaField(_l("Adresses de retour après la déconnexion"), longest=12_000)
    initiate_login_uri = PlainField(_l("Adresse qui commence une connexion"), longest=_LONGEST_URI)
    backchannel_logout_uri = PlainField(_l("Déconnexion de serveur à serveur"), longest=_LONGEST_URI)
    frontchannel_logout_uri = PlainField(_l("Déconnexion par le navigateur"), longest=_LONGEST_URI)
    policy_uri = PlainField(_l("Page sur les données personnelles"), longest=_LONGEST_URI)
    tos_uri = PlainField(_l("Conditions d’utilisation"), longest=_LONGEST_URI)
    jwks_uri = PlainField(_l("Adresse des clés publiques"), longest=_LONGEST_URI)
    charter = ChoiceField(_l("Qui montre la charte"))
    uais = AreaField(_l("Établissements servis"), longest=40_000)
    audience = ChoiceField(_l("Public"))
    scopes = ScopesField(_l("Ce que l’ENT reçoit"), default=list)
    release_username = BooleanField(_l("L’ENT reçoit aussi l’identifiant de connexion"), false_values=("",))
    auth_method = ChoiceField(_l("Comment l’ENT prouve qui il est"))
    pkce_required = BooleanField(_l("Demander PKCE à chaque connexion (conseillé)"), false_values=("",))

    def restrict(self, *, to_operator: bool) -> None:
        """Give choices their options; remove the fields that an operator may not change, which are then not read."""
        self.charter.options = [
            (CharterMode.ENT.value, gettext("L’ENT lui-même")),
            (CharterMode.PROVIDER.value, gettext("Ce service, avant l’entrée")),
            (CharterMode.NONE.value, gettext("Personne : pas de charte")),
        ]
        self.audience.options = [
            (Audience.FAMILIES.value, gettext("Les familles des établissements servis")),
            (Audience.EVERYONE.value, gettext("Tous les parents de l’académie")),
        ]
        self.auth_method.options = [
            ("client_secret_basic", gettext("Un secret, dans l’en-tête")),
            ("client_secret_post", gettext("Un secret, dans le formulaire")),
            ("private_key_jwt", gettext("Une signature avec ses clés")),
            ("none", gettext("Rien : client public")),
        ]
        for name in ENGINEER_ONLY if to_operator else ():
            del self[name]

    def show(self, metadata: ClientMetadata) -> None:
        """Fill the form with a registration."""
        for field in self:
            value = getattr(metadata, field.name)
            if isinstance(field, AreaField):
                value = "\n".join(value)
            field.data = list(value) if isinstance(value, tuple) else value

    def changed(self, former: ClientMetadata) -> ClientMetadata:
        """Return a registration with the values of the form."""
        return replace(former, **{field.name: _value(field) for field in self})

    def explain(self, faults: Sequence[Fault]) -> None:
        """Write what is wrong beside each field, or above the form."""
        for fault in faults:
            if fault.field in self:
                self[fault.field].errors = [*self[fault.field].errors, sentence(fault)]
            else:
                self.form_errors.append(sentence(fault))


REGISTRATION_FIELDS = tuple(name for name, field in vars(RegistrationForm).items() if isinstance(field, UnboundField))
"""The names of all fields of a registration."""


def _value(field: Any) -> Any:
    """Return the value of a field as `ClientMetadata` holds it."""
    kind = BY_NAME[field.name].kind
    if kind is Kind.SCHOOLS:
        return tuple(normalised_uai(uai) for line in field.lines for uai in line.replace(",", " ").split())
    if isinstance(field, AreaField):
        return tuple(field.lines)
    if kind is Kind.WORDS:
        return tuple(scope for scope in SCOPES if scope == "openid" or scope in field.data) + tuple(
            scope for scope in field.data if scope not in SCOPES
        )
    return (field.data or "") if kind in _TEXTS else field.data


def scope_names() -> dict[str, str]:
    """Return what each scope releases, in a few words for operators."""
    return {
        "profile": gettext("Prénom, nom et langue du parent"),
        "email": gettext("Adresse mail confirmée"),
        "address": gettext("Adresse postale du fichier"),
        "phone": gettext("Téléphone"),
        "ent": gettext("Profil de parent ; enfants dans les établissements servis"),
        "charter": gettext("Charte : acceptée ou non, quelle version"),
        "offline_access": gettext("Les mêmes informations après la visite"),
    }


def sentence(fault: Fault) -> str:
    """Return what is wrong, for the person who filled in the form."""
    value = fault.value[:_SHOWN]
    if fault.code is FaultCode.NEEDED and fault.field == "uais":
        return str(gettext("Donnez au moins un établissement, ou choisissez « Tous les parents de l’académie »."))
    sentences: dict[FaultCode, str] = {
        FaultCode.OTHER: gettext("Cette valeur n’est pas acceptée."),
        FaultCode.NAME: gettext("Donnez un nom de 1 à 80 caractères."),
        FaultCode.NEEDED: gettext("Donnez au moins une adresse, une par ligne."),
        FaultCode.UNKNOWN_VALUE: gettext("Choisissez une valeur de la liste."),
        FaultCode.NOT_A_UAI: gettext(
            "« %(value)s » n’est pas un numéro d’établissement : sept chiffres et une lettre, sans faute.", value=value
        ),
        FaultCode.NOT_A_URI: gettext(
            "« %(value)s » n’est pas une adresse web. Elle ressemble à : https://ent.exemple.fr/retour", value=value
        ),
        FaultCode.NOT_HTTPS: gettext(
            "« %(value)s » doit commencer par https:// et le nom du serveur en minuscules.", value=value
        ),
        FaultCode.HAS_FRAGMENT: gettext("« %(value)s » ne doit contenir ni # ni crochets.", value=value),
        FaultCode.FOREIGN_HOST: gettext("Cette adresse doit être sur le serveur d’une des adresses de retour."),
        FaultCode.SEVERAL_HOSTS: gettext(
            "Les adresses de retour sont sur plusieurs serveurs : gardez-en un seul, ou demandez à l’académie."
        ),
        FaultCode.OTHER_SECTOR: gettext(
            "Avec cet autre serveur, l’ENT prendrait chaque parent pour un inconnu. Il faut un nouvel enregistrement : "
            "demandez à l’académie."
        ),
        FaultCode.UNREADABLE: gettext("Le document qui réunit les adresses de retour n’est pas lisible en ce moment."),
        FaultCode.KEYS_NEEDED: gettext("La signature demande l’adresse des clés publiques de l’ENT."),
        FaultCode.PKCE_NEEDED: gettext("Un client public ne va pas sans PKCE."),
        FaultCode.CHANGED_MEANWHILE: gettext(
            "Une autre personne vient de modifier cet ENT. Rechargez la page et recommencez."
        ),
        FaultCode.NO_SECRET: gettext("Cet ENT n’a pas de secret."),
        FaultCode.FORMER_SECRET_WORKS: gettext(
            "L’ancien secret fonctionne encore : un troisième l’arrêterait. Choisissez ce qui convient ci-dessous."
        ),
    }
    return sentences[fault.code]
