"""`/etablissement` of the desk."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext

from idp import letter_languages
from idp.accounts.models import School
from idp.db import db, unit_of_work
from idp.desk import access, downloads, typed
from idp.desk.access import Right, needs
from idp.desk.home import tiles
from idp.desk.home.tiles import Tile
from idp.desk.kept_forms.keeping import keeps
from idp.desk.school.finding import matching
from idp.desk.school.forms import SchoolForm
from idp.letter_languages import LANGUAGES
from idp.letters import recipients
from idp.letters.recipients import PrintError
from idp.letters.render import contents, pdf
from idp.letters.render.pdf import LetterError
from idp.rostering import schools
from idp.services import services
from idp.web.redirects import see_other

blueprint = Blueprint("school", __name__)
_MOST_ROWS = 50
_SPECIMEN_URL = "https://ent.exemple.fr"
_PDF_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The policy of a PDF that a browser shows in its own viewer, which needs its own styles and nothing else."""


@tiles.source(Right.EDIT_SCHOOL)
def _without_mail() -> Iterator[Tile]:
    school = access.post().school
    if school is not None and not school.email:
        yield Tile(
            1,
            gettext("Aucune adresse pour les signalements"),
            gettext("Donnez-en une : sans elle, ils ne se lisent qu’ici."),
            url_for("school.show"),
        )


@blueprint.get("/etablissement")
@needs(Right.EDIT_SCHOOL, sometimes_fresh=True)
def show() -> Response:
    """Show the data of the person's school, after a proof; to an engineer, the list of schools with a search."""
    own = access.post().school
    if own is not None:
        return access.proof_first() or _page(access.school(own.id))
    words = typed.search_words()
    rows = db.session.scalars(matching(words).limit(_MOST_ROWS + 1)).all()
    html = render_template(
        "desk/school/etablissements.html", schools=rows[:_MOST_ROWS], typed=words, is_cut=len(rows) > _MOST_ROWS
    )
    return make_response(html)


@blueprint.route("/etablissement/<uuid:key>", methods=["GET", "POST"])
@needs(Right.EDIT_SCHOOL, fresh=True)
@keeps("nom", "adresse", "telephone", "horaires", "mail", "langues")
def edit(key: UUID) -> Response:
    """Show the data of a school in scope, or store them."""
    school = access.school(key)
    if request.method == "GET":
        return _page(school)
    form = SchoolForm()
    if not form.is_valid(school):
        return _page(school, form)
    try:
        with unit_of_work():
            schools.change(
                school.uai,
                name=form.name.data,
                postal_address=form.postal_address.lines,
                phone=form.phone.data,
                hours=form.hours.data,
                email=form.email.data,
                languages=form.languages_of(school),
                degree=None,
            )
    except ValueError:
        form.form_errors.append(gettext("Une valeur n’est pas acceptée. Rien n’a été enregistré."))
        return _page(school, form)
    return see_other(url_for("school.edit", key=key, fait="oui"))


@blueprint.get("/etablissement/<uuid:key>/exemple-de-courrier.pdf")
@needs(Right.EDIT_SCHOOL)
def preview(key: UUID) -> Response:
    """Show a letter of the school to a person who does not exist."""
    school = access.school(key)
    try:
        content = pdf.render([contents.specimen(services().settings, school, _ent_url(school))])
    except LetterError:
        return _page(school, error=gettext("L’exemple n’a pas pu être préparé : un des textes ne s’imprime pas."))
    response = make_response(content)
    response.headers["Content-Type"] = downloads.PDF
    response.headers["Content-Disposition"] = 'inline; filename="exemple-de-courrier.pdf"'
    response.headers["Content-Security-Policy"] = _PDF_POLICY
    return response


def _page(school: School, form: SchoolForm | None = None, *, error: str = "") -> Response:
    if form is None:
        form = SchoolForm()
        if not form.is_refilled:
            form.show(school)
    html = render_template(
        "desk/school/etablissement.html",
        translations=_translations(letter_languages.chosen(school.letter_languages)),
        form=form,
        school=school,
        error=error,
        done=gettext("Les données de l’établissement sont enregistrées.") if request.args.get("fait") else "",
        has_ent=_printed_url(school) is not None,
        is_chosen=access.post().school is None,
    )
    return make_response(html)


def _translations(tags: Sequence[str]) -> str:
    """Return the sentence about the languages of the example."""
    names = ", ".join(LANGUAGES[tag] for tag in tags)
    if not tags:
        return str(gettext("Il est en français seulement."))
    if len(tags) <= pdf.TRANSLATED_UP_TO:
        return str(gettext("Il est en français, et traduit en entier, au dos : %(languages)s.", languages=names))
    return str(gettext("Il est en français, et en quelques lignes : %(languages)s.", languages=names))


def _printed_url(school: School) -> str | None:
    """Return the URL of the ENT that the school's letters print, or None if there is none to print."""
    try:
        url = recipients.ent_home_url(school)
        pdf.check_ent_url(url)
    except (PrintError, LetterError):
        return None
    return url


def _ent_url(school: School) -> str:
    return _printed_url(school) or _SPECIMEN_URL
