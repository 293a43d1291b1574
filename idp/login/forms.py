"""The sign-in form."""

from flask_babel import lazy_gettext as _l

from idp.web.forms import Form, PlainField, SecretField


class SignInForm(Form):
    """The identifier and the password, as typed."""

    username = PlainField(_l("Identifiant"), name="identifiant", longest=200)
    password = SecretField(_l("Mot de passe"), name="mot-de-passe")
    has_passkeys = PlainField(name="cles", longest=1)
    """Whether the browser can make passkeys; the page's script says so."""
