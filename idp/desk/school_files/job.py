"""The kinds of jobs of this slice.

Every server imports this module, and few of them import files: what a job needs is imported when it runs.
"""

from collections.abc import Sequence

from flask_babel import lazy_gettext as _l

from idp.config import Settings
from idp.desk.access import Right
from idp.desk.jobs import kinds
from idp.desk.jobs.kinds import Kind, Step
from idp.desk.jobs.models import Job
from idp.desk.jobs.work import Finished, Running
from idp.desk.school_files import names
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome


def _check(running: Running) -> Finished:
    from idp.desk.school_files import checking  # noqa: PLC0415 - see above

    return checking.run(running)


def _import(running: Running) -> Finished:
    from idp.desk.school_files import importing  # noqa: PLC0415 - see above

    return importing.run(running)


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail about files that wait for the direction (outbox handler)."""
    from idp.desk.school_files import waiting  # noqa: PLC0415 - see above

    return waiting.hand_over(message, settings)


def hand_over_declined(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail about files that the direction declined (outbox handler)."""
    from idp.desk.school_files import declined  # noqa: PLC0415 - see above

    return declined.hand_over(message, settings)


def _of_check(job: Job) -> Sequence[str]:
    from idp.desk.school_files import words  # noqa: PLC0415 - see above

    return words.of_check(job)


def _of_import(job: Job) -> Sequence[str]:
    from idp.desk.school_files import words  # noqa: PLC0415 - see above

    return words.of_import(job)


def _after_import(job: Job) -> Sequence[Step]:
    from idp.desk.school_files import steps  # noqa: PLC0415 - see above

    return steps.after_import(job)


_BACK = kinds.page("files.show", _l("Revenir aux fichiers"))


def _files_page(job: Job) -> str:
    return _BACK(job).url


CHECK = kinds.register(
    Kind(
        names.CHECK,
        _l("Vérification des fichiers"),
        Right.IMPORT_FILES,
        _check,
        _of_check,
        _BACK,
        next_page="files.compare",
        again_to=_files_page,
        again=_l("Vérifier à nouveau"),
        hint=_l("Rien n’est importé : les fichiers sont lus et comparés avec ce qui est connu."),
        keeps_uploads=True,
    )
)
IMPORT = kinds.register(
    Kind(
        names.IMPORT,
        _l("Import des fichiers"),
        Right.IMPORT_FILES,
        _import,
        _of_import,
        _BACK,
        steps=_after_import,
        cancel_hint=_l(
            "Vous pouvez annuler tant que rien n’est écrit. Un import qui a commencé à écrire va à son terme."
        ),
    )
)
