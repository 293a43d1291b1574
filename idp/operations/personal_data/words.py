"""French words for the codes in an export: the page is for the person, the JSON file keeps the codes.

A test compares the words with the product's vocabularies. An unknown code is shown unchanged.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask_babel import lazy_gettext as _l

from idp.audit import catalogue
from idp.audit.kinds import Detail
from idp.clock import PARIS

_YES, _NO = _l("oui"), _l("non")

PURPOSES: Mapping[str, Any] = {
    "confirm_email": _l("confirmer l’adresse mail"),
    "change_email": _l("changer d’adresse mail"),
    "contest_email": _l("arrêter un changement d’adresse mail"),
    "reset_password": _l("choisir un nouveau mot de passe"),
    "report_activation": _l("signaler une activation"),
}
"""The purposes of the links of mails."""

NOTICES: Mapping[str, Any] = {
    "not_guardian": _l("« Je ne suis pas le représentant légal »"),
    "email_contested": _l("changement d’adresse mail contesté"),
    "email_change_stopped": _l("changement d’adresse mail arrêté"),
    "letter_doubt": _l("courrier tapé dans un autre compte"),
    "letter_guessed": _l("essais faux avec le courrier"),
    "shared_mailbox": _l("adresse mail de deux comptes"),
    "other_mailbox": _l("activation avec une autre adresse mail que celle du fichier"),
    "name_in_doubt": _l("fichier dont le nom n’est pas sûrement celui de la même personne"),
    "rectification": _l("correction de données demandée par le délégué à la protection des données"),
    "guardian_waits": _l("fichier qui nomme une personne de plus pour un élève dont un accès est suspendu"),
    "guardian_added": _l("nouveau responsable d’un élève qui en a déjà un, à vérifier par la direction"),
    "account_closed": _l("accès suspendu par un secrétariat, à vérifier par les directions"),
    "closing_passed_on": _l("accès suspendu qu’une autre direction peut rouvrir"),
    "person_replaced": _l("fichier qui donne le nom à une autre personne"),
}
"""The kinds of notices to a school."""

MESSAGES: Mapping[str, Any] = {
    "desk.file_expiry": _l("effacement d’un fichier du bureau"),
    "desk.job": _l("travail du bureau"),
    "desk.alert": _l("alerte du bureau"),
    "desk.file_waits": _l("mail : un fichier attend la direction"),
    "desk.file_declined": _l("mail : un fichier n’est pas importé par la direction"),
    "desk.ent": _l("mail : ENT à accepter, accepté ou refusé"),
    "staff.invitation": _l("invitation au bureau"),
    "staff.new_credential": _l("mail : nouveau moyen de connexion au bureau"),
    "staff.new_device": _l("mail : nouvel appareil au bureau"),
    "staff.new_role": _l("mail : nouveau rôle au bureau"),
    "account.notice": _l("mail sur votre compte"),
    "backchannel.logout": _l("déconnexion annoncée à un ENT"),
    "confirm_email": _l("mail pour confirmer l’adresse"),
    "recovery.password": _l("mail : mot de passe oublié"),
    "recovery.username": _l("mail : identifiant oublié"),
    "school.digest": _l("mail à un établissement"),
    "sessions.ended": _l("fin de connexions à annoncer aux ENT"),
}
"""The kinds of messages that wait."""

KINSHIPS: Mapping[str, Any] = {
    "10": _l("mère"),
    "20": _l("père"),
    "37": _l("frère ou sœur"),
    "38": _l("grand-parent ou autre ascendant"),
    "39": _l("autre membre de la famille"),
    "41": _l("éducateur"),
    "42": _l("assistant familial"),
    "43": _l("garde d’enfant"),
    "50": _l("tuteur"),
    "51": _l("aide sociale à l’enfance"),
    "70": _l("l’élève elle-même ou lui-même"),
    "90": _l("autre lien"),
}
"""SDET's codes of kinship."""

_AUTHORITIES: Mapping[Any, Any] = {
    0: _l("aucune"),
    1: _l("représentant légal"),
    2: _l("personne en charge de l’élève"),
    3: _l("personne à contacter"),
}
_RESULTS: Mapping[str, Any] = {
    "ok": _l("fait"),
    "refused": _l("refusé"),
    "throttled": _l("refusé : trop d’essais"),
}
_PROFILES: Mapping[str, Any] = {
    "student": _l("élève"),
    "guardian": _l("responsable d’élève"),
    "teacher": _l("enseignant"),
    "staff": _l("personnel"),
}
_METHODS: Mapping[str, Any] = {
    "pwd": _l("mot de passe"),
    "swk": _l("clé d’accès"),
    "hwk": _l("clé d’accès de l’appareil"),
    "user": _l("personne vérifiée"),
}
_CLASSES: Mapping[str, Any] = {
    "pwd": _l("mot de passe"),
    "pwd+device": _l("mot de passe sur un appareil connu"),
    "passkey+swk": _l("clé d’accès"),
    "passkey+hwk": _l("clé d’accès de l’appareil"),
}
_TOKENS: Mapping[str, Any] = {"a": _l("accès court"), "r": _l("accès prolongé")}
_SEVERITIES: Mapping[str, Any] = {"error": _l("erreur"), "warning": _l("avertissement"), "info": _l("information")}
_LOCALES: Mapping[str, Any] = {
    "fr-FR": _l("français"),
    "en": _l("anglais"),
    "ar": _l("arabe"),
    "tr": _l("turc"),
    "pt": _l("portugais"),
    "es": _l("espagnol"),
    "uk": _l("ukrainien"),
    "ro": _l("roumain"),
    "zh-Hans": _l("chinois simplifié"),
}
SCOPES: Mapping[str, Any] = {
    "openid": _l("connexion"),
    "profile": _l("nom et prénom"),
    "email": _l("adresse mail"),
    "address": _l("adresse postale"),
    "phone": _l("téléphone"),
    "ent": _l("enfants et établissements"),
    "charter": _l("charte"),
    "offline_access": _l("accès prolongé"),
}
"""The scopes that an ENT asks for."""

_CLAIMS: Mapping[str, Any] = {
    "middle_name": _l("autre prénom"),
    "nickname": _l("nom d’usage"),
    "profile": _l("page personnelle"),
    "picture": _l("photo"),
    "website": _l("site"),
    "gender": _l("genre"),
    "birthdate": _l("date de naissance"),
    "zoneinfo": _l("fuseau horaire"),
    "address": _l("adresse postale"),
    "phone_number": _l("téléphone"),
    "phone_number_verified": _l("téléphone vérifié"),
}
"""The claims that an operator may set beside the school's file."""

_CODES: Mapping[str, Mapping[Any, Any]] = {
    "act": catalogue.WORDS,
    "about": NOTICES,
    "amr": _METHODS,
    "dispute": NOTICES,
    "message": MESSAGES,
}
"""The words for the codes of fields of the journal that are not the journal's own."""

_WORDS: Mapping[tuple[str, str], Mapping[Any, Any]] = {
    ("account", "profile"): _PROFILES,
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
"""The words for a column's codes, by table and column."""


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
    """Return a day in French notation; empty for other values."""
    try:
        day = datetime.strptime(value, "%Y-%m-%d") if isinstance(value, str) else None  # noqa: DTZ007 - a day has none
    except ValueError:
        day = None
    return f"{day:%d/%m/%Y}" if day else ""


def _word(words: Mapping[Any, Any], value: Any) -> str:
    if isinstance(value, bool):
        return str(_YES if value else _NO)
    if isinstance(value, str) and value.startswith("claims "):  # the names of the claims follow
        value = "claims"
    if value in words:
        return str(words[value])
    return _moment(value) or str(value)


def _moment(value: Any) -> str:
    """Return a time in French notation, in Paris; empty for other values."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) and "T" in value else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        return ""
    local = at.astimezone(PARIS)
    return f"{local:%d/%m/%Y} à {local.hour} h {local.minute:02d}"
