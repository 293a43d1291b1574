"""The forms of the desk's sign-in."""

from typing import Any

from flask_babel import lazy_gettext as _l

from idp.desk.kept_forms.forms import DeskForm
from idp.web.forms import Form, PlainField, SecretField


class AnswerField(PlainField):
    """The answer of the browser's passkey in JSON. It is longer than a password may be, and is never shown again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, longest=16 * 1024, **kwargs)

    def _value(self) -> str:
        return ""


class PasskeyForm(Form):
    """The answer of the browser's passkey, in JSON; the page's script fills it in."""

    passkey = AnswerField()

    @property
    def answer(self) -> str:
        """The answer, empty without a script."""
        return self.passkey.data or ""


class CodeForm(Form):
    """The fallback: mail address, password and code together."""

    email = PlainField(_l("Adresse mail"))
    password = SecretField(_l("Mot de passe"))
    code = PlainField(_l("Code"), longest=40)


class ProofForm(Form):
    """The fallback of a person who is signed in: password and code."""

    password = SecretField(_l("Mot de passe"))
    code = PlainField(_l("Code"), longest=40)


class EnrolForm(DeskForm):
    """The enrolment of a password with a code, and the name of a passkey."""

    passkey = AnswerField()
    passkey_name = PlainField(_l("Nom de la clé"), longest=60)
    password = SecretField(_l("Mot de passe"))
    ceremony = PlainField(longest=40)
    code = PlainField(_l("Code"), longest=12)
