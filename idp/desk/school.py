"""`/etablissement`: the data of a school that letters print, a preview of its letter, and the search of a school."""

import uuid
from collections.abc import Iterator, Sequence
from uuid import UUID

from flask import Blueprint, Response, make_response, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import Select, or_, select

from idp import languages
from idp.accounts import emails
from idp.accounts.models import School
from idp.db import db, unit_of_work
from idp.desk import access, fields, home, naming
from idp.desk.access import Right, needs
from idp.desk.kept_forms import DeskForm, keeps
from idp.languages import OF_LETTERS
from idp.letters import recipients
from idp.letters.render import contents, pdf
from idp.rostering import schools
from idp.rostering.records import LONGEST
from idp.rostering.schools import LINES
from idp.services import services
from idp.web.forms import PlainField
from idp.web.redirects import render_page, see_other

MOST = 20  # the most schools among whose families one search looks


def matching(words: str) -> Select[School]:
    """Return the statement of the schools with all the words, each in the name or at the beginning of the UAI."""
    statement = select(School).where(access.schools()).order_by(School.name, School.uai)
    for word in words.split():
        like = School.name.icontains(word, autoescape=True), School.uai.istartswith(word, autoescape=True)
        statement = statement.where(or_(*like))
    return statement


def find_typed(words: str) -> tuple[list[uuid.UUID], str]:
    """Return the keys of the schools with a typed name or number, none for an empty text; and what is wrong with it."""
    schools = [school.id for school in db.session.scalars(matching(words).limit(MOST + 1))] if words else []
    if words and not schools:
        return [], gettext("Aucun établissement n’a ce nom ou ce numéro.")
    if len(schools) > MOST:
        return [], gettext("Plus de %(n)s établissements : précisez le nom, ou la commune.", n=MOST)
    return schools, ""


class SchoolForm(DeskForm):
    """What letters print about a school, and where its notices go."""

    name = PlainField(_l("Nom affiché"), name="nom", longest=400)
    postal_address = fields.AreaField(_l("Adresse postale"), name="adresse", longest=1000)
    phone = PlainField(_l("Téléphone"), name="telephone", longest=100)
    hours = PlainField(_l("Horaires du secrétariat"), name="horaires", longest=200)
    email = PlainField(_l("Adresse mail pour les signalements"), name="mail", longest=400)
    languages = fields.TickField(_l("Langues du courrier, après le français"), name="langues", options=OF_LETTERS)

    def show(self, school: School) -> None:
        """Fill the form with what is stored."""
        self.name.data = school.name
        self.postal_address.data = "\n".join(school.postal_address)
        self.phone.data, self.hours.data, self.email.data = school.phone, school.hours, school.email or ""
        self.languages.data = languages.of_letters(school.letter_languages)

    def languages_of(self, school: School) -> list[str] | None:
        """Return the ticked languages in the order of the school's letters; None if the request has no such field."""
        ticked = self.languages.data
        return None if ticked is None else languages.in_order_of_letters(school.letter_languages, ticked)

    def is_valid(self, school: School) -> bool:
        """Return whether the values can be stored for a school; write what is wrong beside each field.

        A telephone that the school's file brought may stay, however it is written.
        """
        if not self.name.data:
            self.name.errors = [gettext("Écrivez le nom de l’établissement.")]
        for field, limit in ((self.name, "school_name"), (self.phone, "phone"), (self.hours, "hours")):
            if not field.errors and (problem := _problem(field.data or "", LONGEST[limit])):
                field.errors = [problem]
        self.languages.are_options()
        phone = self.phone.data or ""
        if phone not in {"", school.phone} and not self.phone.errors and not fields.is_phone(phone):
            self.phone.errors = [
                gettext("Écrivez un numéro de téléphone, par exemple 03 20 12 34 56, ou +687 12 34 56 outre-mer.")
            ]
        if problem := self._postal_problem():
            self.postal_address.errors = [problem]
        if self.email.data:
            emails.typed_in(self.email)
        return not self.errors

    def _postal_problem(self) -> str:
        lines = self.postal_address.lines
        if not lines:
            return str(gettext("Écrivez l’adresse postale : le courrier aux familles la porte."))
        if len(lines) > LINES:
            return str(gettext("L’adresse a au plus %(n)s lignes.", n=LINES))
        return next((problem for line in lines if (problem := _problem(line, LONGEST["line"]))), "")


def _problem(text: str, longest: int) -> str:
    if len(text) > longest:
        return str(gettext("%(n)s caractères au plus par ligne.", n=longest))
    if not text.isprintable():
        return str(gettext("Ce texte contient un caractère qui ne s’imprime pas. Écrivez-le au clavier."))
    return ""


blueprint = Blueprint("school", __name__)
_MOST_ROWS = 50
_SPECIMEN_URL = "https://ent.exemple.fr"
# The policy of a PDF that a browser shows in its own viewer, which needs its own styles and nothing else.
_PDF_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@home.source(Right.EDIT_SCHOOL)
def _without_mail() -> Iterator[home.Tile]:
    school = access.post().school
    if school is not None and not school.email:
        yield home.Tile(
            1,
            gettext("Aucune adresse pour les signalements"),
            gettext("Donnez-en une : sans elle, ils ne se lisent qu’ici."),
            url_for("school.show"),
        )


@blueprint.get("/etablissement")
@needs(Right.EDIT_SCHOOL, fresh=None)
def show() -> Response:
    """Show the data of the person's school, after a proof; to an engineer, the list of schools with a search."""
    own = access.post().school
    if own is not None:
        return access.proof_first() or _page(access.school(own.id))
    words = fields.searched("q")
    rows = db.session.scalars(matching(words).limit(_MOST_ROWS + 1)).all()
    return render_page(
        "desk/school/etablissements.html", schools=rows[:_MOST_ROWS], typed=words, is_cut=len(rows) > _MOST_ROWS
    )


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
        content = pdf.render([contents.specimen(services().settings, school, _printed_url(school) or _SPECIMEN_URL)])
    except pdf.LetterError:
        return _page(school, error=gettext("L’exemple n’a pas pu être préparé : un des textes ne s’imprime pas."))
    response = make_response(content)
    response.headers["Content-Type"] = naming.PDF
    response.headers["Content-Disposition"] = 'inline; filename="exemple-de-courrier.pdf"'
    response.headers["Content-Security-Policy"] = _PDF_POLICY
    return response


def _page(school: School, form: SchoolForm | None = None, *, error: str = "") -> Response:
    if form is None:
        form = SchoolForm()
        if not form.is_refilled:
            form.show(school)
    return render_page(
        "desk/school/etablissement.html",
        translations=_translations(languages.of_letters(school.letter_languages)),
        form=form,
        school=school,
        error=error,
        done=gettext("Les données de l’établissement sont enregistrées.") if request.args.get("fait") else "",
        has_ent=_printed_url(school) is not None,
        is_chosen=access.post().school is None,
    )


def _translations(tags: Sequence[str]) -> str:
    names = ", ".join(OF_LETTERS[tag] for tag in tags)
    if not tags:
        return str(gettext("Il est en français seulement."))
    if len(tags) <= pdf.TRANSLATED_UP_TO:
        return str(gettext("Il est en français, et traduit en entier, au dos : %(languages)s.", languages=names))
    return str(gettext("Il est en français, et en quelques lignes : %(languages)s.", languages=names))


def _printed_url(school: School) -> str | None:
    try:
        url = recipients.ent_home_url(school)
        pdf.check_ent_url(url)
    except (recipients.PrintError, pdf.LetterError):
        return None
    return url
