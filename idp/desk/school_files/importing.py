"""The job that imports the files of a check: it compares again, and stops if more people would leave than was shown."""

import uuid

from idp.config import Settings
from idp.desk import access
from idp.desk.jobs.models import Job, State
from idp.desk.jobs.work import BusyError, Finished, RefusedError, Running
from idp.desk.school_files import comparing, leaving
from idp.desk.staff.models import Role
from idp.rostering import imports, lock
from idp.rostering.imports import ImportResult, ImportStoppedError

_ENDS = (20, 40)
EXCEEDED = frozenset({"too_many_leave", "for_the_head", "for_the_academy"})
"""The codes of what is more than a role may import."""


def refusal(settings: Settings, check: Job, role: Role) -> str:
    """Return why the files of a check cannot be imported in a role: a code of `words`; empty if they can."""
    if check.state is not State.DONE or check.result.get("refused"):
        return "refused"
    try:
        comparing.uploads(settings, check.id)
    except RefusedError as refused:
        return refused.code
    return exceeded_limit(settings, check, role)


def exceeded_limit(settings: Settings, check: Job, role: Role) -> str:
    """Return why what a check found is more than a role may import: a code of `words`; empty if it is not."""
    summary = check.result
    if summary["refused"]:
        return "refused"
    if leaving.too_many(settings, role, check.parameters["school"], summary["leaving"]):
        return "too_many_leave"
    if unacceptable := set(summary["mistakes"]) - comparing.acceptable(role):
        head = access.spec(role).hands_files_to
        return "for_the_head" if head and unacceptable <= comparing.acceptable(head) else "for_the_academy"
    return ""


def run(running: Running) -> Finished:
    """Import the files of a job's check. After a kill, write what is missing."""
    check_id = uuid.UUID(running.parameters["check"])
    uploads = comparing.uploads(running.settings, check_id)
    role = Role(running.parameters["role"])
    progress = comparing.Progress(
        running.progress if running.is_final else running.tick,
        running.progress,
        sum(len(file.content) for file in uploads),
        _ENDS,
    )

    def agree(result: ImportResult) -> None:
        _check_agreed(running, role, result)

    try:
        result = imports.run(
            running.settings,
            comparing.given(uploads),
            comparing.form(running.parameters, writes=True),
            progress.steps(),
            comparing.terms(role, running.parameters["accepted"], agree),
        )
    except lock.ImportRunningError:
        raise BusyError from None
    except ImportStoppedError as stopped:
        stopped.result.staging.close()
        raise RefusedError(stopped.code) from None
    result.staging.close()
    return Finished({**running.result, "batch": result.batch}, frees=check_id)


def _check_agreed(running: Running, role: Role, result: ImportResult) -> None:
    """Check that the import does not do more than its person saw, before anything is written.

    Raises:
        ImportStoppedError: More people would leave.
    """
    if running.is_final:  # a killed run has checked it, and had begun to write
        return
    counts, numbers = imports.totals(result), leaving.numbers(result)
    for name, most in running.parameters["leaving"].items():
        if numbers[name][0] > most:
            raise ImportStoppedError("changed_since", "more would leave than was shown", result)
    if leaving.too_many(running.settings, role, running.parameters["school"], numbers):
        raise ImportStoppedError("too_many_leave", "too many pupils would leave", result)
    running.begin_writing({"counts": counts, "format": result.format.value if result.format else ""})
