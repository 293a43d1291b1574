"""Builds the application of the school desk: the same services as the parents' application, other pages."""

from pkgutil import resolve_name
from typing import Any

from flask import Flask, has_request_context

from idp.app import assemble
from idp.clock import now
from idp.config import Settings
from idp.desk import access, classes, home, new_passwords, people, school
from idp.desk.access import Right
from idp.desk.decisions import closing_views, views as decisions
from idp.desk.ents import charter_views, decision_views, views as ents
from idp.desk.families import views as accounts
from idp.desk.jobs import views as jobs
from idp.desk.journal import views as journal
from idp.desk.kept_forms import current as kept_form
from idp.desk.letter import counter, prints
from idp.desk.school_files import views as school_files
from idp.desk.search import views as search
from idp.desk.sign_in import academy_views as academy, credentials, views as sign_in
from idp.desk.staff import posts, sessions
from idp.desk.statistics import views as statistics
from idp.desk.team import views as team
from idp.metrics.catalogue import ENDPOINT
from idp.operations import health
from idp.paths import TEMPLATES
from idp.services import services
from idp.web import declarations, http
from idp.web.redirects import shown_page

# The modules that add to others when they are imported: actions on the account's page, further views of a slice.
_JOINED = (decision_views, charter_views, closing_views)
_PAGES = (
    *(sign_in, academy, home, jobs),
    *(search, accounts, decisions, counter, classes, prints, school_files),
    *(school, team, ents, journal, statistics, people, new_passwords, health),
)


def create_desk(settings: Settings) -> Flask:
    """Return the desk's application. It opens no connection before its first request.

    A template is looked for among the desk's first, so that error pages have the desk's layout.
    """
    app, door = assemble(
        settings,
        TEMPLATES / "desk",
        TEMPLATES,
        origin=settings.desk_url.rstrip("/"),
        form_lifetime=sessions.ABSOLUTE,
        french_only=True,
    )
    door.admits_files = _may_upload
    door.compresses = False  # nearly all pages are those of a person who is signed in
    app.before_request(sessions.note_origin)
    app.before_request(access.check)
    for probe in (health.alive, health.ready):
        access.public(probe)
    for blueprint in (*(page.blueprint for page in _PAGES), credentials.enrolment, credentials.my_security):
        app.register_blueprint(blueprint)
    declarations.of(app).read(app)
    ENDPOINT.allow(app.view_functions)
    app.context_processor(_shell)
    app.jinja_env.globals.update(spec=access.spec, now=now, rule=resolve_name)
    app.jinja_env.globals.update(kept_form=kept_form, csrf_token=access.form_token)
    return app


def _may_upload(_request: http.Request) -> bool:
    known = sessions.current()
    return known is not None and known.post is not None and Right.IMPORT_FILES in access.spec(known.post.role).rights


def _shell() -> dict[str, Any]:
    person = sessions.current() if has_request_context() else None
    if person is None or person.post is None:
        return {"desk_person": person, "desk_place": "", "desk_role": "", "desk_menu": [], "desk_reason": ""}
    return {
        "desk_person": person,
        "desk_place": posts.place(person.post) or services().settings.academy,
        "desk_role": access.spec(person.post.role).label,
        "desk_menu": list(home.entries()),
        "desk_reason": access.reason(person),
        "desk_page": shown_page(),
    }
