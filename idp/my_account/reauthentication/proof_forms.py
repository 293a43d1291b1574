"""The forms that ask for a secret: the person's own password, or that of another letter."""

from flask_babel import lazy_gettext as _l

from idp.web.forms import Form, PlainField, SecretField


class ProofForm(Form):
    """The account's own password, typed again."""

    password = SecretField(_l("Mot de passe"), name="mot-de-passe")


class LetterForm(Form):
    """The identifier and the secret of another letter."""

    username = PlainField(_l("Identifiant"), name="identifiant", longest=200)
    password = SecretField(_l("Mot de passe provisoire"), name="mot-de-passe")
