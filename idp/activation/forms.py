"""The activation form."""

from flask_babel import lazy_gettext as _l

from idp.web.forms import Form, PlainField, SecretField


class ActivationForm(Form):
    """A password twice and a mail address."""

    password = SecretField(_l("Nouveau mot de passe"), name="nouveau")
    confirmation = SecretField(_l("Confirmez le mot de passe"), name="confirmation")
    email = PlainField(_l("Adresse mail"), name="mail", longest=400)
