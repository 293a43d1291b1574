"""The kind of job `letter`: one letter, which the request itself printed. The job hands out its file.

Every server imports this module, and few of them print: what the job needs is imported when it runs.
"""

from collections.abc import Sequence

from flask_babel import lazy_gettext as _l

from idp.desk.access import Right
from idp.desk.jobs import kinds
from idp.desk.jobs.kinds import Kind, Step
from idp.desk.jobs.models import LETTER, Job
from idp.desk.jobs.work import Finished, Running


def _run(running: Running) -> Finished:
    from idp.desk.letter import work  # noqa: PLC0415 - see above

    return work.run(running)


def _describe(job: Job) -> Sequence[str]:
    from idp.desk.letter import work  # noqa: PLC0415 - see above

    return work.describe(job)


def _back(job: Job) -> Step:
    from idp.desk.letter import work  # noqa: PLC0415 - see above

    return work.back(job)


def _again(job: Job) -> str:
    from idp.desk.letter import work  # noqa: PLC0415 - see above

    return work.again(job)


KIND = kinds.register(
    Kind(
        LETTER,
        _l("Nouveau courrier"),
        Right.PRINT_LETTER,
        _run,
        _describe,
        _back,
        again_to=_again,
        again=_l("Imprimer à nouveau"),
    )
)
