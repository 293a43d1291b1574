"""The forms that change the password or the address; each asks for the present password."""

from flask_babel import lazy_gettext as _l

from idp.passkeys.forms import RemovalField
from idp.web.forms import Form, PlainField, SecretField


class PasswordForm(Form):
    """The present password, and a new one, typed twice without a script."""

    current = SecretField(_l("Mot de passe actuel"), name="actuel")
    password = SecretField(_l("Nouveau mot de passe"), name="nouveau")
    confirmation = SecretField(_l("Confirmez le mot de passe"), name="confirmation")
    without_passkeys = RemovalField(name="retirer-cles")


class EmailForm(Form):
    """The present password, and a new address."""

    current = SecretField(_l("Mot de passe actuel"), name="actuel")
    email = PlainField(_l("Nouvelle adresse mail"), name="mail", longest=400)
