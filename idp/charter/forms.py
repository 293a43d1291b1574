"""The form under the charter."""

from flask_babel import lazy_gettext as _l
from wtforms import BooleanField

from idp.web.forms import Form


class CharterForm(Form):
    """One box, which is never ticked in advance."""

    accept = BooleanField(_l("J’ai lu et j’accepte la charte"), name="accepte")
