"""What `idp purge` removes of the desk, and how long each kind of data about people is kept, in French.

Every table with data about people is in a row. The texts take their numbers from the settings and the purges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import gettext, ngettext
from sqlalchemy import and_, or_, select

from idp.charter.models import CharterVersion
from idp.clients.models import Client
from idp.config import Settings
from idp.desk import kept_forms
from idp.desk.jobs import files, lifecycle
from idp.desk.jobs.models import Job, JobFile
from idp.desk.staff.models import (
    StaffAccount,
    StaffCeremony,
    StaffCredential,
    StaffInvitation,
    StaffRole,
    StaffSession,
)
from idp.desk.statistics.models import StoredFigures
from idp.operations.batches import delete_all
from idp.operations.purge.commands import ENDED_KEPT, SENT_KEPT
from idp.operations.purge.unused_accounts import DISABLED_KEPT, YEARS_AFTER_DEPARTURE
from idp.throttle import limits
from idp.web.i18n import in_words

KEPT = timedelta(days=7)  # how long sessions, ceremonies and invitations are kept after their end
JOBS_KEPT = timedelta(days=60)  # how long the lists of prints and imports show a job
FIGURES_KEPT = timedelta(days=7)  # how long the figures of the last count are shown if the worker stands still


def purge(settings: Settings, moment: datetime) -> dict[str, int]:
    """Delete old rows; return their numbers. Jobs that nobody will do are ended.

    Refused ENTs, and people after the end of their last role, stay as long as the journal names them.
    """
    lifecycle.end_abandoned(settings)
    over = moment - KEPT
    ended = or_(StaffSession.expires_at <= over, StaffSession.ended_at <= over)
    old_jobs = select(Job.id).where(Job.finished_at <= moment - JOBS_KEPT)
    delete_all(JobFile, JobFile.job_id.in_(old_jobs), order_by=JobFile.id)
    done = {
        "kept_forms": delete_all(
            kept_forms.KeptForm, kept_forms.KeptForm.expires_at <= moment, order_by=kept_forms.KeptForm.expires_at
        ),
        "staff_sessions": delete_all(StaffSession, ended, order_by=StaffSession.id),
        "staff_links": delete_all(StaffCeremony, StaffCeremony.expires_at <= over, order_by=StaffCeremony.id)
        + delete_all(StaffInvitation, StaffInvitation.expires_at <= over, order_by=StaffInvitation.id),
        "desk_jobs": delete_all(Job, Job.finished_at <= moment - JOBS_KEPT, order_by=Job.id),
        "desk_figures": delete_all(
            StoredFigures, StoredFigures.counted_at <= moment - FIGURES_KEPT, order_by=StoredFigures.scope
        ),
    }
    before = moment - timedelta(days=settings.audit_days)
    return {**done, "ents_refused": _refused_ents(before), "staff_removed": _people(before)}


def _refused_ents(before: datetime) -> int:
    """Remove the ENTs that the académie refused before an instant, with their charters and the roles that ended then.

    Nobody ever entered them: no account has anything of them.
    """
    refused = Client.declined_at <= before
    keys = select(Client.id).where(refused)
    delete_all(CharterVersion, CharterVersion.client_id.in_(keys), order_by=CharterVersion.id)
    acting = select(StaffSession.id).where(StaffSession.role_id == StaffRole.id).exists()
    delete_all(StaffRole, StaffRole.client_id.in_(keys), ~acting, order_by=StaffRole.id)
    held = select(StaffRole.id).where(StaffRole.client_id == Client.id).exists()
    return delete_all(Client, refused, ~held, order_by=Client.id)


def _people(before: datetime) -> int:
    """Remove the people who left, or whose last role ended, before an instant, with their roles and credentials."""
    in_force = (StaffRole.valid_until > before) & or_(StaffRole.ended_at.is_(None), StaffRole.ended_at > before)
    has_role = select(StaffRole.id).where(StaffRole.staff_id == StaffAccount.id, in_force).exists()
    left = or_(StaffAccount.disabled_at <= before, and_(StaffAccount.created_at <= before, ~has_role))
    unused = ~select(StaffSession.id).where(StaffSession.staff_id == StaffAccount.id).exists()
    idle = ~select(Job.id).where(Job.staff_id == StaffAccount.id).exists()
    gone = and_(left, unused, idle)
    keys = select(StaffAccount.id).where(gone)
    for table in (StaffCredential, StaffInvitation, StaffCeremony, StaffRole):
        delete_all(table, table.staff_id.in_(keys), order_by=table.id)
    return delete_all(StaffAccount, gone, order_by=StaffAccount.id)


@dataclass(frozen=True)
class Row:
    """A row of the page: what is kept, until when, and the tables that hold it."""

    what: str
    how_long: str
    tables: Sequence[str]


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
                "Jusqu’à la fin de la suspension, et au plus %(years)s ans après le départ : l’élève peut revenir. Ce "
                "maximum, la plus longue scolarité dans un établissement, est à confirmer par le délégué à la "
                "protection des données.",
                years=YEARS_AFTER_DEPARTURE,
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
            gettext("%(days)s après leur fin.", days=_days(KEPT)),
            ("staff_ceremony", "staff_invitation", "staff_session"),
        ),
        Row(
            gettext("Travaux du bureau : impressions, rappels, imports"),
            gettext("%(days)s après leur fin.", days=_days(JOBS_KEPT)),
            ("desk_job",),
        ),
        Row(
            gettext("Fichiers des travaux, chiffrés"),
            gettext(
                "À prendre : %(taken)s. Déposés : %(given)s. Leur contenu est effacé ensuite.",
                taken=in_words(files.LIFETIME),
                given=in_words(files.UPLOAD_LIFETIME),
            ),
            ("desk_job_file",),
        ),
        Row(
            gettext("Pages du bureau remplies, pendant une nouvelle preuve ou une connexion"),
            gettext(
                "%(time)s, chiffrées, pour la seule personne qui les a remplies. Effacées dès qu’elle les "
                "retrouve, sinon dans la journée.",
                time=in_words(kept_forms.LIFETIME),
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
