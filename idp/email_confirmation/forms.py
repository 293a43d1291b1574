"""The forms of the browser that waits until an address is confirmed."""

from flask_babel import lazy_gettext as _l

from idp.web.forms import Form, PlainField, SecretField


class AddressForm(Form):
    """Another mail address, and the password that was chosen at the activation."""

    email = PlainField(_l("Adresse mail"), name="mail", longest=400)
    password = SecretField(_l("Mot de passe"), name="mot-de-passe")


class CodeForm(Form):
    """The code of the mail."""

    code = PlainField(_l("Code reçu par mail"), name="code", longest=40)
