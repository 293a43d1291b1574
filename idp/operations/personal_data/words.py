"""French words for the codes in an export: the page is for the person, the JSON file keeps the codes.

A test compares the words with the product's vocabularies. An unknown code is shown unchanged.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask_babel import lazy_gettext as _l

from idp.clock import PARIS
from idp.operations.personal_data.desk_words import DESK_CHANGES, DESK_DETAILS, DESK_EVENTS, DESK_MESSAGES

_YES, _NO = _l("oui"), _l("non")

EVENTS: Mapping[str, Any] = {
    **DESK_EVENTS,
    "account.changed": _l("état du compte changé"),
    "account.erased": _l("compte effacé"),
    "account.exported": _l("données remises à la personne dans un fichier"),
    "account.inactivity_warned": _l("mail : compte bientôt effacé"),
    "account.kept_suspension_ended": _l("fin de la suspension d’une personne effacée"),
    "account.purged": _l("compte supprimé"),
    "account.reopened": _l("accès rouvert"),
    "account.suspended": _l("accès suspendu"),
    "guardianship.admitted": _l("nouveau responsable : accès à l’élève accordé par la direction"),
    "guardianship.waits": _l("nouveau responsable : attend la direction"),
    "account.renamed": _l("nom changé par l’équipe du service"),
    "account.read": _l("compte consulté par l’établissement ou l’équipe du service"),
    "activation.completed": _l("mot de passe choisi à l’activation"),
    "activation.opened": _l("activation commencée avec le courrier"),
    "activation.reported": _l("signalement : « Ce n’est pas moi »"),
    "charter.accepted": _l("charte acceptée"),
    "charter.published": _l("charte publiée"),
    "charter.refused": _l("charte refusée"),
    "client.changed": _l("réglages d’un ENT changés"),
    "client.changed_itself": _l("réglages d’un ENT changés par l’ENT"),
    "client.invited": _l("ENT invité à s’inscrire"),
    "code.issued": _l("entrée dans un ENT"),
    "code.reused": _l("entrée présentée deux fois, accès annulé"),
    "desk.identity_checked": _l("identité vérifiée par l’établissement avant un nouveau courrier"),
    "device_session.changed": _l("appareil qui reste connecté : début, utilisation ou fin"),
    "device_session.reused": _l("connexion d’un appareil présentée deux fois, arrêtée"),
    "dispute.settled": _l("contestation réglée par l’établissement"),
    "email.change_asked": _l("changement d’adresse mail demandé"),
    "email.change_cancelled": _l("changement d’adresse mail annulé"),
    "email.change_contested": _l("changement d’adresse mail contesté avec le lien « Ce n’était pas moi »"),
    "email.code_spent": _l("code du mail tapé faux cinq fois"),
    "email.confirmed": _l("adresse mail confirmée"),
    "email.link_sent": _l("lien envoyé pour confirmer une adresse mail"),
    "failures.alarm": _l("beaucoup d’essais faux sur tout le service"),
    "guardianship.disputed": _l(
        "signalement : quelqu’un a dit au nom de la personne qu’elle n’est pas le représentant légal d’un élève"
    ),
    "journal.exported": _l("journal copié"),
    "key.changed": _l("clé du service changée"),
    "letter.drawn": _l("mot de passe provisoire préparé pour un courrier"),
    "letter.link_doubted": _l("courrier d’un autre compte, à vérifier"),
    "letter.linked": _l("autre courrier ajouté au compte"),
    "letter.unlinked": _l("courrier ajouté, retiré du compte par l’établissement"),
    "letter.reissued": _l("nouveau courrier pour un compte en service, ancien mot de passe terminé"),
    "outbox.changed": _l("messages du service relancés ou abandonnés"),
    "passkey.changed": _l("clé d’accès ajoutée ou retirée"),
    "password.breached": _l("mot de passe trouvé dans une liste volée"),
    "password.changed": _l("mot de passe changé"),
    "password.list_loaded": _l("liste de mots de passe volés chargée"),
    "password.reset": _l("nouveau mot de passe choisi avec un lien"),
    "proxy.ignored": _l("réglage du réseau à vérifier"),
    "purge.completed": _l("suppression quotidienne de ce qui a expiré"),
    "reauthenticated": _l("mot de passe tapé à nouveau"),
    "recovery.password": _l("mot de passe oublié"),
    "recovery.throttled": _l("demande refusée : trop de demandes"),
    "recovery.username": _l("identifiant oublié"),
    "recovery.username_told": _l("identifiant envoyé par mail"),
    "refresh.reused": _l("accès présenté deux fois, annulé"),
    "roster.account": _l("compte lu dans un fichier de l’établissement"),
    "roster.imported": _l("fichiers de l’établissement importés"),
    "school.changed": _l("fiche d’un établissement changée"),
    "school.notice_settled": _l("signalement réglé par l’établissement"),
    "sessions.ended": _l("connexions fermées"),
    "settings.changed": _l("réglages du service changés"),
    "sign_in": _l("connexion"),
    "sign_out": _l("déconnexion"),
}
"""The kinds of events of the journal."""

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
    "name_compared": _l("nom corrigé, à vérifier par la direction"),
    "guardian_added": _l("nouveau responsable d’un élève qui en a déjà un, à vérifier par la direction"),
    "account_closed": _l("accès suspendu par un secrétariat, à vérifier par les directions"),
    "closing_passed_on": _l("accès suspendu qu’une autre direction peut rouvrir"),
    "person_replaced": _l("fichier qui donne le nom à une autre personne"),
}
"""The kinds of notices to a school."""

MESSAGES: Mapping[str, Any] = {
    **DESK_MESSAGES,
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

_DETAILS: Mapping[str, tuple[Any, Mapping[Any, Any]]] = {
    **DESK_DETAILS,
    "act": (_l("acte choisi"), EVENTS),
    "about": (_l("objet"), NOTICES),
    "amr": (_l("moyen"), _METHODS),
    "answer": (
        _l("réponse"),
        {
            "link": _l("lien envoyé"),
            "never_activated": _l("compte jamais activé, mail envoyé"),
            "unconfirmed": _l("lien pour confirmer l’adresse envoyé"),
            "by_letter": _l("mail envoyé : nouveau courrier à demander"),
            "unknown": _l("aucun mail"),
            "disabled": _l("compte fermé, aucun mail"),
            "suspended": _l("compte suspendu, aucun mail"),
            "merged": _l("compte réuni avec un autre, aucun mail"),
            "disputed": _l("compte contesté, aucun mail"),
            "no_address": _l("pas d’adresse mail"),
            "capped": _l("trop de mails déjà partis"),
            "blocked": _l("mot de passe bloqué, mail envoyé"),
        },
    ),
    "applied": (_l("changement déjà fait"), {}),
    "by": (
        _l("cause"),
        {
            "breached": _l("mot de passe volé"),
            "contested": _l("changement d’adresse contesté"),
            "disputed": _l("lien avec l’élève contesté"),
            "letter": _l("nouveau courrier"),
            "operator": _l("équipe du service"),
            "password_changed": _l("mot de passe changé"),
            "password_reset": _l("nouveau mot de passe"),
            "page": _l("page « Se déconnecter »"),
            "person": _l("vous"),
            "renewal": _l("nouveau mot de passe demandé"),
            "replaced": _l("nouvelle connexion"),
            "roster": _l("fichier de l’établissement"),
            "stolen": _l("connexion copiée"),
        },
    ),
    "change": (
        _l("changement"),
        {
            **DESK_CHANGES,
            "added": _l("ajout"),
            "begun": _l("début"),
            "child_added": _l("enfant ajouté"),
            "child_ended": _l("lien avec un enfant terminé"),
            "tie_ended": _l("lien terminé avec un enfant qui reste inscrit"),
            "claims": _l("autres informations"),
            "disabled": _l("compte fermé"),
            "dropped": _l("abandon"),
            "enabled": _l("compte rouvert"),
            "ended": _l("fin"),
            "key_replaced": _l("clé du fichier remplacée"),
            "left": _l("plus d’enfant dans l’établissement"),
            "letter_voided": _l("courrier annulé"),
            "mailbox_released": _l("adresse mail retirée"),
            "password_blocked": _l("mot de passe bloqué"),
            "record": _l("fiche mise à jour"),
            "removed": _l("retrait"),
            "replaced": _l("autre personne du même nom"),
            "retried": _l("nouvel essai"),
            "returned": _l("compte rouvert"),
            "tie_changed": _l("lien avec un enfant changé"),
            "unlocked": _l("essais faux effacés"),
            "used": _l("utilisation"),
        },
    ),
    "count": (_l("nombre"), {}),
    "dispute": (_l("objet"), NOTICES),
    "door": (
        _l("page"),
        {
            "sign_in": _l("connexion"),
            "reauthentication": _l("« Confirmez que c’est vous »"),
            "letter": _l("« Ajouter un autre courrier »"),
            "link": _l("lien reçu par mail"),
            "passkey": _l("connexion par clé d’accès"),
        },
    ),
    "message": (_l("message"), MESSAGES),
    "outcome": (
        _l("résultat"),
        {
            "done": _l("fini"),
            "failed": _l("arrêté avant la fin"),
            "cancelled": _l("annulé"),
            "reject": _l("contestation écartée"),
            "confirm": _l("contestation confirmée"),
            "letter": _l("nouveau courrier"),
        },
    ),
    "shown_by": (_l("montrée par"), {"ent": _l("l’ENT"), "provider": _l("ce service")}),
    "version": (_l("version"), {}),
}
"""The details of events that are shown: the label of each, and the words for its codes."""

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
    ("audit", "kind"): EVENTS,
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
    return {
        name: value for name, value in details.items() if name in _DETAILS and value not in ("", [], {}, None, False)
    }


def _detail(name: str, value: Any) -> str:
    label, words = _DETAILS.get(name, (_CLAIMS.get(name, name), {}))
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
