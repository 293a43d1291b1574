"""The forms of recovery. None has a field that names an account beside the one that a person asks about."""

from flask_babel import lazy_gettext as _l

from idp.web.forms import Form, PlainField, SecretField


class UsernameForm(Form):
    """Which mailbox gets the identifiers."""

    email = PlainField(_l("Adresse mail"), name="mail", longest=400)


class PasswordForm(Form):
    """Whose password is forgotten."""

    username = PlainField(_l("Identifiant"), name="identifiant")


class NewPasswordForm(Form):
    """A new password, twice; the link says whose it is."""

    password = SecretField(_l("Nouveau mot de passe"), name="nouveau")
    confirmation = SecretField(_l("Confirmez le mot de passe"), name="confirmation")
