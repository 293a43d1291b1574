"""The menu and the first page of the desk, the choice of a post, the reason for reading families' data; and the tiles.

Each slice of the desk may add tiles to the first page: what waits for a person today.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import update

from idp.audit import log
from idp.audit.desk_events import StaffReasonGiven
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk import access, fields, kept_forms
from idp.desk.access import Right, needs, signed_in
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.staff import sessions
from idp.desk.staff.models import StaffSession
from idp.operations import reasons
from idp.web import redirects
from idp.web.forms import PlainField
from idp.web.redirects import see_other

_ENTRIES = (
    ("home.today", _l("Aujourd’hui"), None),
    ("search.search", _l("Rechercher"), Right.READ_FAMILIES),
    ("decisions.to_decide", _l("Décisions"), Right.READ_NOTICES),
    ("classes.show", _l("Classes"), Right.READ_CLASSES),
    ("prints.show", _l("Impressions"), Right.PRINT_CLASSES),
    ("files.show", _l("Fichiers"), Right.IMPORT_FILES),
    ("school.show", _l("Établissement"), Right.EDIT_SCHOOL),
    ("team.show", _l("Équipe"), Right.MANAGE_TEAM),
    ("ents.show", _l("ENT"), Right.READ_ENTS),
    ("statistics.show", _l("Activation"), Right.READ_STATISTICS),
    ("journal.show", _l("Journal"), Right.READ_JOURNAL),
    ("people.show", _l("Droits des personnes"), Right.READ_RETENTION),
)


def entries() -> Iterator[tuple[str, str, bool]]:
    """Yield the URL and the label of each page, and whether it is the present one."""
    blueprint = request.blueprint or ""
    for endpoint, label, right in _ENTRIES:
        if right is None or access.may(right):
            yield url_for(endpoint), str(label), endpoint.partition(".")[0] == blueprint


@dataclass(frozen=True)
class Tile:
    """Something that waits: how many, of what, and the page where it is settled."""

    count: int
    title: str
    sentence: str
    url: str


Source = Callable[[], Iterable[Tile]]
_sources: list[tuple[Right, Source]] = []


def source(right: Right) -> Callable[[Source], Source]:
    """Register a function that returns tiles for people whose role has `right`."""

    def register(function: Source) -> Source:
        _sources.append((right, function))
        return function

    return register


def waiting() -> Iterator[Tile]:
    """Yield the tiles of the person's post that have a number."""
    for right, function in _sources:
        if access.may(right):
            yield from (tile for tile in function() if tile.count)


blueprint = Blueprint("home", __name__)


class ReasonForm(DeskForm):
    """Why a person of the académie reads families' data."""

    reason = PlainField(_l("Motif"), longest=200)


@blueprint.get("/")
@needs()
def today() -> Response:
    """Show the search of families, and what waits for the person."""
    searches = access.may(Right.READ_FAMILIES)
    return make_response(render_template("desk/home/aujourdhui.html", tiles=list(waiting()), searches=searches))


@blueprint.route("/etablissements", methods=["GET", "POST"])
@signed_in()
@keeps()
def choose() -> Response:
    """Let a person with several posts choose one; lead a person with one post to the page that was asked for."""
    person = access.person()
    if request.method == "GET":
        if len(person.posts) == 1 and "suite" in request.args:
            return see_other(redirects.next_path())
        return make_response(render_template("desk/home/etablissements.html"))
    post = next((post for post in person.posts if str(post.id) == request.form.get("post")), None)
    if post is None:
        access.refuse(str(fields.key(request.form.get("post", "")) or ""))
    sessions.choose_post(person, post)
    return see_other(redirects.next_path())


@blueprint.route("/motif", methods=["GET", "POST"])
@needs()
@keeps("reason")
def give_reason() -> Response:
    """Ask a person of the académie for the reason, before families' data are read."""
    form = ReasonForm()
    if request.method == "GET":
        return _reason_page(form)
    reason = fields.one_line(form.reason.data)
    if not fields.is_sentence(reason):
        form.reason.errors = [
            gettext(
                "Écrivez le motif : un numéro de ticket, ou quelques mots, %(n)s caractères au moins.",
                n=reasons.SHORTEST,
            )
        ]
        return _reason_page(form)
    with unit_of_work():
        db.session.execute(
            update(StaffSession)
            .where(StaffSession.id == access.person().session.id)
            .values(reason=reason, reason_at=now(), reason_about=None)
        )
        log.record(StaffReasonGiven(reason=reason))
    return see_other(redirects.next_path())


def _reason_page(form: ReasonForm) -> Response:
    until, example = kept_forms.kept_until(redirects.next_path()), access.own_spec().reason
    return make_response(
        render_template("desk/home/motif.html", form=form, kept_until=until, shortest=reasons.SHORTEST, example=example)
    )
