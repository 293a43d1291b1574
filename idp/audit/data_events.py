"""The events of exports and erasures, of a person's data or of the journal, and of the daily purge."""

from dataclasses import field
from typing import Annotated

from flask_babel import lazy_gettext as _l

from idp.audit.kinds import CHILD, NAMED_CHILD, Detail, Event, Group, Kind


class JournalExported(Event):
    """An operator exported the journal; `since` is the first date, if one was given.

    An export at the desk also has the `format`, the number of `entries`, the `sha256` of the file, and its filters: the
    last date `until`, the kind `act`, the name `who`; the account, if there is one, is that of the entry.
    """

    row = Kind("journal.exported", "journal copié", Group.DESK, technical=True)
    since: Annotated[str, Detail("depuis")] = ""
    until: str = ""
    act: Annotated[str, Detail("acte choisi")] = ""
    who: Annotated[str, Detail("personne choisie")] = ""
    format: str = ""
    entries: Annotated[int, Detail("lignes")] = 0
    sha256: str = ""


class RectificationAsked(Event):
    """A data protection officer asked the schools `uais` to correct a person's data; `note` says what."""

    row = Kind(
        "account.rectification_asked",
        "correction de données demandée à l’établissement",
        Group.ACCOUNTS,
        family="Correction demandée",
        own=_l("%(who)s a demandé de corriger vos données %(when)s."),
    )
    note: Annotated[str, Detail("demande")]
    uais: list[str]


class AccountExported(Event):
    """An operator wrote all data about a person into a file, for that person."""

    row = Kind(
        "account.exported",
        "données remises à la personne dans un fichier",
        Group.ACCOUNTS,
        own=_l("%(who)s a préparé une copie de vos données %(when)s."),
    )


class AccountErased(Event):
    """An operator erased an account; `kept` names the data that stay."""

    row = Kind("account.erased", "compte effacé", Group.ACCOUNTS)
    reason: str
    kept: list[str]


class AccountRenamed(Event):
    """An operator confirmed that the person's names have changed; `changed` names the fields, without their values."""

    row = Kind(
        "account.renamed",
        "nom changé par l’équipe du service",
        Group.ACCOUNTS,
        family="Nom corrigé",
        own=_l("%(who)s a changé votre nom %(when)s."),
    )
    changed: list[str]
    reason: str


class AccessClosed(Event):
    """A school or the académie closed an account, or its tie to one child.

    `until` is empty without an end. `reference` names the document behind the decision. `uai` is empty for the
    académie. `sessions` is how many sessions ended. `former` are the keys of the decisions of the same school about the
    same access that held until then.
    """

    row = Kind(
        "account.closed",
        "accès suspendu",
        Group.ACCOUNTS,
        is_open=True,
        family={"": "Accès suspendu", CHILD: "Lien avec un élève suspendu"},
        own={
            "": _l("%(who)s a suspendu votre accès %(when)s."),
            NAMED_CHILD: _l("%(who)s a suspendu votre accès pour %(child)s %(when)s."),
            CHILD: _l("%(who)s a suspendu votre accès pour un élève %(when)s."),
        },
    )
    closing: str
    child: str = ""
    until: str = ""
    reason: str
    reference: str = ""
    uai: str = ""
    sessions: int = 0
    former: list[str] = field(default_factory=list)


class AccessReopened(Event):
    """A closing was ended before its time; `uai` is the school that had decided."""

    row = Kind(
        "account.reopened",
        "accès rouvert",
        Group.ACCOUNTS,
        is_open=True,
        family={"": "Accès rouvert", CHILD: "Lien avec un élève rouvert"},
        own={
            "": _l("%(who)s a rouvert votre accès %(when)s."),
            NAMED_CHILD: _l("%(who)s a rouvert votre accès pour %(child)s %(when)s."),
            CHILD: _l("%(who)s a rouvert votre accès pour un élève %(when)s."),
        },
    )
    closing: str
    child: str = ""
    reason: str
    uai: str = ""


class GuardianWaits(Event):
    """An import gave a pupil a new guardian, whose tie is closed until the head of the school has decided.

    `wait` is `new_guardian` if another person's access to the pupil is closed, `recognised` if the names are those
    of a closed person, or `excluded` if the school had confirmed that the person is not the pupil's guardian.
    """

    row = Kind(
        "guardianship.waits",
        "nouveau responsable : attend la direction",
        Group.NOTICES,
        is_open=True,
        family="Nouveau responsable : attend la direction",
    )
    closing: str
    child: str
    wait: str
    uai: str


class GuardianAdmitted(Event):
    """A new guardian who waited for the head of the school got access to the pupil."""

    row = Kind(
        "guardianship.admitted",
        "nouveau responsable : accès à l’élève accordé par la direction",
        Group.NOTICES,
        is_open=True,
        family="Nouveau responsable : la direction donne accès à l’élève",
    )
    closing: str
    child: str
    reason: str
    uai: str


class PurgeCompleted(Event):
    """`idp purge` removed all that had expired; `removed` is the number of rows by the names in its `--json`."""

    row = Kind(
        "purge.completed", "suppression quotidienne de ce qui a expiré", Group.SERVICE, by_staff=False, technical=True
    )
    removed: dict[str, int]
