"""The base class of forms, and fields with a maximum length."""

from typing import Any

import wtforms
from wtforms import StringField

from idp.web.http import current_request


class Form(wtforms.Form):  # type: ignore[misc]
    """A form that is filled from the body of a POST, never from the query string.

    `idp.web.security` checks its form token before the view runs. A form that is shown again in another language is
    filled too, and not judged.
    """

    class Meta:
        """The language of error texts."""

        locales = ("fr",)

    def __init__(self) -> None:
        request = current_request()
        is_filled = request.method == "POST" or request.shows_again
        super().__init__(request.fields if is_filled else None)


class PlainField(StringField):  # type: ignore[misc]
    """A text field that strips spaces and keeps at most `longest` characters."""

    def __init__(self, *args: Any, longest: int = 300, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.longest = longest

    def process_formdata(self, valuelist: list[str]) -> None:
        """Cut, then strip, so that the cost is bounded."""
        self.data = valuelist[0][: self.longest].replace("\x00", "").strip() if valuelist else ""


class SecretField(StringField):  # type: ignore[misc]
    """A password field that keeps spaces, and is never shown again."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Keep at most 2,000 characters: more than any rule accepts, so that a longer password stays invalid."""
        self.data = valuelist[0][:2000] if valuelist and not current_request().shows_again else ""

    def _value(self) -> str:
        return ""
