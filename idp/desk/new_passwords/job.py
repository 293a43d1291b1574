"""The kind of job `passwords`: the passwords of a school's families are blocked, batch by batch.

Every server imports this module, and few of them do the job: what it needs is imported when it runs.
"""

from collections.abc import Sequence

from flask_babel import lazy_gettext as _l

from idp.desk.access import Right
from idp.desk.jobs import kinds
from idp.desk.jobs.kinds import Kind
from idp.desk.jobs.models import Job
from idp.desk.jobs.work import Finished, Running


def _run(running: Running) -> Finished:
    from idp.desk.new_passwords import work  # noqa: PLC0415 - see above

    return work.run(running)


def _describe(job: Job) -> Sequence[str]:
    from idp.desk.new_passwords import work  # noqa: PLC0415 - see above

    return work.describe(job)


def _record(job: Job) -> None:
    from idp.desk.new_passwords import work  # noqa: PLC0415 - see above

    work.record(job)


KIND = kinds.register(
    Kind(
        "passwords",
        _l("Nouveaux mots de passe"),
        Right.FORCE_PASSWORDS,
        _run,
        _describe,
        kinds.page("new_passwords.show", _l("Revenir aux nouveaux mots de passe")),
        cancel_hint=_l("Vous pouvez annuler tant que rien n’a commencé. Un travail qui a commencé va à son terme."),
        record=_record,
    )
)
