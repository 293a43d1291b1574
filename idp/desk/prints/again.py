"""`/impressions/…/a-nouveau`: the letters of one print again, for the same people and no others."""

from collections.abc import Sequence
from uuid import UUID

from flask import Response, make_response, render_template, request, url_for
from flask_babel import gettext

from idp.audit import log
from idp.audit.desk_events import ClassListed
from idp.db import unit_of_work
from idp.desk import access, untaken
from idp.desk.access import Right, needs
from idp.desk.choices import WordField
from idp.desk.jobs import asking
from idp.desk.jobs.kinds import PRINT
from idp.desk.jobs.models import Job
from idp.desk.kept_forms.forms import DeskForm
from idp.desk.kept_forms.keeping import keeps
from idp.desk.letter import words
from idp.desk.letter.groups import getting_letters, skipped_people
from idp.desk.prints import work
from idp.desk.prints.views import blueprint
from idp.letters import recipients
from idp.letters.recipients import PrintError, Recipient, Skipped
from idp.web.redirects import see_other


class AgainForm(DeskForm):
    """Nothing but the word."""

    word = WordField("IMPRIMER")


@blueprint.route("/impressions/<uuid:key>/a-nouveau", methods=["GET", "POST"])
@needs(Right.PRINT_CLASSES, fresh=True)
@keeps("word")
def again(key: UUID) -> Response:
    """Show who gets a letter again, by class; on a POST with the typed word, ask for the print."""
    job, school, form = _print(key), access.own_school(), AgainForm()
    try:
        recipients.check_school(school)
        people, skipped = recipients.in_school(school, None, renew=True, only=untaken.accounts_of(job))
    except PrintError as refused:
        return _page(job, form, [], [], refusal=str(refused.refusal or "fault"))
    if request.method == "POST" and form.word.is_typed():
        if people and (started := _start(job, school.uai)):
            return see_other(url_for("jobs.show", key=started.id))
        form.form_errors.append(
            gettext("Une impression de ces courriers est déjà en cours. Attendez sa fin.")
            if people
            else gettext("Il n’y a personne à qui imprimer un courrier.")
        )
    return _page(job, form, people, skipped)


def _print(key: UUID) -> Job:
    """Return a print in scope, of which somebody got a letter; refuse the page otherwise."""
    job, kind = asking.get(key)
    if kind is not PRINT or not untaken.accounts_of(job):
        access.refuse(str(key))
    return job


def _start(job: Job, uai: str) -> Job | None:
    """Ask for the print, and return its job, also after a second tap; None if a colleague asked for it first."""
    parameters = {**job.parameters, "renew": True, "again": str(job.id)}
    lane = f"{PRINT.name} {uai} {job.id}"
    started = asking.start_alone(PRINT, parameters, lane)
    return started if started and asking.is_own(started) else None


def _page(
    job: Job, form: AgainForm, people: Sequence[Recipient], skipped: Sequence[Skipped], refusal: str = ""
) -> Response:
    names = words.names(untaken.accounts_of(job))
    shown = [entry for entry in people if entry.account_id in names]
    groups = getting_letters([(entry.class_name, names[entry.account_id]) for entry in shown])
    groups += skipped_people(skipped, names)
    if names:
        with unit_of_work():
            log.record(ClassListed(class_name=job.parameters["class"] or "", count=len(names)))
    page = render_template(
        "desk/prints/a_nouveau.html",
        job=job,
        what=work.title(job),
        by=asking.authors([job]).get(job.staff_id, ""),
        form=form,
        groups=groups,
        count=len(shown),
        without_pupil=len(untaken.accounts_of(job)) - len(people) - len(skipped),
        refusal=words.REFUSALS[refusal] if refusal else "",
    )
    return make_response(page)
