"""`/impressions/…/a-nouveau`: the letters of one print again, for the same people and no others."""

import itertools
from collections.abc import Sequence
from uuid import UUID

from flask import Response, make_response, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select

from idp.accounts.models import Child, Guardianship
from idp.audit import log
from idp.audit.desk_events import ClassListed
from idp.db import db, unit_of_work
from idp.desk import access, naming, untaken
from idp.desk.access import Right, needs
from idp.desk.choices import WordField
from idp.desk.jobs import asking
from idp.desk.jobs.models import Job
from idp.desk.kept_forms.forms import DeskForm
from idp.desk.kept_forms.keeping import keeps
from idp.desk.letter import words
from idp.desk.letter.groups import Group, skipped_people
from idp.desk.prints import work
from idp.desk.prints.job import KIND
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
    if kind is not KIND or not untaken.accounts_of(job):
        access.refuse(str(key))
    return job


def _start(job: Job, uai: str) -> Job | None:
    """Ask for the print, and return its job, also after a second tap; None if a colleague asked for it first."""
    parameters = {**job.parameters, "renew": True, "again": str(job.id)}
    lane = f"{KIND.name} {uai} {job.id}"
    started = asking.start_alone(KIND, parameters, lane) or asking.in_lane(lane)
    return started if started and asking.is_own(started) else None


def _still_in_class(job: Job) -> set[UUID]:
    """Return the people of a print who have a pupil in its class today; their first pupil may be in another one."""
    chosen = (
        select(Guardianship.account_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            Guardianship.account_id.in_(untaken.accounts_of(job)),
            Guardianship.is_unended,
            Child.class_name == job.parameters["class"],
            access.children(),
        )
    )
    return set(db.session.scalars(chosen)) if job.parameters["class"] is not None else set()


def _page(
    job: Job, form: AgainForm, people: Sequence[Recipient], skipped: Sequence[Skipped], refusal: str = ""
) -> Response:
    names = words.names(untaken.accounts_of(job))
    printed, still = job.parameters["class"], _still_in_class(job)

    def class_of(entry: Recipient) -> str:
        return printed if entry.account_id in still else entry.class_name

    shown = [entry for entry in people if entry.account_id in names]
    shown.sort(key=lambda entry: entry.account_id not in still)
    groups = [
        Group(f"{naming.class_title(class_name)} : {len(members)}", members, is_open=True)
        for class_name, members in (
            (class_name, [names[entry.account_id] for entry in group])
            for class_name, group in itertools.groupby(shown, class_of)
        )
    ]
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
