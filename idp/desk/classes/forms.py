"""The form of the letters of a class: a typed word confirms that valid letters are replaced."""

from flask_babel import lazy_gettext as _l
from wtforms import BooleanField

from idp.desk.choices import WordField
from idp.desk.kept_forms.forms import DeskForm
from idp.web.forms import PlainField

SLIPS = "slips"
LAYOUTS = (
    ("letters", _l("Lettres : une page par personne")),
    (SLIPS, _l("Petit format : trois par feuille, à découper")),
)
"""The layouts of a print, with their labels."""


class PrintForm(DeskForm):
    """How to print, and whether people with a valid letter get a new one."""

    word = WordField("IMPRIMER")
    layout = PlainField(_l("Format"), longest=10)
    renew = BooleanField(_l("Imprimer aussi pour les personnes dont le courrier est encore valable"))
