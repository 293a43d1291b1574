"""The form fields of a passkey; the page's script fills in the browser's answer."""

from typing import Any

from flask import Response, jsonify
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField

from idp.passkeys.ceremony import LONGEST_ANSWER
from idp.web.forms import Form, PlainField


class AnswerField(PlainField):
    """The answer of the browser's passkey in JSON. It is longer than a password may be, and is never shown again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, longest=LONGEST_ANSWER, **kwargs)

    def _value(self) -> str:
        return ""


class RemovalField(BooleanField):  # type: ignore[misc]
    """« Retirer aussi toutes mes clés d’accès », beside a new password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(_l("Retirer aussi toutes mes clés d’accès"), *args, **kwargs)


class PasskeyForm(Form):
    """The answer of the browser's passkey."""

    passkey = AnswerField()

    @property
    def answer(self) -> str:
        """The answer, empty without a script."""
        return self.passkey.data or ""


def as_json(options: str) -> Response:
    """Return options for the browser's passkeys, which are JSON already."""
    response = jsonify()
    response.set_data(options)
    return response
