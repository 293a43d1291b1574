"""The forms of recovery."""

from flask_babel import lazy_gettext as _l

from idp.passkeys.forms import RemovalField
from idp.web.forms import Form, PlainField, SecretField


class UsernameForm(Form):
    """The mailbox that gets the identifiers."""

    email = PlainField(_l("Adresse mail"), name="mail", longest=400)


class PasswordForm(Form):
    """The identifier whose password is forgotten."""

    username = PlainField(_l("Identifiant"), name="identifiant")


class NewPasswordForm(Form):
    """A new password, typed twice without a script; the link names the account."""

    password = SecretField(_l("Nouveau mot de passe"), name="nouveau")
    confirmation = SecretField(_l("Confirmez le mot de passe"), name="confirmation")
    without_passkeys = RemovalField(name="retirer-cles")
