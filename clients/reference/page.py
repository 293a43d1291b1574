"""Parsing of a page of the provider: its title, its links and its forms."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Self

_LONGEST_TITLE = 80
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Input:
    """An `input` or a `button` of a form; `kind` is its `type`."""

    name: str
    kind: str
    value: str
    is_required: bool


@dataclass(frozen=True, slots=True)
class Form:
    """A form with the method POST."""

    action: str
    inputs: list[Input] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Input]:
        """Return the inputs of that kind."""
        return [form_input for form_input in self.inputs if form_input.kind == kind]

    def button(self, value: str) -> Input | None:
        """Return the submit button with that value, or None."""
        return next((button for button in self.of_kind("submit") if button.value == value), None)

    def hidden(self) -> dict[str, str]:
        """Return the names and values of the hidden inputs."""
        return {form_input.name: form_input.value for form_input in self.of_kind("hidden")}


class Page(HTMLParser):
    """The forms and links of a page, its URL and the HTTP status of the response."""

    def __init__(self, url: str, status: int) -> None:
        super().__init__()
        self.url, self.status = url, status
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._in_title = self._in_form = self._in_code = False
        self._title: list[str] = []
        self._code: list[str] = []

    @classmethod
    def read(cls, url: str, status: int, html: str) -> Self:
        """Parse a page."""
        page = cls(url, status)
        page.feed(html)
        page.close()
        return page

    @property
    def title(self) -> str:
        """The h1 of the page, safe to print on a terminal."""
        return printable(" ".join("".join(self._title).split()), _LONGEST_TITLE) or "a page without a title"

    @property
    def reason(self) -> str:
        """The page's `code` elements, which are written for the ENT's developers; may be empty."""
        return printable(" ".join("".join(self._code).split()), _LONGEST_REASON)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect links, forms and inputs."""
        attributes = dict(attrs)
        match tag:
            case "h1":
                self._in_title = True
            case "code":
                self._in_code = True
            case "a":
                self.links.append(attributes.get("href") or "")
            case "form":
                self._in_form = (attributes.get("method") or "").lower() == "post"
                if self._in_form:
                    self.forms.append(Form(attributes.get("action") or ""))
            case "input" | "button" if self._in_form:
                name = attributes.get("name") or ""
                kind = (attributes.get("type") or ("submit" if tag == "button" else "text")).lower()
                value = attributes.get("value") or ("on" if kind == "checkbox" else "")
                self.forms[-1].inputs.append(Input(name, kind, value, is_required="required" in attributes))

    def handle_endtag(self, tag: str) -> None:
        """Close the title, the code or the form."""
        self._in_code = self._in_code and tag != "code"
        self._in_title = self._in_title and tag != "h1"
        self._in_form = self._in_form and tag != "form"

    def handle_data(self, data: str) -> None:
        """Collect the text of the title and the reason."""
        if self._in_title:
            self._title.append(data)
        if self._in_code:
            self._code.append(data)


def printable(text: str, longest: int) -> str:
    """Return at most `longest` characters of an untrusted text, without terminal control characters."""
    return "".join(character for character in text if character.isprintable())[:longest]
