"""Describes a browser by its `User-Agent`: « Téléphone Android, Chrome ».

People recognise their devices by it. No decision depends on it.
"""

from dataclasses import dataclass

from flask_babel import gettext

_SYSTEMS = (
    # in this order: an iPad also says Macintosh, Android also says Linux
    ("ipad", "iPad", "tablet"),
    ("iphone", "iPhone", "phone"),
    ("android", "Android", "phone"),
    ("cros", "ChromeOS", "computer"),
    ("windows", "Windows", "computer"),
    ("macintosh", "Mac", "computer"),
    ("mac os", "Mac", "computer"),
    ("linux", "Linux", "computer"),
)
_BROWSERS = (
    # browsers also name other browsers: the most specific name is first
    ("edg", "Edge"),
    ("opr/", "Opera"),
    ("opera", "Opera"),
    ("samsungbrowser", "Samsung Internet"),
    ("duckduckgo", "DuckDuckGo"),
    ("firefox", "Firefox"),
    ("fxios", "Firefox"),
    ("crios", "Chrome"),
    ("chrome", "Chrome"),
    ("safari", "Safari"),
)


@dataclass(frozen=True)
class Device:
    """A device and its browser. `kind` is `phone`, `tablet`, `computer`, or empty if unknown."""

    kind: str
    system: str
    browser: str

    @property
    def code(self) -> str:
        """The form for the journal: `phone/Android/Chrome`."""
        return f"{self.kind}/{self.system}/{self.browser}"

    @property
    def name(self) -> str:
        """The device in the page's language: « Téléphone Android », « iPhone »."""
        if self.system in {"iPhone", "iPad"}:
            return self.system
        names: dict[str, str] = {
            "phone": gettext("Téléphone %(system)s", system=self.system),
            "tablet": gettext("Tablette %(system)s", system=self.system),
            "computer": gettext("Ordinateur %(system)s", system=self.system),
        }
        return names.get(self.kind) or str(gettext("Appareil inconnu"))

    @property
    def label(self) -> str:
        """Device and browser: « Ordinateur Windows, Firefox »."""
        return f"{self.name}, {self.browser}" if self.browser else self.name


def describe(user_agent: str) -> Device:
    """Return the device of a `User-Agent` header; any text is accepted."""
    text = user_agent.casefold()
    system, kind = next(((name, kind) for mark, name, kind in _SYSTEMS if mark in text), ("", ""))
    if system == "Android" and "mobile" not in text:
        kind = "tablet"
    browser = next((name for mark, name in _BROWSERS if mark in text), "")
    return Device(kind, system, browser)


def from_code(code: str) -> Device:
    """Return the device of a `code` of the journal."""
    kind, _, rest = code.partition("/")
    system, _, browser = rest.partition("/")
    return Device(kind, system, browser)
