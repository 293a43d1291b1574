"""The base of all forms: French texts, lengths checked before anything is read, fields that nobody declared ignored."""

from typing import Any

import wtforms
from flask import request
from wtforms import StringField


class Form(wtforms.Form):  # type: ignore[misc]
    """A form of a page. `idp.web.security.csrf` has checked its token before any view runs.

    Only the body of a POST is read: a query string never fills a form.
    """

    class Meta:
        """French error texts."""

        locales = ("fr",)

    def __init__(self) -> None:
        super().__init__(request.form if request.method == "POST" else None)


class PlainField(StringField):  # type: ignore[misc]
    """A text field that takes what was typed, without surrounding spaces, and never more than `longest` characters."""

    def __init__(self, *args: Any, longest: int = 300, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.longest = longest

    def process_formdata(self, valuelist: list[str]) -> None:
        """Cut before stripping: cost must not grow with what was sent."""
        self.data = valuelist[0][: self.longest].replace("\x00", "").strip() if valuelist else ""


class SecretField(StringField):  # type: ignore[misc]
    """A password as it was typed, spaces included; too long a value is kept too long, so that it is refused."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Keep at most 2,000 characters: more than any rule accepts, so nothing is truncated into a right password."""
        self.data = valuelist[0][:2000] if valuelist else ""

    def _value(self) -> str:
        return ""
