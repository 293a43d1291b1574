"""The forms of mass acts: a typed word confirms them."""

from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField

from idp.desk.kept_forms.forms import DeskForm
from idp.folding import fold
from idp.web.forms import PlainField

SLIPS = "slips"
LAYOUTS = (
    ("letters", _l("Lettres : une page par personne")),
    (SLIPS, _l("Petit format : quatre par feuille, à découper")),
)
"""The layouts of a print, with their labels."""


class MassForm(DeskForm):
    """A typed word, without which nothing is done."""

    word = PlainField(longest=30)
    expected = ""

    def is_confirmed(self) -> bool:
        """Return whether the word was typed; put an error beside the field otherwise."""
        if fold(self.word.data or "").upper() != self.expected:
            self.word.errors = [gettext("Tapez le mot %(word)s pour confirmer.", word=self.expected)]
        return not self.errors


class PrintForm(MassForm):
    """How to print, and whether people with a valid letter get a new one."""

    expected = "IMPRIMER"
    word = PlainField(_l("Pour confirmer, tapez IMPRIMER"), longest=30)
    layout = PlainField(_l("Format"), longest=10)
    renew = BooleanField(_l("Imprimer aussi pour les personnes dont le courrier est encore valable"))


class RemindForm(MassForm):
    """Nothing but the word."""

    expected = "RAPPELER"
    word = PlainField(_l("Pour confirmer, tapez RAPPELER"), longest=30)
