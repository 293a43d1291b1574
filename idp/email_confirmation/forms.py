"""The form that corrects an address."""

from flask_babel import lazy_gettext as _l

from idp.web.forms import Form, PlainField


class AddressForm(Form):
    """Another mail address."""

    email = PlainField(_l("Adresse mail"), name="mail", longest=400)
