"""The kinds of jobs: one table, and what the function of a kind gets and returns.

Every server imports this module, and few of them print letters or import files: what does the work is named by its
module, which is imported when it is called.
"""

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from time import monotonic
from typing import Any, NamedTuple

from flask import url_for
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString
from sqlalchemy import ColumnElement, select, true, update

from idp.audit import log
from idp.audit.desk_events import JobFinished
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.access import Right
from idp.desk.jobs import files
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.staff import posts
from idp.desk.staff.models import StaffAccount, StaffRole
from idp.metrics.catalogue import JOB

_TICK_SECONDS = 1.0


class RefusedError(Exception):
    """The job cannot be done, or only a part of it was done, which remains. `code` is `Job.refusal`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class BusyError(Exception):
    """The job has to wait for another one, such as another import."""


class StoppedError(Exception):
    """The person cancelled the job or lost the role, or another worker has it."""

    def __init__(self, state: State, code: str = "") -> None:
        super().__init__(code)
        self.state = state
        self.code = code


@dataclass(frozen=True)
class Finished:
    """The result of a job, without a name; if it is empty, what the job kept while it ran.

    `for_pages` are files for the pages of its slice. `frees` is a former job whose uploads and files go with the end of
    this one. Files that are handed out are given to `Running.finish`.
    """

    result: Mapping[str, Any] = field(default_factory=dict)
    for_pages: Sequence[files.NewFile] = ()
    frees: uuid.UUID | None = None


class Running:
    """A job that is being done.

    `result` is what an earlier run kept before it was killed (`begin_writing`, `keep`). `is_final` says that the job
    has begun to write, so that it goes to its end. `lease_lost` is set when another worker has the job.
    """

    def __init__(self, job: Job, settings: Settings, lease_lost: threading.Event) -> None:
        self.id = job.id
        self.staff_id = job.staff_id
        self.school_id = job.school_id
        self.parameters = dict(job.parameters)
        self.result = dict(job.result)
        self.is_final = job.is_final
        self.settings = settings
        self.lease_lost = lease_lost
        self._role_id = job.role_id
        self._next_look = 0.0

    def tick(self, done: int, total: int = 0) -> None:
        """Store the progress, at most once a second. Call it between two transactions.

        Raises:
            Exception: the job has to stop here: it was cancelled, the role of its person ended, or another worker has
                it. The caller lets the exception pass.
        """
        if monotonic() < self._next_look:
            return
        self._next_look = monotonic() + _TICK_SECONDS
        self.check()
        self._store(done=done, total=max(done, total))

    def progress(self, done: int, total: int = 0) -> None:
        """Store the progress of a step that has to be finished, at most once a second: it is not cancelled."""
        if monotonic() >= self._next_look:
            self._next_look = monotonic() + _TICK_SECONDS
            self._store(done=done, total=max(done, total))

    def begin_writing(self, result: Mapping[str, Any]) -> None:
        """Mark that the job writes from now on, and store what the next run has to know if this one is killed.

        From here on nobody can cancel the job, and it goes to its end without its person too. A killed run may have
        marked it already: then nothing changes.

        Raises:
            Exception: see `tick`; nothing may be written.
        """
        if self.is_final:
            return
        self.check()
        with unit_of_work():
            marked = db.session.scalar(
                update(Job)
                .where(Job.id == self.id, Job.state == State.RUNNING, Job.cancel_asked_at.is_(None))
                .values(is_final=True, result=dict(result))
                .returning(Job.id)
                .execution_options(synchronize_session=False)
            )
        if marked is None:
            self.check()
            raise StoppedError(State.RUNNING)  # another worker has stored the end
        self.is_final, self.result = True, dict(result)

    def keep(self, result: Mapping[str, Any]) -> None:
        """Store what was done until now, in the transaction of the caller, who did it."""
        _store(self.id, result=dict(result))

    def _store(self, **values: Any) -> None:
        with unit_of_work():
            _store(self.id, **values)

    def finish(self, result: Mapping[str, Any], *made: files.NewFile) -> None:
        """Store the end of the job and the files that it made, in the caller's transaction.

        A job whose files and whose other writes belong together ends so: after a kill it either has to be done again,
        or is over. What `run` returns afterwards is ignored. A job that was cancelled has no end of this kind.

        Raises:
            Exception: see `tick`; the caller's transaction is rolled back.
        """
        if not store_end(
            self.id, State.DONE, Finished(result), settings=self.settings, only_if=Job.cancel_asked_at.is_(None)
        ):
            self.check()
            raise StoppedError(State.RUNNING)  # another worker has stored the end
        for file in made:
            files.store(self.settings, self.id, file)

    def check(self) -> None:
        """Check that the job may continue; see `tick`."""
        if self.lease_lost.is_set():
            raise StoppedError(State.RUNNING)
        of_enabled = StaffRole.staff_id.in_(select(StaffAccount.id).where(StaffAccount.disabled_at.is_(None)))
        row = db.session.execute(
            select(Job.cancel_asked_at, StaffRole.id)
            .outerjoin(StaffRole, (StaffRole.id == self._role_id) & posts.in_force(now()) & of_enabled)
            .where(Job.id == self.id)
        ).one()
        if row[0] is not None:
            raise StoppedError(State.CANCELLED)
        if row[1] is None:
            raise StoppedError(State.FAILED, "role_ended")


def _store(key: uuid.UUID, **values: Any) -> None:
    db.session.execute(update(Job).where(Job.id == key).values(**values).execution_options(synchronize_session=False))


def store_end(
    key: uuid.UUID,
    state: State,
    finished: Finished,
    *,
    settings: Settings,
    refusal: str = "",
    keeps_uploads: bool = False,
    only_if: ColumnElement[bool] | None = None,
) -> bool:
    """Store the end of a job and its files in the caller's transaction; return False if it is over.

    What was uploaded for it is removed, unless `keeps_uploads`. What the job kept while it ran remains its result, if
    `finished` has none.
    """
    result = {"result": dict(finished.result)} if finished.result else {}
    work = db.session.scalar(
        update(Job)
        .where(Job.id == key, Job.state == State.RUNNING, true() if only_if is None else only_if)
        .values(
            **result,
            state=state,
            refusal=refusal,
            finished_at=now(),
            done=Job.total if state is State.DONE else Job.done,
        )
        .returning(Job.kind)
        .execution_options(synchronize_session=False)
    )
    if work is None:
        return False
    if not keeps_uploads:
        files.empty((JobFile.job_id == key) & JobFile.is_upload)
    if finished.frees is not None:
        files.empty(JobFile.job_id == finished.frees)
    for file in finished.for_pages:
        files.store(settings, key, file, is_for_pages=True)
    log.record(JobFinished(job=str(key), work=work, outcome=state.value))
    return True


class Step(NamedTuple):
    """A link to what a person does next."""

    label: str
    url: str


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    Attributes:
        right: who may see the jobs of this kind, in the scope of the post.
        run: does the work; it may be called again after a kill, and then has to find out what is done already.
        describe: returns the sentences that say what was done, or why nothing was.
        back: returns the way back to the page that the job was asked for on; see `page`.
        next_page: the endpoint of a page of the slice, with the job's id as `key`, that shows a job that is done.
        again_to: returns the URL at which a job that is over can be asked for again, when its file is gone.
        steps: returns what a person does after a job, the likeliest first; the way back to its page is one of them.
        hint: what a person has to know while the job is not over; `cancel_hint` is for those who see the button.
        keeps_uploads: whether the uploads stay after the job, for another one, until they expire.
        record: records what a job did, in the transaction of its end; not for one that ends by `Running.finish`.
    """

    name: str
    title: LazyString
    right: Right
    run: Callable[[Running], Finished]
    describe: Callable[[Job], Sequence[str]]
    back: Callable[[Job], Step]
    next_page: str = ""
    again_to: Callable[[Job], str] | None = None
    again: LazyString | str = ""
    steps: Callable[[Job], Sequence[Step]] | None = None
    hint: LazyString | str = ""
    cancel_hint: LazyString | str = ""
    keeps_uploads: bool = False
    record: Callable[[Job], None] | None = None


def page(endpoint: str, label: LazyString) -> Callable[[Job], Step]:
    """Return the way back to a page that is not about one job."""
    return lambda _job: Step(str(label), url_for(endpoint))


def later(home: str) -> Callable[..., Any]:
    """Return a function that imports `module:function` when it is called, and calls it."""
    module, _, name = home.partition(":")

    def call(*given: Any, **named: Any) -> Any:
        return getattr(import_module(module), name)(*given, **named)

    return call


LETTER = Kind(
    "letter",  # the request itself prints it: the job hands out its file
    _l("Nouveau courrier"),
    Right.PRINT_LETTER,
    later("idp.desk.letter.counter:run"),
    later("idp.desk.letter.counter:describe"),
    later("idp.desk.letter.counter:back"),
    again_to=later("idp.desk.letter.counter:again"),
    again=_l("Imprimer à nouveau"),
)
PRINT = Kind(
    "print",
    _l("Impression de courriers"),
    Right.PRINT_CLASSES,
    later("idp.desk.letter.prints:run"),
    later("idp.desk.letter.prints:describe"),
    page("prints.show", _l("Revenir aux impressions")),
    again_to=later("idp.desk.letter.prints:again_of"),
    again=_l("Imprimer à nouveau"),
)
REMINDERS = Kind(
    "reminders",
    _l("Rappels par mail"),
    Right.READ_CLASSES,
    later("idp.desk.classes:run"),
    later("idp.desk.classes:describe"),
    page("classes.show", _l("Revenir aux classes")),
)
PASSWORDS = Kind(
    "passwords",
    _l("Nouveaux mots de passe"),
    Right.FORCE_PASSWORDS,
    later("idp.desk.new_passwords:run"),
    later("idp.desk.new_passwords:describe"),
    page("new_passwords.show", _l("Revenir aux nouveaux mots de passe")),
    cancel_hint=_l("Vous pouvez annuler tant que rien n’a commencé. Un travail qui a commencé va à son terme."),
    record=later("idp.desk.new_passwords:record"),
)
CHECK = Kind(
    "check",
    _l("Vérification des fichiers"),
    Right.IMPORT_FILES,
    later("idp.desk.school_files.work:check"),
    later("idp.desk.school_files.words:of_check"),
    page("files.show", _l("Revenir aux fichiers")),
    next_page="files.compare",
    again_to=lambda _job: url_for("files.show"),
    again=_l("Vérifier à nouveau"),
    hint=_l("Rien n’est importé : les fichiers sont lus et comparés avec ce qui est connu."),
    keeps_uploads=True,
)
IMPORT = Kind(
    "import",
    _l("Import des fichiers"),
    Right.IMPORT_FILES,
    later("idp.desk.school_files.work:import_"),
    later("idp.desk.school_files.words:of_import"),
    page("files.show", _l("Revenir aux fichiers")),
    steps=later("idp.desk.school_files.history:after_import"),
    cancel_hint=_l("Vous pouvez annuler tant que rien n’est écrit. Un import qui a commencé à écrire va à son terme."),
)
KINDS = {kind.name: kind for kind in (LETTER, PRINT, REMINDERS, PASSWORDS, CHECK, IMPORT)}
JOB.allow(KINDS)
