"""The form of a registration and the sentences for its faults.

An ENT operator may change a part of a registration, the engineer all that the page has.

What the page lacks (algorithms, FAPI, subjects) is changed by `idp client set`.
"""

import enum
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask_babel import gettext, lazy_gettext as _l
from wtforms import BooleanField, Field
from wtforms.fields.core import UnboundField

from idp.clients import names
from idp.clients.models import Audience, CharterMode
from idp.desk.ents.acceptance import DECIDED, METHODS, MOST_A_DAY, MOST_WAITING
from idp.desk.fields import AreaField, ChoiceField
from idp.desk.kept_forms import DeskForm
from idp.oidc.claims.release import SCOPES
from idp.registration import checks
from idp.registration.declarations import Kind
from idp.registration.faults import Fault, FaultCode
from idp.registration.metadata import BY_NAME, ClientMetadata
from idp.uai import normalised_uai
from idp.web.forms import PlainField

ENGINEER_ONLY = ("uais", "auth_method", *DECIDED)
"""The fields that widen what an ENT knows or change its proof: no ENT operator changes them."""


class Purpose(enum.Enum):
    """What a form is for."""

    OWN = enum.auto()
    ASK = enum.auto()
    ACCEPT = enum.auto()  # the engineer decides what an ENT gets that an ENT operator registered
    WHOLE = enum.auto()


_LONGEST_URI = 600
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
    jwks = AreaField(_l("Clés publiques (JWKS)"), longest=40_000)
    contacts = AreaField(_l("Contacts"), longest=12_000)
    charter = ChoiceField(_l("Qui montre la charte"))
    uais = AreaField(_l("Établissements servis"), longest=40_000)
    audience = ChoiceField(_l("Public"))
    scopes = ScopesField(_l("Ce que l’ENT reçoit"), default=list)
    release_username = BooleanField(_l("L’ENT reçoit aussi l’identifiant de connexion"), false_values=("",))
    auth_method = ChoiceField(_l("Comment l’ENT prouve qui il est"))
    pkce_required = BooleanField(_l("Demander PKCE à chaque connexion (conseillé)"), false_values=("",))

    def restrict(self, purpose: Purpose) -> None:
        """Give choices their options; remove the fields that the purpose has not, which are then not read.

        The description of a field is its name in the protocol, for which integrators look.
        """
        for field in self:
            field.description = BY_NAME[field.name].member
        self.charter.options = [
            (CharterMode.ENT.value, gettext("L’ENT lui-même")),
            (CharterMode.PROVIDER.value, gettext("Ce service, avant l’entrée")),
            (CharterMode.NONE.value, gettext("Personne : pas de charte")),
        ]
        self.audience.options = [
            (Audience.FAMILIES.value, gettext("Les familles des établissements servis")),
            (Audience.EVERYONE.value, gettext("Tous les parents de l’académie")),
        ]
        proofs = {
            "client_secret_basic": gettext("Un secret, dans l’en-tête (client_secret_basic)"),
            "client_secret_post": gettext("Un secret, dans le formulaire (client_secret_post)"),
            "private_key_jwt": gettext("Une signature avec ses clés (private_key_jwt)"),
            "none": gettext("Rien : client public (none)"),
        }
        allowed = METHODS if purpose is Purpose.ASK else tuple(proofs)
        self.auth_method.options = [(method, proofs[method]) for method in allowed]
        if purpose is Purpose.ASK:
            self.uais.label.text = gettext("Établissements à servir")
        gone: dict[Purpose, Sequence[str]] = {
            Purpose.OWN: ENGINEER_ONLY,
            Purpose.ASK: DECIDED,
            Purpose.ACCEPT: [field.name for field in self if field.name not in ("uais", *DECIDED)],
            Purpose.WHOLE: (),
        }
        for name in gone[purpose]:
            del self[name]

    def show(self, metadata: ClientMetadata) -> None:
        """Fill the form with a registration."""
        for field in self:
            value = getattr(metadata, field.name)
            if BY_NAME[field.name].kind is Kind.KEYS:
                value = json.dumps(value, indent=1) if value else ""
            elif isinstance(field, AreaField):
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


def _value(field: Any) -> Any:
    kind = BY_NAME[field.name].kind
    if kind is Kind.SCHOOLS:
        return tuple(normalised_uai(uai) for line in field.lines for uai in line.replace(",", " ").split())
    if kind is Kind.KEYS:
        try:
            return checks.parse_jwks(field.data) if field.data else None
        except ValueError:
            return {}  # the checks refuse an empty object
    if isinstance(field, AreaField):
        return tuple(field.lines)
    if kind is Kind.WORDS:
        return tuple(scope for scope in SCOPES if scope == "openid" or scope in field.data) + tuple(
            scope for scope in field.data if scope not in SCOPES
        )
    return (field.data or "") if kind in _TEXTS else field.data


def untested(metadata: ClientMetadata) -> list[str]:
    """Return the labels of the addresses that a trial would read, and that the registration lacks."""
    tested = ("home_uri", "post_logout_redirect_uris", "backchannel_logout_uri", "frontchannel_logout_uri")
    form = RegistrationForm()
    return [f"{form[name].label.text} ({BY_NAME[name].member})" for name in tested if not getattr(metadata, name)]


def scope_names() -> dict[str, str]:
    """Return what each scope releases, in a few words for the staff."""
    return {
        "profile": gettext("Prénom, nom et langue du parent"),
        "email": gettext("Adresse mail confirmée"),
        "address": gettext("Adresse postale du fichier"),
        "phone": gettext("Téléphone"),
        "ent": gettext("Profil de parent ; enfants dans les établissements servis"),
        "charter": gettext("Charte : acceptée ou non, quelle version"),
        "offline_access": gettext("Les mêmes informations après la visite"),
    }


_SHOWN = 100
_SENTENCES = {
    FaultCode.NAME: _l("Donnez un nom de 1 à %(most)s caractères.", most=names.LONGEST),
    FaultCode.NAME_TAKEN: _l(
        "Ce nom est celui d’un autre ENT ou de ce service, ou lui ressemble ; ou il a des lettres que le français "
        "n’a pas."
    ),
    FaultCode.NEEDED: _l("Donnez au moins une adresse, une par ligne."),
    FaultCode.UNKNOWN_VALUE: _l("Choisissez une valeur de la liste."),
    FaultCode.FOREIGN_HOST: _l("Cette adresse doit être sur le serveur d’une des adresses de retour."),
    FaultCode.OTHER_WAITS: _l(
        "L’ENT lui-même a demandé un changement, qui attend l’académie. Recommencez quand elle aura répondu."
    ),
    FaultCode.SEVERAL_HOSTS: _l(
        "Les adresses de retour sont sur plusieurs serveurs : gardez-en un seul, ou demandez à l’académie."
    ),
    FaultCode.OTHER_SECTOR: _l(
        "Avec cet autre serveur, l’ENT prendrait chaque parent pour un inconnu. Il faut un nouvel enregistrement : "
        "demandez à l’académie."
    ),
    FaultCode.UNREADABLE: _l("Le document qui réunit les adresses de retour n’est pas lisible en ce moment."),
    FaultCode.KEYS_NEEDED: _l("La signature demande les clés publiques de l’ENT, ou leur adresse."),
    FaultCode.KEYS_UNUSABLE: _l(
        "Ce ne sont pas des clés publiques que ce service peut utiliser : un texte JSON (JWKS), avec une clé RSA "
        "de 2048 à 4096 bits, P-256 ou Ed25519."
    ),
    FaultCode.KEY_IS_PRIVATE: _l(
        "C’est une clé privée : d’autres ont pu la lire. Faites une nouvelle clé, et collez sa partie publique."
    ),
    FaultCode.KEYS_TWICE: _l("Donnez les clés publiques, ou leur adresse, pas les deux."),
    FaultCode.PKCE_NEEDED: _l("Un client public ne va pas sans PKCE."),
    FaultCode.CONTACT: _l(
        "%(most)s contacts au plus, un par ligne, de %(longest)s caractères au plus.",
        most=checks.MOST_CONTACTS,
        longest=checks.LONGEST_CONTACT,
    ),
    FaultCode.CHANGED_MEANWHILE: _l("Une autre personne vient de modifier cet ENT. Rechargez la page et recommencez."),
    FaultCode.NO_SECRET: _l("Cet ENT n’a pas de secret."),
    FaultCode.FORMER_SECRET_WORKS: _l(
        "L’ancien secret fonctionne encore : un troisième l’arrêterait. Choisissez ce qui convient ci-dessous."
    ),
    FaultCode.DECIDED_BY_ACADEMY: _l("C’est l’académie qui en décide, quand elle accepte l’ENT."),
    FaultCode.MANY_WAIT: _l(
        "%(most)s de vos ENT attendent déjà l’accord de l’académie, pour eux-mêmes ou pour un changement. Attendez sa "
        "réponse pour l’un d’eux."
    ),
    FaultCode.MANY_TODAY: _l("Vous avez demandé %(day)s ENT ou changements en un jour : continuez demain."),
    FaultCode.MANY_MOVES: _l("Vous avez changé trop souvent des adresses de cet ENT en un jour : continuez demain."),
    FaultCode.ASKER_LEFT: _l(
        "La personne qui a fait la demande n’exploite plus cet ENT : la demande ne peut plus qu’être refusée."
    ),
    FaultCode.NOT_WAITING: _l("Cet ENT n’attend plus d’accord : quelqu’un a déjà répondu."),
    FaultCode.NOT_A_UAI: _l(
        "« %(value)s » n’est pas un numéro d’établissement : sept chiffres et une lettre, sans faute."
    ),
    FaultCode.NOT_A_URI: _l(
        "« %(value)s » n’est pas une adresse web. Elle ressemble à : https://ent.exemple.fr/retour"
    ),
    FaultCode.NOT_HTTPS: _l("« %(value)s » doit commencer par https:// et le nom du serveur en minuscules."),
    FaultCode.HAS_FRAGMENT: _l("« %(value)s » ne doit contenir ni # ni crochets."),
}


def sentence(fault: Fault) -> str:
    """Return what is wrong, for the person who filled in the form."""
    if fault.code is FaultCode.NEEDED and fault.field == "uais":
        return str(gettext("Donnez au moins un établissement."))
    text = _SENTENCES.get(fault.code, _l("Cette valeur n’est pas acceptée."))
    return str(text) % {"value": fault.value[:_SHOWN], "most": MOST_WAITING, "day": MOST_A_DAY}
