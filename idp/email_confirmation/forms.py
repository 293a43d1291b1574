"""The form that corrects an address, with the password of the account."""

from flask_babel import lazy_gettext as _l

from idp.web.forms import Form, PlainField, SecretField


class AddressForm(Form):
    """Another mail address, and the password that was chosen at the activation."""

    email = PlainField(_l("Adresse mail"), name="mail", longest=400)
    password = SecretField(_l("Mot de passe"), name="mot-de-passe")
