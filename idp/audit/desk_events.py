"""The events of the school desk. Each entry also has the person of the desk, the role and the school (`log.Desk`)."""

from typing import Annotated

from idp.audit.kinds import Detail, Event, Group, Kind


class StaffInvited(Event):
    """A person was invited to the desk, or to enrol again after a loss (`reset`)."""

    row = Kind("staff.invited", "invitation au bureau", Group.STAFF, technical=True)
    staff: str
    reset: Annotated[bool, Detail("après une perte")] = False


class StaffEnrolled(Event):
    """A person enrolled with the link of an invitation; `authenticator` is what was enrolled."""

    row = Kind("staff.enrolled", "inscription au bureau", Group.STAFF, technical=True)
    staff: str
    authenticator: str


class StaffRoleGranted(Event):
    """A role was granted or `prolonged` until the day `until`; `uai` is its school, if it has one."""

    row = Kind("staff.role_granted", "rôle au bureau donné", Group.STAFF, technical=True, of_ent=True)
    staff: str
    role: str
    uai: str
    until: str
    prolonged: Annotated[bool, Detail("prolongé")]


class StaffRoleEnded(Event):
    """A role was ended; `uai` is its school, if it has one."""

    row = Kind("staff.role_ended", "rôle au bureau terminé", Group.STAFF, technical=True, of_ent=True)
    staff: str
    role: str
    uai: str


class StaffDisabled(Event):
    """A person left the desk: sessions, roles and invitations ended."""

    row = Kind("staff.disabled", "accès au bureau terminé", Group.STAFF, technical=True)
    staff: str


class StaffSignedIn(Event):
    """A person signed in at the desk."""

    row = Kind("staff.sign_in", "connexion au bureau", Group.STAFF, technical=True)
    staff: str
    authenticator: str
    device: str = ""


class StaffSignInFailed(Event):
    """A sign-in at the desk was refused; `reason` is `passkey`, `code`, `academy` or `no_role`."""

    row = StaffSignedIn.row
    result = "refused"
    reason: str
    mailbox_digest: Annotated[str, Detail(en="a keyed digest of the typed email of a person of the desk")] = ""


class StaffSignedOut(Event):
    """Sessions of the desk ended; `count` is their number.

    `by` is `person`, `other` (one of them ended another) or the act that ended them.
    """

    row = Kind("staff.sign_out", "déconnexion du bureau", Group.STAFF, technical=True)
    staff: str
    count: int
    by: str


class StaffProved(Event):
    """A person proved again who they are, before an act that asks for it."""

    row = Kind("staff.proved", "identité prouvée à nouveau au bureau", Group.STAFF, technical=True)
    staff: str
    authenticator: str


class StaffProofFailed(Event):
    """A person did not prove again who they are; `authenticator` is what was tried: `passkey`, `code` or `academy`."""

    row = StaffProved.row
    result = "refused"
    staff: str
    authenticator: str


class StaffCredentialChanged(Event):
    """A person added, removed or renewed a credential; `credential` is its kind, `change` is `added` or `removed`."""

    row = Kind("staff.credential", "moyen de connexion au bureau changé", Group.STAFF, technical=True)
    staff: str
    credential: str
    change: str


class StaffReasonGiven(Event):
    """A person of the académie gave the reason for reading families' data."""

    row = Kind("desk.reason", "motif de consultation donné", Group.DESK)
    reason: str


class DeskRefused(Event):
    """A page of the desk was refused: the role has no right to `page`, or `subject` is outside its scope or missing.

    It is number `count` of the person within the hour. After 60, only those whose number is a power of two are entries.
    """

    row = Kind("desk.refused", "page du bureau refusée", Group.DESK)
    result = "refused"
    page: str
    subject: str = ""
    count: int = 1


class FamiliesSearched(Event):
    """Families were searched or listed; `hits` is the number of rows shown.

    `terms_digest` is a keyed digest of the folded terms, or of the name of the list.
    """

    row = Kind("desk.searched", "recherche de familles", Group.DESK)
    terms_digest: str
    hits: Annotated[int, Detail("résultats")]


class PupilRead(Event):
    """The page of a pupil was read."""

    row = Kind("desk.pupil_read", "page d’un élève consultée", Group.DESK)
    child: str


class IdentityChecked(Event):
    """A person of the desk checked who stands at the counter, before a letter for an account that has been active.

    The three points: the person came in person, showed an identity document, and is the guardian of the children.
    """

    row = Kind(
        "desk.identity_checked", "identité vérifiée par l’établissement avant un nouveau courrier", Group.LETTERS
    )
    reason: str


class ClassListed(Event):
    """The names of people of a class were listed, `count` rows: to activate, to remind, or to print letters for.

    `class_name` is their class; empty for the whole school.
    """

    row = Kind("desk.class_listed", "liste d’une classe faite", Group.DESK)
    class_name: Annotated[str, Detail("classe")]
    count: int


class JobAsked(Event):
    """A person asked for a job; `work` is its kind."""

    row = Kind("desk.job_asked", "travail demandé", Group.DESK)
    job: str
    work: str


class FileDifferenceRead(Event):
    """A person read by name, on a page or in a file, what an import would change; `job` is the check of the files."""

    row = Kind("desk.file_difference_read", "différence d’un fichier lue, par noms", Group.DESK)
    job: str


class ImportProblemsRead(Event):
    """A person read by name, on a page or in a file, the problems of a former import; `batch` is that import."""

    row = Kind("desk.import_problems_read", "problèmes d’un import lus, par noms", Group.DESK)
    batch: str


class FilesDeclined(Event):
    """The direction did not import files that waited for it; `job` is their check."""

    row = Kind("desk.files_declined", "fichiers non importés, par décision de la direction", Group.DESK)
    job: str
    reason: str


class JobCancelled(Event):
    """A person cancelled a job; one that ran stops at its next step."""

    row = Kind("desk.job_cancelled", "travail annulé", Group.DESK)
    job: str
    work: str


class JobFinished(Event):
    """A job is over; `outcome` is `done`, `failed` or `cancelled`."""

    row = Kind("desk.job_finished", "travail fini", Group.DESK)
    job: str
    work: str
    outcome: str


class JobFileTaken(Event):
    """A person took the file that a job had made for them, which is handed out once; `file` is its name."""

    row = Kind("desk.file_taken", "fichier d’un travail pris", Group.DESK)
    job: str
    work: str
    file: Annotated[str, Detail("fichier")]


class AlertRaised(Event):
    """Heads and engineers were told by mail of `count` unusual acts on the day `day`.

    `alert` is `many_accounts` (opened within an hour by the person `staff`), `many_letters` (by the school `uai`, for
    accounts that have been active), `many_closed` (accesses that the person closed by a decision, a call or an
    import) or `own_name` (the person opened an account of the own family name).
    """

    row = Kind("desk.alert", "alerte envoyée", Group.DESK, by_staff=False, technical=True)
    alert: str
    day: Annotated[str, Detail("jour")]
    count: int
    staff: str = ""
    uai: str = ""


class FiguresExported(Event):
    """The figures of the activation were exported as a file; `table` is the table."""

    row = Kind("desk.figures_exported", "chiffres de l’activation exportés", Group.DESK, technical=True)
    table: str


class PasswordsForced(Event):
    """The families of the school `uai` must choose new passwords; `count` is the number.

    The desk records the whole school at once, the command each of its batches.
    """

    row = Kind(
        "desk.passwords_forced",
        "nouveaux mots de passe demandés à toutes les familles d’un établissement",
        Group.DESK,
        technical=True,
    )
    uai: str
    count: int


class NoticesListed(Event):
    """A person of the desk read the list of notices; `count` is how many it named, open or settled."""

    row = Kind("desk.notices_listed", "liste des signalements lue", Group.DESK)
    count: int
