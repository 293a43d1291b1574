"""The kinds of jobs: one table.

Every server imports this module, and few of them print letters or import files: what does the work is named by its
module, which is imported when it is called.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from flask import url_for
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from idp.desk.access import Right
from idp.desk.jobs.models import Job
from idp.desk.jobs.work import Finished, Running
from idp.metrics.catalogue import JOB


class Step(NamedTuple):
    """A link to what a person does next."""

    label: str
    url: str


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    Attributes:
        name: the value of `Job.kind`.
        title: the title of its page: « Impression de courriers ».
        right: who may see the jobs of this kind, in the scope of the post.
        run: does the work; it may be called again after a kill, and then has to find out what is done already.
        describe: returns the sentences that say what was done, or why nothing was.
        back: returns the way back to the page that the job was asked for on, with its name; see `page`.
        next_page: the endpoint of a page of the slice, with the job's id as `key`, that shows a job that is done.
        again_to: returns the URL at which a job that is over can be asked for again, when its file is gone.
        again: the label of that link.
        steps: returns what a person does after a job, the likeliest first; the way back to its page is one of them.
        hint: what a person has to know while the job is not over.
        cancel_hint: until when the job can be cancelled, for those who see the button.
        keeps_uploads: whether the uploads stay after the job, for another one, until they expire.
        record: records in the journal what a job did, or enqueues a mail about it, in the transaction of its end. Not
            for a kind that ends by `Running.finish`, which records it there.
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
