"""The forms of the pages that confirm an address."""

from flask_babel import lazy_gettext as _l

from idp.web.forms import Form, PlainField, SecretField


class AddressForm(Form):
    """Another mail address, and the password that was chosen at the activation."""

    email = PlainField(_l("Adresse mail"), name="mail", longest=400)
    password = SecretField(_l("Mot de passe"), name="mot-de-passe")


class LinkForm(Form):
    """The password, where the link of the mail is opened in a browser that did not choose it."""

    password = SecretField(_l("Le mot de passe que vous venez de choisir"), name="mot-de-passe")


class CodeForm(Form):
    """The code of the mail."""

    code = PlainField(_l("Code reçu par mail"), name="code", longest=40)
