"""`/ent/…/test` of the desk: the trial of an ENT, and how many run at a time.

A trial may hold a thread for 20 seconds, and an ENT may name hosts that never answer.
"""

import math
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from flask import Response, make_response, render_template
from flask_babel import gettext

from idp.desk import access
from idp.desk.access import Right, needs
from idp.desk.ents.fields import untested
from idp.desk.ents.views import blueprint
from idp.desk.kept_forms import keeps
from idp.registration.trial import checks
from idp.registration.trial.findings import Finding
from idp.services import services
from idp.throttle import guard, limits

TRIAL_SECONDS = 20.0
"""After so many seconds a trial begins no further check; each request has its own deadline."""
MOST_AT_ONCE = 3
"""The trials that run at once in a process: a small part of its threads."""
_lock = threading.Lock()
_running: set[uuid.UUID] = set()
"""The people whose trial runs in this process."""


class TooManyTrialsError(Exception):
    """No further trial may run now; the text says why, in French."""


@contextmanager
def _counted(person: uuid.UUID) -> Iterator[None]:
    """Count the trial of a person, who has one at a time.

    Raises:
        TooManyTrialsError: a trial of the person runs, too many of others do, or the person asked for many in an hour.
        RuntimeError: a unit of work is open.
    """
    with _lock:
        if person in _running or len(_running) >= MOST_AT_ONCE:
            raise TooManyTrialsError(
                gettext("Rien n’a été testé, car un autre test est en cours. Attendez une minute, puis recommencez.")
            )
        _running.add(person)
    try:
        if seconds := guard.take_or_wait((limits.ENT_TRIALS, str(person))):
            most, minutes = limits.ENT_TRIALS.windows[0].tries, math.ceil(seconds / 60)
            text = gettext("Vous avez demandé %(most)s tests en une heure : c’est le maximum. Revenez dans %(n)s min.")
            raise TooManyTrialsError(text % {"most": most, "n": minutes})
        yield
    finally:
        with _lock:
            _running.discard(person)


@blueprint.post("/ent/<uuid:key>/test")
@needs(Right.MANAGE_ENTS)
@keeps()
def trial(key: uuid.UUID) -> Response:
    """Try an ENT in scope: its registration, this service as the ENT sees it, and each of the ENT's URIs."""
    client = access.client(key)
    subject = checks.read(client.client_id)
    try:
        with _counted(access.person().staff.id):
            findings, is_cut = checks.findings_in_time(services().server, subject, TRIAL_SECONDS)
    except TooManyTrialsError as refused:
        return make_response(_trial_page(key, str(refused)), 429)
    wrong = sum(not finding.ok for finding in findings)
    lead = gettext("Ce qui a été vérifié est bon.") if is_cut else gettext("Tout ce qui a été testé est bon.")
    lead = gettext("Points à corriger : %(n)s.", n=wrong) if wrong else lead
    return make_response(_trial_page(key, lead, findings, untested(subject.metadata), is_cut=is_cut))


def _trial_page(
    key: uuid.UUID, lead: str, findings: Sequence[Finding] = (), untested: Sequence[str] = (), *, is_cut: bool = False
) -> str:
    return render_template(
        "desk/ents/test.html",
        client=access.client(key),
        findings=findings,
        lead=lead,
        untested=untested,
        is_cut=is_cut,
    )
