"""French words for the events of the school desk and their details, which the journal's page and an export show."""

from collections.abc import Mapping
from typing import Any

from flask_babel import lazy_gettext as _l

DESK_EVENTS: Mapping[str, Any] = {
    "account.rectification_asked": _l("correction de données demandée à l’établissement"),
    "desk.alert": _l("alerte envoyée"),
    "desk.class_listed": _l("liste d’une classe faite"),
    "desk.file_difference_read": _l("différence d’un fichier lue, par noms"),
    "desk.file_taken": _l("fichier d’un travail pris"),
    "desk.files_declined": _l("fichiers non importés, par décision de la direction"),
    "desk.figures_exported": _l("chiffres de l’activation exportés"),
    "desk.import_problems_read": _l("problèmes d’un import lus, par noms"),
    "desk.job_asked": _l("travail demandé"),
    "desk.job_cancelled": _l("travail annulé"),
    "desk.job_finished": _l("travail fini"),
    "desk.notices_listed": _l("liste des signalements lue"),
    "desk.passwords_forced": _l("nouveaux mots de passe demandés à toutes les familles d’un établissement"),
    "desk.pupil_read": _l("page d’un élève consultée"),
    "desk.reason": _l("motif de consultation donné"),
    "desk.refused": _l("page du bureau refusée"),
    "desk.searched": _l("recherche de familles"),
    "staff.credential": _l("moyen de connexion au bureau changé"),
    "staff.disabled": _l("accès au bureau terminé"),
    "staff.enrolled": _l("inscription au bureau"),
    "staff.invited": _l("invitation au bureau"),
    "staff.proved": _l("identité prouvée à nouveau au bureau"),
    "staff.role_ended": _l("rôle au bureau terminé"),
    "staff.role_granted": _l("rôle au bureau donné"),
    "staff.sign_in": _l("connexion au bureau"),
    "staff.sign_out": _l("déconnexion du bureau"),
}
"""The kinds of events of the desk."""

DESK_MESSAGES: Mapping[str, Any] = {
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
}
"""The kinds of messages to the staff of the desk."""

_AUTHENTICATORS: Mapping[Any, Any] = {
    "passkey": _l("clé d’accès"),
    "code": _l("mot de passe et code"),
    "totp": _l("application de codes"),
    "recovery_code": _l("code de secours"),
    "academy": _l("compte de l’académie"),
}

DESK_CHANGES: Mapping[Any, Any] = {
    "accepted": _l("ENT accepté par l’académie"),
    "added": _l("ajouté"),
    "asked": _l("ENT inscrit par son exploitant, en attente de l’académie"),
    "approved": _l("changement accepté"),
    "changed": _l("réglages changés"),
    "dropped": _l("clé effacée"),
    "ended": _l("terminé"),
    "made": _l("créé"),
    "no longer waits for approval": _l("changement retiré"),
    "proposal accepted": _l("changement de l’ENT accepté par l’académie"),
    "proposal refused": _l("changement de l’ENT refusé par l’académie"),
    "proposal withdrawn": _l("changement de l’ENT retiré par son exploitant"),
    "proposed": _l("changement de l’ENT demandé par son exploitant, en attente de l’académie"),
    "registered": _l("inscrit"),
    "registration token expired": _l("jeton d’inscription expiré"),
    "registration token renewed": _l("jeton d’inscription renouvelé"),
    "registration token replaced": _l("jeton d’inscription remplacé"),
    "refused": _l("ENT refusé par l’académie"),
    "rejected": _l("changement refusé"),
    "removed": _l("retiré"),
    "retired": _l("clé retirée"),
    "revoked": _l("annulé"),
    "rotated": _l("nouvelle clé"),
    "secret rotated": _l("secret changé"),
    "started": _l("clé en service"),
    "used": _l("utilisé"),
    "waits for approval": _l("changement à accepter"),
}
"""The words for the changes of ENTs, keys and credentials."""

DESK_DETAILS: Mapping[str, tuple[Any, Mapping[Any, Any]]] = {
    "alert": (
        _l("alerte"),
        {
            "many_accounts": _l("beaucoup de comptes consultés en une heure"),
            "many_letters": _l("beaucoup de courriers pour des comptes actifs"),
            "many_closed": _l("beaucoup d’accès fermés en un jour"),
            "own_name": _l("compte du même nom de famille que la personne"),
        },
    ),
    "authenticator": (_l("moyen"), _AUTHENTICATORS),
    "class_name": (_l("classe"), {}),
    "credential": (_l("moyen"), _AUTHENTICATORS),
    "day": (_l("jour"), {}),
    "entries": (_l("lignes"), {}),
    "file": (_l("fichier"), {}),
    "format": (_l("format"), {}),
    "hits": (_l("résultats"), {}),
    "note": (_l("demande"), {}),
    "prolonged": (_l("prolongé"), {}),
    "reset": (_l("après une perte"), {}),
    "sha256": (_l("empreinte SHA-256"), {}),
    "since": (_l("depuis"), {}),
    "table": (
        _l("tableau"),
        {
            "classes": _l("par classe"),
            "weeks": _l("par semaine"),
            "schools": _l("par établissement"),
            "ents": _l("par ENT"),
        },
    ),
    "work": (
        _l("travail"),
        {
            "reminders": _l("rappels par mail"),
            "letter": _l("courrier au guichet"),
            "print": _l("impression de courriers"),
            "check": _l("vérification d’un fichier"),
            "import": _l("import d’un fichier"),
            "passwords": _l("nouveaux mots de passe"),
        },
    ),
    "uai": (_l("établissement"), {}),
    "uais": (_l("établissements"), {}),
    "until": (_l("jusqu’au"), {}),
    "who": (_l("personne choisie"), {}),
}
"""The details of the desk's events that are shown: the label of each, and the words for its codes."""
