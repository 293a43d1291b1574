"""The kinds of jobs. A slice of the desk registers its kinds when it is imported; `idp.app` imports these slices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flask import url_for
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


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Register a kind of job."""
    _kinds[kind.name] = kind
    JOB.allow([kind.name])
    return kind


def find(name: str) -> Kind | None:
    """Return a kind of job, or None if this version has no such kind."""
    return _kinds.get(name)
