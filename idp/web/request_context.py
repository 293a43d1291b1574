"""The IP, the device and the id of a request, also behind the declared proxies."""

import os
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from flask_babel import gettext

from idp.web.http import IP_LENGTH, Request, current_request

_ALPHABET = b"23456789ABCDEFGHJKMNPQRSTVWXYZ"
# The letter for each random byte. Some are a little more frequent, which does not matter: an id is no secret.
_LETTERS = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))


def remote_ip() -> str:
    """Return the IP of the browser or client, or an empty string."""
    return current_request().remote_ip


def user_agent() -> str:
    """Return the `User-Agent` header, 300 characters at most."""
    return current_request().user_agent


def request_id() -> str:
    """Return the id of this request on error pages, in the log and in the journal."""
    request = current_request()
    request.id = request.id or new_id()
    return request.id


def new_id() -> str:
    """Return an id such as 7F3K-92QD."""
    letters = os.urandom(8).translate(_LETTERS).decode()
    return f"{letters[:4]}-{letters[4:]}"


def read_forwarded(request: Request, count: int) -> None:
    """Set the IP and the scheme of a request that passed `count` proxies. Forwarded hosts are ignored.

    Some proxies (Azure, IIS) send `ip:port` or `[v6]:port`, and `Forwarded` (RFC 7239) quotes such values. With the
    port, each connection would have rate limits of its own.

    Each proxy appends its hop. So the headers are split at every comma, even in quoted text, and the hops are counted
    from the right. `ProxyFix` of Werkzeug reads quoted text as one hop: with an open quotation mark of the client it
    would take the proxy for the client.
    """
    hop, scheme = _hop(request, "X-Forwarded-For", count), _hop(request, "X-Forwarded-Proto", count)
    if hop is None and not request.has_header("X-Forwarded-For"):
        element = _hop(request, "Forwarded", count)
        if element is not None:
            hop, scheme = _parameter(element, "for"), _parameter(element, "proto")
    if hop is not None:
        request.remote_ip = (plain_ip(hop).replace('"', "").strip() or "unknown")[:IP_LENGTH]
    if scheme:
        request.scheme = scheme.replace('"', "").strip() or request.scheme


def _hop(request: Request, name: str, count: int) -> str | None:
    """Return the entry of the first declared proxy, or None if the header is missing or has fewer entries."""
    if not request.has_header(name):
        return None
    hops = request.header(name).split(",")
    return hops[-count] if len(hops) >= count else None


def _parameter(element: str, name: str) -> str:
    """Return a parameter of one element of `Forwarded`, such as `for="[2001:db8::1]:4711";proto=https`."""
    pairs = (part.partition("=") for part in element.split(";"))
    return next((value.strip().strip('"') for key, _, value in pairs if key.strip().lower() == name), "")


@lru_cache(maxsize=1024)
def plain_ip(node: str) -> str:
    """Return the IP of a node of a forwarded header, without quotes, brackets and port; other texts unchanged."""
    text = node.strip().strip('"').strip()
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        return str(ip_address(host))
    except ValueError:
        return text


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


def describe_device(user_agent: str) -> Device:
    """Return the device of a `User-Agent` header, of any text: people recognise theirs by it."""
    text = user_agent.casefold()
    system, kind = next(((name, kind) for mark, name, kind in _SYSTEMS if mark in text), ("", ""))
    if system == "Android" and "mobile" not in text:
        kind = "tablet"
    browser = next((name for mark, name in _BROWSERS if mark in text), "")
    return Device(kind, system, browser)


def device_of_code(code: str) -> Device:
    """Return the device of a `code` of the journal."""
    kind, _, rest = code.partition("/")
    system, _, browser = rest.partition("/")
    return Device(kind, system, browser)
