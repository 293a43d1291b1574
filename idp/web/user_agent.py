"""A browser in plain words, from what it calls itself: « Téléphone Android, Chrome ».

Good enough for a person to recognise their own devices; nothing is decided by it, since a browser may say anything.
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
    # every browser claims to be several others: the most particular name comes first
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
    """What a browser runs on. `kind` is `phone`, `tablet`, `computer`, or empty when it does not say."""

    kind: str
    system: str
    browser: str

    @property
    def code(self) -> str:
        """The same in a form for the journal: `phone/Android/Chrome`."""
        return f"{self.kind}/{self.system}/{self.browser}"

    @property
    def name(self) -> str:
        """The device alone, in the reader's language: « Téléphone Android », « iPhone »."""
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
    """Return the device that a `User-Agent` header tells of; every text is accepted."""
    text = user_agent.casefold()
    system, kind = next(((name, kind) for mark, name, kind in _SYSTEMS if mark in text), ("", ""))
    if system == "Android" and "mobile" not in text:
        kind = "tablet"
    browser = next((name for mark, name in _BROWSERS if mark in text), "")
    return Device(kind, system, browser)


def from_code(code: str) -> Device:
    """Return the device that the journal keeps as `code`."""
    kind, _, rest = code.partition("/")
    system, _, browser = rest.partition("/")
    return Device(kind, system, browser)
