"""The form of a school's own data."""

from flask_babel import gettext
from flask_babel import lazy_gettext as _l

from idp import letter_languages
from idp.accounts import emails
from idp.accounts.models import School
from idp.desk import typed
from idp.desk.choices import AreaField, TickField
from idp.desk.kept_forms.forms import DeskForm
from idp.letter_languages import LANGUAGES
from idp.mail.emails import InvalidEmailError, parse_email
from idp.rostering.records import LONGEST
from idp.rostering.schools import LINES
from idp.web.forms import PlainField


class SchoolForm(DeskForm):
    """What letters print about a school, and where its notices go."""

    name = PlainField(_l("Nom affiché"), name="nom", longest=400)
    postal_address = AreaField(_l("Adresse postale"), name="adresse", longest=1000)
    phone = PlainField(_l("Téléphone"), name="telephone", longest=100)
    hours = PlainField(_l("Horaires du secrétariat"), name="horaires", longest=200)
    email = PlainField(_l("Adresse mail pour les signalements"), name="mail", longest=400)
    languages = TickField(_l("Langues du courrier, après le français"), name="langues", options=LANGUAGES)

    def show(self, school: School) -> None:
        """Fill the form with what is stored."""
        self.name.data = school.name
        self.postal_address.data = "\n".join(school.postal_address)
        self.phone.data, self.hours.data, self.email.data = school.phone, school.hours, school.email or ""
        self.languages.data = letter_languages.chosen(school.letter_languages)

    def languages_of(self, school: School) -> list[str] | None:
        """Return the ticked languages in the order of the school's letters; None if the request has no such field."""
        ticked = self.languages.data
        return None if ticked is None else letter_languages.in_order(school.letter_languages, ticked)

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
        if phone not in {"", school.phone} and not self.phone.errors and not typed.is_phone(phone):
            self.phone.errors = [
                gettext("Écrivez un numéro de téléphone, par exemple 03 20 12 34 56, ou +687 12 34 56 outre-mer.")
            ]
        if problem := self._postal_problem():
            self.postal_address.errors = [problem]
        if self.email.data:
            try:
                parse_email(self.email.data)
            except InvalidEmailError as fault:
                self.email.errors = [emails.explain(fault)]
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
