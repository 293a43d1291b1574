"""The kind of job `print`: the letters of a class or of a school.

Every server imports this module, and few of them print: what the job needs is imported when it runs.
"""

from collections.abc import Sequence

from flask_babel import lazy_gettext as _l

from idp.desk.access import Right
from idp.desk.jobs import kinds
from idp.desk.jobs.kinds import Kind
from idp.desk.jobs.models import PRINT, Job
from idp.desk.jobs.work import Finished, Running


def _run(running: Running) -> Finished:
    from idp.desk.prints import work  # noqa: PLC0415 - see above

    return work.run(running)


def _describe(job: Job) -> Sequence[str]:
    from idp.desk.prints import work  # noqa: PLC0415 - see above

    return work.describe(job)


def _again(job: Job) -> str:
    from idp.desk.prints import work  # noqa: PLC0415 - see above

    return work.again(job)


KIND = kinds.register(
    Kind(
        PRINT,
        _l("Impression de courriers"),
        Right.PRINT_CLASSES,
        _run,
        _describe,
        kinds.page("prints.show", _l("Revenir aux impressions")),
        again_to=_again,
        again=_l("Imprimer à nouveau"),
    )
)
