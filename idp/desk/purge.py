"""What `idp purge` removes of the desk.

Kept forms, old sessions, links, jobs with their files, figures, refused ENTs, people who left.
"""

from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select

from idp.charter.models import CharterVersion
from idp.clients.models import Client
from idp.config import Settings
from idp.desk.jobs import running
from idp.desk.jobs.models import Job, JobFile
from idp.desk.kept_forms import KeptForm
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

KEPT = timedelta(days=7)
"""How long sessions, ceremonies and invitations are kept after their end."""
JOBS_KEPT = timedelta(days=60)
"""How long the lists of prints and imports show a job."""
FIGURES_KEPT = timedelta(days=7)
"""How long the figures of the last count are shown if the worker stands still."""


def purge(settings: Settings, moment: datetime) -> dict[str, int]:
    """Delete old rows; return their numbers. Jobs that nobody will do are ended.

    Refused ENTs, and people after the end of their last role, stay as long as the journal names them.
    """
    running.end_abandoned(settings)
    over = moment - KEPT
    ended = or_(StaffSession.expires_at <= over, StaffSession.ended_at <= over)
    old_jobs = select(Job.id).where(Job.finished_at <= moment - JOBS_KEPT)
    delete_all(JobFile, JobFile.job_id.in_(old_jobs), order_by=JobFile.id)
    done = {
        "kept_forms": delete_all(KeptForm, KeptForm.expires_at <= moment, order_by=KeptForm.expires_at),
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
