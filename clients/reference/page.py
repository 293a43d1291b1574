"""A page of the provider as somebody reads it who has no browser: its title, its links, its forms (stdlib alone)."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Self

_LONGEST_TITLE = 80
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Input:
    """What a form asks for: an `input` or a `button`, whose kind is its `type`."""

    name: str
    kind: str
    value: str
    is_required: bool


@dataclass(frozen=True, slots=True)
class Form:
    """A form that is posted to `action`."""

    action: str
    inputs: list[Input] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Input]:
        """Return the inputs of that type."""
        return [given for given in self.inputs if given.kind == kind]

    def button(self, value: str) -> Input | None:
        """Return the button that stands for that value."""
        return next((given for given in self.of_kind("submit") if given.value == value), None)

    def hidden(self) -> dict[str, str]:
        """Return what the page sends along by itself."""
        return {given.name: given.value for given in self.of_kind("hidden")}


class Page(HTMLParser):
    """What can be done with a page. `url` is where it stands, `status` how it was answered."""

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
        """Read a page."""
        page = cls(url, status)
        page.feed(html)
        page.close()
        return page

    @property
    def title(self) -> str:
        """The heading of the page, safe to be printed on a terminal."""
        return printable(" ".join("".join(self._title).split()), _LONGEST_TITLE) or "a page without a title"

    @property
    def reason(self) -> str:
        """What the page tells the ENT's developers, for it is in no person's words; empty when it tells nothing."""
        return printable(" ".join("".join(self._code).split()), _LONGEST_REASON)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what counts."""
        given = dict(attrs)
        match tag:
            case "h1":
                self._in_title = True
            case "code":
                self._in_code = True
            case "a":
                self.links.append(given.get("href") or "")
            case "form":
                self._in_form = (given.get("method") or "").lower() == "post"
                if self._in_form:
                    self.forms.append(Form(given.get("action") or ""))
            case "input" | "button" if self._in_form:
                kind = (given.get("type") or ("submit" if tag == "button" else "text")).lower()
                named = given.get("name") or "", kind, given.get("value") or ("on" if kind == "checkbox" else "")
                self.forms[-1].inputs.append(Input(*named, is_required="required" in given))

    def handle_endtag(self, tag: str) -> None:
        """Note where a title, a reason or a form ends."""
        self._in_code = self._in_code and tag != "code"
        self._in_title = self._in_title and tag != "h1"
        self._in_form = self._in_form and tag != "form"

    def handle_data(self, data: str) -> None:
        """Keep the title and the reason."""
        if self._in_title:
            self._title.append(data)
        if self._in_code:
            self._code.append(data)


def printable(text: str, longest: int) -> str:
    """Return the beginning of a text that came from elsewhere, without what a terminal would obey."""
    return "".join(character for character in text if character.isprintable())[:longest]
