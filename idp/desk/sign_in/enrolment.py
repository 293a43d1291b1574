"""Enrolment by an invitation: the link is used once. Its use ends the credentials from before a loss."""

import uuid

from idp.audit import log
from idp.audit.desk_events import StaffEnrolled
from idp.clock import now
from idp.desk.staff import codes, sessions
from idp.desk.staff.models import Authenticator, StaffAccount
from idp.desk.team import invitations


class UsedError(Exception):
    """Another request used the invitation first, or it does not work any more."""


def redeem(token: str, staff_id: uuid.UUID) -> StaffAccount:
    """Use an invitation in the caller's transaction; return its person, whose row is locked.

    Raises:
        UsedError: the invitation does not work.
    """
    owner = invitations.get_for_change(staff_id)
    invitation = invitations.redeem(token)
    if invitation is None or owner is None or owner.disabled_at is not None or invitation.staff_id != owner.id:
        raise UsedError
    if owner.enrolled_at is not None and not invitation.is_reset:
        raise UsedError
    invitations.forget_credentials(owner)
    sessions.end_all(owner.id, by="reset")
    return owner


def finish(owner: StaffAccount, authenticator: Authenticator) -> list[str]:
    """Note the enrolment in the caller's transaction; return the recovery codes of a password, to be shown once."""
    owner.enrolled_at = owner.enrolled_at or now()
    log.record(StaffEnrolled(staff=str(owner.id), authenticator=authenticator.value))
    return codes.draw_recovery_codes(owner.id) if authenticator is Authenticator.CODE else []
