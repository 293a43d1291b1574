"""The forms of an activation."""

from flask_babel import lazy_gettext as _l
from wtforms import Field

from idp.web.forms import Form, PlainField, SecretField

_MOST_CHILDREN = 100
_KEY_LENGTH = 32


class ActivationForm(Form):
    """A password twice and a mail address."""

    password = SecretField(_l("Nouveau mot de passe"), name="nouveau")
    confirmation = SecretField(_l("Confirmez le mot de passe"), name="confirmation")
    email = PlainField(_l("Adresse mail"), name="mail", longest=400)


class ChildrenField(Field):  # type: ignore[misc]
    """The keys of the children that are ticked; what was sent is cut, and not yet known to be a child's."""

    data: list[str]

    def process_formdata(self, valuelist: list[str]) -> None:
        """Keep what may be keys."""
        self.data = [value[:_KEY_LENGTH] for value in valuelist[:_MOST_CHILDREN]]


class NotGuardianForm(Form):
    """Whose guardian the holder of a letter is not."""

    children = ChildrenField(_l("Élèves"), name="enfant", default=list)
