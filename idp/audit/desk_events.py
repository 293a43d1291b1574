"""The events of the school desk. Each entry also has the person of the desk, the role and the school (`log.Desk`)."""

from dataclasses import dataclass

from idp.audit.events import Event


@dataclass(frozen=True, kw_only=True)
class StaffInvited(Event):
    """A person was invited to the desk, or to enrol again after a loss (`reset`)."""

    kind = "staff.invited"
    staff: str
    reset: bool = False


@dataclass(frozen=True, kw_only=True)
class StaffEnrolled(Event):
    """A person enrolled with the link of an invitation; `authenticator` is what was enrolled."""

    kind = "staff.enrolled"
    staff: str
    authenticator: str


@dataclass(frozen=True, kw_only=True)
class StaffRoleGranted(Event):
    """A role was granted or `prolonged` until the day `until`; `uai` is its school, if it has one."""

    kind = "staff.role_granted"
    staff: str
    role: str
    uai: str
    until: str
    prolonged: bool


@dataclass(frozen=True, kw_only=True)
class StaffRoleEnded(Event):
    """A role was ended; `uai` is its school, if it has one."""

    kind = "staff.role_ended"
    staff: str
    role: str
    uai: str


@dataclass(frozen=True, kw_only=True)
class StaffDisabled(Event):
    """A person left the desk: sessions, roles and invitations ended."""

    kind = "staff.disabled"
    staff: str


@dataclass(frozen=True, kw_only=True)
class StaffSignedIn(Event):
    """A person signed in at the desk."""

    kind = "staff.sign_in"
    staff: str
    authenticator: str
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class StaffSignInFailed(Event):
    """A sign-in at the desk was refused.

    `reason` is `passkey`, `code`, `academy` or `no_role`; `mailbox_digest` is a keyed digest of the typed mail address.
    """

    kind = "staff.sign_in"
    result = "refused"
    reason: str
    mailbox_digest: str = ""


@dataclass(frozen=True, kw_only=True)
class StaffSignedOut(Event):
    """Sessions of the desk ended; `count` is their number.

    `by` is `person`, `other` (one of them ended another) or the act that ended them.
    """

    kind = "staff.sign_out"
    staff: str
    count: int
    by: str


@dataclass(frozen=True, kw_only=True)
class StaffProved(Event):
    """A person proved again who they are, before an act that asks for it."""

    kind = "staff.proved"
    staff: str
    authenticator: str


@dataclass(frozen=True, kw_only=True)
class StaffProofFailed(Event):
    """A person did not prove again who they are; `authenticator` is what was tried: `passkey`, `code` or `academy`."""

    kind = "staff.proved"
    result = "refused"
    staff: str
    authenticator: str


@dataclass(frozen=True, kw_only=True)
class StaffCredentialChanged(Event):
    """A person added, removed or renewed a credential; `credential` is its kind, `change` is `added` or `removed`."""

    kind = "staff.credential"
    staff: str
    credential: str
    change: str


@dataclass(frozen=True, kw_only=True)
class StaffReasonGiven(Event):
    """A person of the académie gave the reason for reading families' data."""

    kind = "desk.reason"
    reason: str


@dataclass(frozen=True, kw_only=True)
class DeskRefused(Event):
    """A page of the desk was refused: the role has no right to `page`, or `subject` is outside its scope or missing.

    It is number `count` of the person within the hour. After 60, only those whose number is a power of two are entries.
    """

    kind = "desk.refused"
    result = "refused"
    page: str
    subject: str = ""
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class FamiliesSearched(Event):
    """Families were searched or listed; `hits` is the number of rows shown.

    `terms_digest` is a keyed digest of the folded terms, or of the name of the list.
    """

    kind = "desk.searched"
    terms_digest: str
    hits: int


@dataclass(frozen=True, kw_only=True)
class PupilRead(Event):
    """The page of a pupil was read; `child` is the pupil's key."""

    kind = "desk.pupil_read"
    child: str


@dataclass(frozen=True, kw_only=True)
class IdentityChecked(Event):
    """A person of the desk checked who stands at the counter, before a letter for an account that has been active.

    The three points: the person came in person, showed an identity document, and is the guardian of the children.
    """

    kind = "desk.identity_checked"
    reason: str


@dataclass(frozen=True, kw_only=True)
class ClassListed(Event):
    """The names of people of a class were listed, `count` rows: to activate, to remind, or to print letters for.

    `class_name` is their class; empty for the whole school.
    """

    kind = "desk.class_listed"
    class_name: str
    count: int


@dataclass(frozen=True, kw_only=True)
class JobAsked(Event):
    """A person asked for a job; `work` is its kind."""

    kind = "desk.job_asked"
    job: str
    work: str


@dataclass(frozen=True, kw_only=True)
class FileDifferenceRead(Event):
    """A person read by name, on a page or in a file, what an import would change; `job` is the check of the files."""

    kind = "desk.file_difference_read"
    job: str


@dataclass(frozen=True, kw_only=True)
class ImportProblemsRead(Event):
    """A person read by name, on a page or in a file, the problems of a former import; `batch` is that import."""

    kind = "desk.import_problems_read"
    batch: str


@dataclass(frozen=True, kw_only=True)
class FilesDeclined(Event):
    """The direction did not import files that waited for it; `job` is their check."""

    kind = "desk.files_declined"
    job: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class JobCancelled(Event):
    """A person cancelled a job; one that ran stops at its next step."""

    kind = "desk.job_cancelled"
    job: str
    work: str


@dataclass(frozen=True, kw_only=True)
class JobFinished(Event):
    """A job is over; `outcome` is `done`, `failed` or `cancelled`."""

    kind = "desk.job_finished"
    job: str
    work: str
    outcome: str


@dataclass(frozen=True, kw_only=True)
class JobFileTaken(Event):
    """A person took the file that a job had made for them, which is handed out once; `file` is its name."""

    kind = "desk.file_taken"
    job: str
    work: str
    file: str


@dataclass(frozen=True, kw_only=True)
class AlertRaised(Event):
    """Heads and engineers were told by mail of `count` unusual acts on the day `day`.

    `alert` is `many_accounts` (opened within an hour by the person `staff`), `many_letters` (by the school `uai`, for
    accounts that have been active), `many_closed` (accesses that the person suspended, or closed after a call or by an
    import) or `own_name` (the person opened an account of the own family name).
    """

    kind = "desk.alert"
    alert: str
    day: str
    count: int
    staff: str = ""
    uai: str = ""


@dataclass(frozen=True, kw_only=True)
class FiguresExported(Event):
    """The figures of the activation were exported as a file; `table` is the table."""

    kind = "desk.figures_exported"
    table: str


@dataclass(frozen=True, kw_only=True)
class PasswordsForced(Event):
    """The families of the school `uai` must choose new passwords; `count` is the number.

    The desk records the whole school at once, the command each of its batches.
    """

    kind = "desk.passwords_forced"
    uai: str
    count: int


@dataclass(frozen=True, kw_only=True)
class NoticesListed(Event):
    """A person of the desk read the list of notices; `count` is how many it named, open or settled."""

    kind = "desk.notices_listed"
    count: int
