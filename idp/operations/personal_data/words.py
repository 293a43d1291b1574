"""French words for the codes in an export: the page is for the person, the JSON file keeps the codes.

A test compares the words with the product's vocabularies. An unknown code is shown unchanged.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from idp.audit import catalogue
from idp.audit.kinds import Detail
from idp.clock import PARIS
from idp.languages import OF_LETTERS

PURPOSES: Mapping[str, str] = {
    "confirm_email": "confirmer l’adresse mail",
    "change_email": "changer d’adresse mail",
    "contest_email": "arrêter un changement d’adresse mail",
    "reset_password": "choisir un nouveau mot de passe",
    "report_activation": "signaler une activation",
}

NOTICES: Mapping[str, str] = {
    "not_guardian": "« Je ne suis pas le représentant légal »",
    "email_contested": "changement d’adresse mail contesté",
    "email_change_stopped": "changement d’adresse mail arrêté",
    "letter_doubt": "courrier tapé dans un autre compte",
    "letter_guessed": "essais faux avec le courrier",
    "shared_mailbox": "adresse mail de deux comptes",
    "other_mailbox": "activation avec une autre adresse mail que celle du fichier",
    "name_in_doubt": "fichier dont le nom n’est pas sûrement celui de la même personne",
    "rectification": "correction de données demandée par le délégué à la protection des données",
    "guardian_waits": "fichier qui nomme une personne de plus pour un élève dont un accès est suspendu",
    "guardian_added": "nouveau responsable d’un élève qui en a déjà un, à vérifier par la direction",
    "account_closed": "accès suspendu par un secrétariat, à vérifier par les directions",
    "closing_passed_on": "accès suspendu qu’une autre direction peut rouvrir",
    "person_replaced": "fichier qui donne le nom à une autre personne",
}

MESSAGES: Mapping[str, str] = {
    "desk.file_expiry": "effacement d’un fichier du bureau",
    "desk.job": "travail du bureau",
    "desk.alert": "alerte du bureau",
    "desk.file_waits": "mail : un fichier attend la direction",
    "desk.file_declined": "mail : un fichier n’est pas importé par la direction",
    "desk.ent": "mail : ENT à accepter, accepté ou refusé",
    "staff.invitation": "invitation au bureau",
    "staff.new_credential": "mail : nouveau moyen de connexion au bureau",
    "staff.new_device": "mail : nouvel appareil au bureau",
    "staff.new_role": "mail : nouveau rôle au bureau",
    "account.notice": "mail sur votre compte",
    "backchannel.logout": "déconnexion annoncée à un ENT",
    "confirm_email": "mail pour confirmer l’adresse",
    "recovery.password": "mail : mot de passe oublié",
    "recovery.username": "mail : identifiant oublié",
    "school.digest": "mail à un établissement",
    "sessions.ended": "fin de connexions à annoncer aux ENT",
}

KINSHIPS: Mapping[str, str] = {
    "10": "mère",
    "20": "père",
    "37": "frère ou sœur",
    "38": "grand-parent ou autre ascendant",
    "39": "autre membre de la famille",
    "41": "éducateur",
    "42": "assistant familial",
    "43": "garde d’enfant",
    "50": "tuteur",
    "51": "aide sociale à l’enfance",
    "70": "l’élève elle-même ou lui-même",
    "90": "autre lien",
}
"""SDET's codes of kinship."""

_AUTHORITIES: Mapping[Any, str] = {
    0: "aucune",
    1: "représentant légal",
    2: "personne en charge de l’élève",
    3: "personne à contacter",
}
_RESULTS: Mapping[str, str] = {
    "ok": "fait",
    "refused": "refusé",
    "throttled": "refusé : trop d’essais",
}
_PASSWORDS: Mapping[str, str] = {
    "usable": "utilisable",
    "blocked": "bloqué",
    "breached": "bloqué, trouvé dans une liste volée",
}
_METHODS: Mapping[str, str] = {
    "pwd": "mot de passe",
    "swk": "clé d’accès",
    "hwk": "clé d’accès de l’appareil",
    "user": "personne vérifiée",
}
_CLASSES: Mapping[str, str] = {
    "pwd": "mot de passe",
    "pwd+device": "mot de passe sur un appareil connu",
    "passkey+swk": "clé d’accès",
    "passkey+hwk": "clé d’accès de l’appareil",
}
_TOKENS: Mapping[str, str] = {"a": "accès court", "r": "accès prolongé"}
_SEVERITIES: Mapping[str, str] = {"error": "erreur", "warning": "avertissement", "info": "information"}
_LOCALES: Mapping[str, str] = {"fr-FR": "français", **OF_LETTERS}
SCOPES: Mapping[str, str] = {
    "openid": "connexion",
    "profile": "nom et prénom",
    "email": "adresse mail",
    "address": "adresse postale",
    "phone": "téléphone",
    "ent": "enfants et établissements",
    "charter": "charte",
    "offline_access": "accès prolongé",
}
"""The scopes that an ENT asks for."""

_CLAIMS: Mapping[str, str] = {
    "middle_name": "autre prénom",
    "nickname": "nom d’usage",
    "profile": "page personnelle",
    "picture": "photo",
    "website": "site",
    "gender": "genre",
    "birthdate": "date de naissance",
    "zoneinfo": "fuseau horaire",
    "address": "adresse postale",
    "phone_number": "téléphone",
    "phone_number_verified": "téléphone vérifié",
}

# The words for the codes of fields of the journal that are not the journal's own.
_CODES: Mapping[str, Mapping[Any, str]] = {
    "act": catalogue.WORDS,
    "about": NOTICES,
    "amr": _METHODS,
    "dispute": NOTICES,
    "message": MESSAGES,
}

# The words for a column's codes, by table and column.
_WORDS: Mapping[tuple[str, str], Mapping[Any, str]] = {
    ("account", "password_state"): _PASSWORDS,
    ("account", "locale"): _LOCALES,
    ("guardianship", "kinship"): KINSHIPS,
    ("guardianship", "authority"): _AUTHORITIES,
    ("one_time_link", "purpose"): PURPOSES,
    ("school_notice", "kind"): NOTICES,
    ("session", "amr"): _METHODS,
    ("session", "acr"): _CLASSES,
    ("device_session", "amr"): _METHODS,
    ("device_session", "acr"): _CLASSES,
    ("authorization_code", "acr"): _CLASSES,
    ("token", "acr"): _CLASSES,
    ("token", "kind"): _TOKENS,
    ("outbox", "kind"): MESSAGES,
    ("import_issue", "severity"): _SEVERITIES,
    ("audit", "kind"): catalogue.WORDS,
    ("audit", "result"): _RESULTS,
}


def in_words(table: str, column: str, value: Any) -> str:
    """Return the page's text for a value of the export: codes as words, times in Paris."""
    words = _WORDS.get((table, column), {})
    if column == "scope":
        return ", ".join(_word(SCOPES, scope) for scope in str(value).split())
    if isinstance(value, dict):
        return " ; ".join(_detail(name, member) for name, member in value.items())
    if isinstance(value, list):
        return ", ".join(_word(words, item) for item in value)
    return _word(words, value)


def known_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the details of an event that have words; the others are keys and digests."""
    shown = {name: value for name, value in details.items() if value not in ("", [], {}, None, False)}
    return {name: value for name, value in shown.items() if catalogue.DETAILS.get(name, Detail()).fr}


def _detail(name: str, value: Any) -> str:
    detail = catalogue.DETAILS.get(name, Detail())
    label, words = detail.fr or _CLAIMS.get(name, name), _CODES.get(name, detail.codes)
    if isinstance(value, dict):
        return f"{label} : {', '.join(str(member) for member in value.values())}"
    values = value if isinstance(value, list) else [value]
    return f"{label} : {', '.join(_day(item) or _word(words, item) for item in values)}"


def _day(value: Any) -> str:
    try:
        day = datetime.strptime(value, "%Y-%m-%d") if isinstance(value, str) else None  # noqa: DTZ007 - a day has none
    except ValueError:
        day = None
    return f"{day:%d/%m/%Y}" if day else ""


def _word(words: Mapping[Any, str], value: Any) -> str:
    if isinstance(value, bool):
        return "oui" if value else "non"
    if isinstance(value, str) and value.startswith("claims "):  # the names of the claims follow
        value = "claims"
    if value in words:
        return words[value]
    return _moment(value) or str(value)


def _moment(value: Any) -> str:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) and "T" in value else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        return ""
    local = at.astimezone(PARIS)
    return f"{local:%d/%m/%Y} à {local.hour} h {local.minute:02d}"
