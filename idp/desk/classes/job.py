"""The kind of job `reminders`: a new link for people whose mail address waits for its confirmation.

Every server imports this module, and few of them print: what the job needs is imported when it runs.
"""

from collections.abc import Sequence

from flask_babel import lazy_gettext as _l

from idp.desk.access import Right
from idp.desk.jobs import kinds
from idp.desk.jobs.kinds import Kind
from idp.desk.jobs.models import Job
from idp.desk.jobs.work import Finished, Running


def _run(running: Running) -> Finished:
    from idp.desk.classes import work  # noqa: PLC0415 - see above

    return work.run(running)


def _describe(job: Job) -> Sequence[str]:
    from idp.desk.classes import work  # noqa: PLC0415 - see above

    return work.describe(job)


KIND = kinds.register(
    Kind(
        "reminders",
        _l("Rappels par mail"),
        Right.READ_CLASSES,
        _run,
        _describe,
        kinds.page("classes.show", _l("Revenir aux classes")),
    )
)
