"""The forms of the activation."""

from flask_babel import lazy_gettext as _l
from wtforms import Field

from idp.web.forms import Form, PlainField, SecretField

_MOST_CHILDREN = 100
_KEY_LENGTH = 32


class ActivationForm(Form):
    """The new password and a mail address. Only a browser without a script has the second field."""

    password = SecretField(_l("Nouveau mot de passe"), name="nouveau")
    confirmation = SecretField(_l("Confirmez le mot de passe"), name="confirmation")
    email = PlainField(_l("Adresse mail"), name="mail", longest=400)

    @property
    def has_password(self) -> bool:
        """Whether a password was typed in any of the fields."""
        return bool(self.password.data or self.confirmation.data)

    @property
    def is_password_wrong(self) -> bool:
        """Whether a field of the password has an error."""
        return bool(self.password.errors or self.confirmation.errors)


class ChildrenField(Field):  # type: ignore[misc]
    """The keys of the ticked children. The values are limited in number and length, but not yet checked."""

    data: list[str]

    def process_formdata(self, valuelist: list[str]) -> None:
        """Keep the values that have the form of a key."""
        self.data = [value[:_KEY_LENGTH] for value in valuelist[:_MOST_CHILDREN]]


class NotGuardianForm(Form):
    """The children whose guardian the holder of a letter is not."""

    children = ChildrenField(_l("Élèves"), name="enfant", default=list)
