"""What the journal knows of each kind of entry, and the base of the classes that record one.

A kind is one row: the class of its event, with the `Kind`, the fields that are stored, and a docstring for operators,
who read it in docs/reference/events.md: first what happened, then what the fields hold. `idp.audit.catalogue` has all
kinds. No field may hold a secret. An identifier that matches no account is stored as a keyed digest only, since people
type passwords into that field.
"""

import enum
import uuid
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, dataclass_transform

from idp.metrics.catalogue import EVENT

NAMED_CHILD, CHILD, CALL = "named child", "child", "call"
"""Keys of words: for an event about a child that may be named to the person, about a child, or after a call."""


class Group(enum.StrEnum):
    """The titles of the acts in the journal's filter, in the order of the page."""

    DESK = "Travail du bureau"
    LETTERS = "Courriers"
    ACCOUNTS = "Comptes des responsables"
    NOTICES = "Signalements"
    SIGN_INS = "Connexions des familles"
    CREDENTIALS = "Mots de passe, clés d’accès et adresses mail"
    STAFF = "Personnes du bureau"
    ENTS = "ENT et chartes"
    SERVICE = "Établissements et service"


@dataclass(frozen=True)
class Kind:
    """What is the same for all entries of a kind.

    Attributes:
        fr: the words of the desk's journal and of a person's export.
        by_staff: whether a person of the desk may cause it; else a family, an ENT, the service or a command does.
        technical: whether an engineer reads it, since it is never about a family.
        of_ent: whether it names an ENT and no account, so that an operator of the ENT reads it.
        exported: the fields that a person's export shows; any other may be about somebody else.
        is_open: whether it succeeds without the account's password: the IP may be another person's.
        fuller: the kind by which the same act says more; pages that list acts show that entry alone.
        family: the words on the account's page at the desk, or one text for each result or change.
        own: the sentence on the person's own page about an act of the school or the service, or one for each change.
    """

    name: str
    fr: str
    group: Group
    _: KW_ONLY
    by_staff: bool = True
    technical: bool = False
    of_ent: bool = False
    exported: tuple[str, ...] = ()
    is_open: bool = False
    fuller: str = ""
    family: str | Mapping[str, str] = ""
    own: Any = ""


def chosen(words: Any, *keys: str) -> Any:
    """Return the words of a kind: its one text, or that of the first key that has one; empty if none has."""
    return next((words[key] for key in keys if key in words), "") if isinstance(words, Mapping) else words


@dataclass(frozen=True)
class Detail:
    """The words for a stored field.

    Attributes:
        fr: its name on pages and in exports; empty: it is a key or a digest, which is not shown.
        codes: the words for its values, if they are codes.
        en: what it holds, for docs/reference/events.md, if the docstrings of events do not say so.
    """

    fr: str = ""
    codes: Mapping[str, str] = field(default_factory=dict)
    en: str = ""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
class _Recorded:
    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(frozen=True, kw_only=True)(cls)


class Event(_Recorded):
    """The common fields of events: the kind, the result, the account and the client."""

    row: ClassVar[Kind]
    kind: ClassVar[str]
    result: ClassVar[str] = "ok"
    account_id: uuid.UUID | None = None
    client_id: uuid.UUID | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.kind = cls.row.name
        EVENT.allow([cls.kind])


_AUTHENTICATORS = {
    "passkey": "clé d’accès",
    "code": "mot de passe et code",
    "totp": "application de codes",
    "recovery_code": "code de secours",
    "academy": "compte de l’académie",
}
DETAILS: Mapping[str, Detail] = {
    "after": Detail(en="the new values of what changed; never a secret"),
    "alert": Detail(
        "alerte",
        {
            "many_accounts": "beaucoup de comptes consultés en une heure",
            "many_letters": "beaucoup de courriers pour des comptes actifs",
            "many_closed": "beaucoup d’accès fermés en un jour",
            "own_name": "compte du même nom de famille que la personne",
        },
    ),
    "answer": Detail(
        "réponse",
        {
            "link": "lien envoyé",
            "never_activated": "compte jamais activé, mail envoyé",
            "unconfirmed": "lien pour confirmer l’adresse envoyé",
            "by_letter": "mail envoyé : nouveau courrier à demander",
            "unknown": "aucun mail",
            "disabled": "compte fermé, aucun mail",
            "closed": "compte suspendu, aucun mail",
            "disputed": "compte contesté, aucun mail",
            "no_address": "pas d’adresse mail",
            "capped": "trop de mails déjà partis",
            "blocked": "mot de passe bloqué, mail envoyé",
        },
    ),
    "authenticator": Detail(
        "moyen",
        _AUTHENTICATORS,
        en="what proved who the person of the desk is: `passkey`, `code`, `recovery_code` or `academy`",
    ),
    "before": Detail(en="the former values of what changed; never a secret"),
    "by": Detail(
        "cause",
        {
            "breached": "mot de passe volé",
            "contested": "changement d’adresse contesté",
            "disputed": "lien avec l’élève contesté",
            "letter": "nouveau courrier",
            "operator": "équipe du service",
            "password_changed": "mot de passe changé",
            "password_reset": "nouveau mot de passe",
            "page": "page « Se déconnecter »",
            "person": "vous",
            "renewal": "nouveau mot de passe demandé",
            "replaced": "nouvelle connexion",
            "roster": "fichier de l’établissement",
            "stolen": "connexion copiée",
        },
    ),
    "change": Detail(
        "changement",
        {
            "accepted": "ENT accepté par l’académie",
            "added": "ajout",
            "asked": "ENT inscrit par son exploitant, en attente de l’académie",
            "approved": "changement accepté",
            "changed": "réglages changés",
            "dropped": "abandon",
            "ended": "fin",
            "made": "créé",
            "no longer waits for approval": "changement retiré",
            "proposal accepted": "changement de l’ENT accepté par l’académie",
            "proposal refused": "changement de l’ENT refusé par l’académie",
            "proposal withdrawn": "changement de l’ENT retiré par son exploitant",
            "proposed": "changement de l’ENT demandé par son exploitant, en attente de l’académie",
            "registered": "inscrit",
            "registration token expired": "jeton d’inscription expiré",
            "registration token renewed": "jeton d’inscription renouvelé",
            "registration token replaced": "jeton d’inscription remplacé",
            "refused": "ENT refusé par l’académie",
            "rejected": "changement refusé",
            "removed": "retrait",
            "retired": "clé retirée",
            "revoked": "annulé",
            "rotated": "nouvelle clé",
            "secret rotated": "secret changé",
            "started": "clé en service",
            "used": "utilisation",
            "waits for approval": "changement à accepter",
            "begun": "début",
            "child_added": "enfant ajouté",
            "child_ended": "lien avec un enfant terminé",
            "tie_ended": "lien terminé avec un enfant qui reste inscrit",
            "claims": "autres informations",
            "disabled": "compte fermé",
            "enabled": "compte rouvert",
            "key_replaced": "clé du fichier remplacée",
            "left": "plus d’enfant dans l’établissement",
            "letter_voided": "courrier annulé",
            "mailbox_released": "adresse mail retirée",
            "password_blocked": "mot de passe bloqué",
            "record": "fiche mise à jour",
            "replaced": "autre personne du même nom",
            "retried": "nouvel essai",
            "returned": "compte rouvert",
            "tie_changed": "lien avec un enfant changé",
            "unlocked": "essais faux effacés",
        },
    ),
    "child": Detail(en="the key of the pupil; empty if the event is about no single pupil"),
    "children": Detail(en="the keys of the children"),
    "count": Detail("nombre"),
    "credential": Detail("moyen", _AUTHENTICATORS),
    "device": Detail(en="the kind of device, the system and the browser"),
    "door": Detail(
        "page",
        {
            "sign_in": "connexion",
            "reauthentication": "« Confirmez que c’est vous »",
            "letter": "« Ajouter un autre courrier »",
            "link": "lien reçu par mail",
            "passkey": "connexion par clé d’accès",
        },
        en="the page: `sign_in`, `reauthentication`, `letter` (a second letter), `link` (of a mail), or `passkey`",
    ),
    "format": Detail("format"),
    "job": Detail(en="the id of the job"),
    "mail_domain": Detail(en="the domain of the email"),
    "outcome": Detail(
        "résultat",
        {
            "done": "fini",
            "failed": "arrêté avant la fin",
            "cancelled": "annulé",
            "reject": "contestation écartée",
            "confirm": "contestation confirmée",
            "letter": "nouveau courrier",
        },
    ),
    "reason": Detail(en="the reason that the operator gave"),
    "role": Detail(en="the role at the desk"),
    "sha256": Detail("empreinte SHA-256"),
    "sid": Detail(en="the id of the session, as the ENTs know it"),
    "staff": Detail(en="the id of the person of the desk"),
    "closing": Detail(en="the key of the decision's row"),
    "table": Detail(
        "tableau", {"classes": "par classe", "weeks": "par semaine", "schools": "par établissement", "ents": "par ENT"}
    ),
    "uai": Detail("établissement", en="the UAI of the school"),
    "uais": Detail("établissements", en="the UAI of the schools concerned"),
    "until": Detail("jusqu’au"),
    "username_digest": Detail(en="a keyed digest of the typed identifier: equal for equal identifiers"),
    "version": Detail("version", en="the version of the charter"),
    "work": Detail(
        "travail",
        {
            "reminders": "rappels par mail",
            "letter": "courrier au guichet",
            "print": "impression de courriers",
            "check": "vérification d’un fichier",
            "import": "import d’un fichier",
            "passwords": "nouveaux mots de passe",
        },
        en="the kind of job",
    ),
}
