"""How long each kind of data about people is kept, in French. Every table with data about people is in a row.

The texts take their numbers from the settings and from the constants of the purge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from flask_babel import gettext, ngettext

from idp.config import Settings
from idp.desk import kept_forms, purge
from idp.desk.jobs import files
from idp.operations.purge.commands import ENDED_KEPT, SENT_KEPT
from idp.operations.purge.unused_accounts import DISABLED_KEPT, LONGEST_AFTER_DEPARTURE
from idp.throttle import limits


@dataclass(frozen=True)
class Row:
    """A row of the page: what is kept, until when, and the tables that hold it."""

    what: str
    how_long: str
    tables: Sequence[str]


WITHOUT_PEOPLE = frozenset(
    {
        "audit_beginning", "audit_seal", "charter_version", "client", "client_invite", "client_school", "desk_figures",
        "kept_password", "noted_settings", "pushed_request", "school", "sector", "signing_key", "spent_challenge",
        "spent_proof",
    }
)  # fmt: skip
"""The tables that hold no data about people; the `info` of each table says what it holds."""


def rows(settings: Settings) -> list[Row]:
    """Return how long each kind of data is kept: families first, then the desk, then the service."""
    return [
        *_of_accounts(settings),
        *_of_pupils(),
        *_of_use(settings),
        *_of_the_desk(settings),
        *_of_the_service(settings),
    ]


def _days(span: timedelta | int) -> str:
    return str(ngettext("%(num)s jour", "%(num)s jours", span if isinstance(span, int) else span.days))


def _of_accounts(settings: Settings) -> list[Row]:
    removed = settings.inactive_days + settings.inactive_warning_days
    return [
        Row(
            gettext("Compte d’un responsable"),
            gettext(
                "Tant qu’un enfant est scolarisé. Sans connexion : un mail après %(warned)s, effacé après %(removed)s. "
                "Fermé : effacé après %(closed)s ; réuni avec un autre : avec lui. Un compte suspendu, ou avec un "
                "signalement ouvert, reste jusque-là.",
                warned=_days(settings.inactive_days),
                removed=_days(removed),
                closed=_days(DISABLED_KEPT),
            ),
            ("account", "account_merge", "removal_warning"),
        ),
        Row(
            gettext("Mot de passe d’un courrier"),
            gettext("%(days)s.", days=_days(settings.provisional_days)),
            ("account",),
        ),
        Row(
            gettext("Anciennes adresses mail, chartes acceptées, autres clés dans les fichiers"),
            gettext("Aussi longtemps que le compte."),
            ("charter_acceptance", "former_mailbox", "roster_alias"),
        ),
    ]


def _of_pupils() -> list[Row]:
    return [
        Row(
            gettext("Fiche d’un élève"),
            gettext("%(days)s après son départ.", days=_days(DISABLED_KEPT)),
            ("child",),
        ),
        Row(
            gettext("Lien entre un responsable et un élève"),
            gettext(
                "%(days)s après sa fin. Un lien contesté, suspendu ou écarté par l’établissement reste jusqu’à la "
                "décision, ou aussi longtemps que le fichier le nomme.",
                days=_days(DISABLED_KEPT),
            ),
            ("guardianship",),
        ),
        Row(
            gettext("Suspensions d’un accès"),
            gettext(
                "Aussi longtemps que le compte. Si le compte est effacé avant la fin d’une suspension, elle reste avec "
                "la fiche de l’élève, sans rien de la personne."
            ),
            ("closing",),
        ),
        Row(
            gettext("Fiche d’un élève parti, si un accès à cet élève est suspendu"),
            gettext(
                "Jusqu’à la fin de la suspension, et au plus %(days)s après le départ : l’élève peut revenir. Ce "
                "maximum de cinq ans, la plus longue scolarité dans un établissement, est à confirmer par le délégué à "
                "la protection des données.",
                days=_days(LONGEST_AFTER_DEPARTURE),
            ),
            ("child",),
        ),
    ]


def _of_use(settings: Settings) -> list[Row]:
    return [
        Row(
            gettext("Connexions, entrées dans les ENT et accès donnés"),
            gettext("%(days)s après leur fin.", days=_days(ENDED_KEPT)),
            ("authorization_code", "session", "token"),
        ),
        Row(
            gettext("Appareils qui restent connectés"),
            gettext("%(days)s après leur fin.", days=_days(ENDED_KEPT)),
            ("device_session",),
        ),
        Row(
            gettext("Clés d’accès, avec leur nom et leur dernière utilisation"),
            gettext("Jusqu’à ce que la personne les retire, ou aussi longtemps que le compte."),
            ("passkey", "passkey_user"),
        ),
        Row(
            gettext("Liens envoyés par mail"),
            gettext("%(days)s après leur fin.", days=_days(ENDED_KEPT)),
            ("one_time_link",),
        ),
        Row(
            gettext("Signalements à un établissement"),
            gettext("%(days)s après leur règlement.", days=_days(settings.audit_days)),
            ("school_notice",),
        ),
        Row(
            gettext("Imports de fichiers et leurs remarques"),
            gettext("%(days)s ; les noms, %(names)s.", days=_days(settings.audit_days), names=_days(DISABLED_KEPT)),
            ("import_batch", "import_issue"),
        ),
    ]


def _of_the_desk(settings: Settings) -> list[Row]:
    return [
        Row(
            gettext("Personnes du bureau, avec leurs rôles et leurs moyens de connexion"),
            gettext("%(days)s après la fin de leur dernier rôle.", days=_days(settings.audit_days)),
            ("staff_account", "staff_credential", "staff_role"),
        ),
        Row(
            gettext("Connexions et invitations au bureau"),
            gettext("%(days)s après leur fin.", days=_days(purge.KEPT)),
            ("staff_ceremony", "staff_invitation", "staff_session"),
        ),
        Row(
            gettext("Travaux du bureau : impressions, rappels, imports"),
            gettext("%(days)s après leur fin.", days=_days(purge.JOBS_KEPT)),
            ("desk_job",),
        ),
        Row(
            gettext("Fichiers des travaux, chiffrés"),
            gettext(
                "À prendre : %(minutes)s minutes. Déposés : %(hours)s heures. Leur contenu est effacé ensuite.",
                minutes=int(files.LIFETIME.total_seconds()) // 60,
                hours=int(files.UPLOAD_LIFETIME.total_seconds()) // 3600,
            ),
            ("desk_job_file",),
        ),
        Row(
            gettext("Pages du bureau remplies, pendant une nouvelle preuve ou une connexion"),
            gettext(
                "%(n)s minutes, chiffrées, pour la seule personne qui les a remplies. Effacées dès qu’elle les "
                "retrouve, sinon dans la journée.",
                n=int(kept_forms.LIFETIME.total_seconds()) // 60,
            ),
            ("desk_kept_form",),
        ),
    ]


def _of_the_service(settings: Settings) -> list[Row]:
    return [
        Row(gettext("Journal, actes"), gettext("%(days)s.", days=_days(settings.audit_days)), ("audit",)),
        Row(
            gettext("Journal, refus et échecs"),
            gettext("%(days)s.", days=_days(settings.audit_failure_days)),
            ("audit",),
        ),
        Row(gettext("Mails envoyés (sans leur texte)"), gettext("%(days)s.", days=_days(SENT_KEPT)), ("outbox",)),
        Row(
            gettext("Compteurs d’essais, sous des empreintes qui ne nomment personne"),
            gettext("%(days)s au plus.", days=_days(limits.longest())),
            ("throttle",),
        ),
        Row(
            gettext("Empreintes des identifiants effacés, pour ne pas les donner à une autre personne"),
            gettext("Sans fin : beaucoup de noms ont la même empreinte, elles ne désignent personne."),
            ("retired_name",),
        ),
    ]
