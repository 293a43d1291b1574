"""The form of a letter for one person."""

from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField

from idp.desk import typed
from idp.desk.kept_forms.forms import DeskForm
from idp.letters.printing import LONGEST_REASON
from idp.web.forms import PlainField

SLIP = "slip"


class LetterForm(DeskForm):
    """How to print; for an account that has been active also the reason and the checklist of the identity."""

    generation = PlainField(longest=20)
    layout = PlainField(longest=10)
    reason = PlainField(_l("Motif"), longest=LONGEST_REASON)
    came = BooleanField(_l("La personne est venue elle-même"))
    document = BooleanField(_l("J’ai vu sa pièce d’identité"))
    guardian = BooleanField(_l("C’est bien le responsable de l’élève"))

    def sentence(self) -> str:
        """Return the reason on one line."""
        return typed.one_line(self.reason.data)

    def is_complete(self) -> bool:
        """Return whether there is a reason and all points are ticked; put an error beside what is missing."""
        if not typed.is_sentence(self.sentence()):
            self.reason.errors = [gettext("Écrivez le motif en quelques mots : il reste au journal.")]
        for point in (self.came, self.document, self.guardian):
            if not point.data:
                point.errors = [gettext("Sans ce point, aucun courrier : « %(point)s ».", point=point.label.text)]
        return not self.errors
