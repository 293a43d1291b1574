"""The one place that speaks HTTP to other machines: where to is checked first, and nothing is followed.

Others choose the address (an ENT's back channel, its keys), and it must not lead into this house's own network (OWASP
ASVS 5, V 1.3.6). The name is resolved once, every address that it has is checked, and the connection goes to one of
those: no library asks for the name a second time, which could then have another answer. No redirect is followed, and no
proxy of the environment is used.
"""

import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import urlencode, urlsplit

from idp.clock import now
from idp.config import Settings
from idp.config_rules import LOOPBACK
from idp.db import release_connection
from idp.http_client.connections import Address, Deadline, Wire, connect, resolve, secure, trust

TIMEOUT = 3.0
"""Seconds for the whole of a request: name, connection, TLS, answer."""
LONGEST_ANSWER = 64 * 1024
"""Bytes that are read of an answer's body; what follows is left."""
_LONGEST_HEAD = 16 * 1024
REST = 60.0
"""Seconds in which an address that let the time run out is not asked again: the outbox has others to serve. No other
address of that host rests with it, or one ENT could silence its neighbour there."""
_MOST_RESTING = 1000

_PORTS = {"https": 443, "http": 80}
_SAYS_ALL = frozenset({200, 204})
"""What a POST is answered with when all is well: nobody waits for more."""
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)
_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


class OutgoingError(Exception):
    """There was no answer. `reason` is for operators."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AddressRefusedError(OutgoingError):
    """Nothing was sent: the address is not one that this service may talk to."""


@dataclass(frozen=True)
class Answer:
    """What a server said: its status, `Retry-After` if it had one, and as much of the body as came in time."""

    status: int
    retry_after: timedelta | None
    body: bytes


@dataclass(frozen=True)
class _Target:
    url: str
    secure: bool
    host: str
    port: int
    authority: str
    path: str


class Outgoing:
    """Sends requests under the rules of `settings`; one for an application."""

    def __init__(self, settings: Settings) -> None:
        self._development = settings.development
        self._names, self._networks = _allowed(settings.outgoing_allow)
        self._resting: dict[str, float] = {}
        self._tls = trust(settings.ca_bundle)

    def post_form(self, url: str, fields: Mapping[str, str]) -> Answer:
        """Send a form by POST; return the answer, whatever its status.

        Raises:
            AddressRefusedError: the address may not be talked to.
            OutgoingError: no answer came.
        """
        return self._send(url, "POST", urlencode(fields).encode())

    def get(self, url: str) -> Answer:
        """Ask for a JSON document by GET; return the answer, whatever its status. See `post_form` for errors."""
        return self._send(url, "GET", None)

    def _send(self, url: str, method: str, body: bytes | None) -> Answer:
        release_connection()
        target = self._target(url)
        if self._resting.get(url, 0.0) > time.monotonic():
            raise OutgoingError("not asked: it let the time run out a moment ago")
        try:
            return self._exchange(target, method, body, Deadline(TIMEOUT))
        except TimeoutError as error:
            self._let_rest(url)
            raise OutgoingError(f"no answer within {TIMEOUT:g} seconds") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise OutgoingError(_said(error)) from error

    def _target(self, url: str) -> _Target:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError) as error:
            raise AddressRefusedError("not a web address") from error
        if not host or "@" in parts.netloc:
            raise AddressRefusedError("not a web address")
        if parts.scheme != "https" and not (self._development and host in LOOPBACK):
            raise AddressRefusedError("not https")
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        return _Target(url, parts.scheme == "https", host.removesuffix("."), port, parts.netloc, path)

    def _exchange(self, target: _Target, method: str, body: bytes | None, deadline: Deadline) -> Answer:
        places = resolve(target.host, target.port, deadline)
        self._check_addresses(target.host, (place.address for place in places))
        headers = {
            "Host": target.authority,
            "User-Agent": "scolarite-services",
            "Accept": "application/json",
            "Connection": "close",
            **({} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}),
        }
        with ExitStack() as opened:
            connected = opened.enter_context(connect(places, deadline))
            if target.secure:
                connected = opened.enter_context(secure(connected, target.host, deadline, self._tls))
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.sock = Wire(connected, deadline, _LONGEST_HEAD + LONGEST_ANSWER)
            connection.request(method, target.path, body, headers)
            response = connection.getresponse()
            content = b"" if body is not None and response.status in _SAYS_ALL else self._body(target, response)
            return Answer(response.status, _retry_after(response.getheader("Retry-After", "")), content)

    def _body(self, target: _Target, response: http.client.HTTPResponse) -> bytes:
        """Return the body, or nothing when it does not come: the status is the answer, the body explains it."""
        try:
            return response.read(LONGEST_ANSWER)
        except TimeoutError:
            self._let_rest(target.url)
        except (OSError, http.client.HTTPException, ValueError):
            pass
        return b""

    def _let_rest(self, url: str) -> None:
        moment = time.monotonic()
        if len(self._resting) >= _MOST_RESTING:
            self._resting = {one: until for one, until in self._resting.items() if until > moment}
        self._resting[url] = moment + REST

    def _check_addresses(self, host: str, addresses: Iterable[Address]) -> None:
        """Refuse a name that has any address that is not public, unless the operator allowed the name or the address.

        Raises:
            AddressRefusedError: it is refused.
        """
        if host in self._names:
            return
        for address in addresses:
            allowed = any(address in network for network in self._networks)
            if not (allowed or (self._development and address.is_loopback) or is_public(address)):
                raise AddressRefusedError("its address is not a public one, and IDP_OUTGOING_ALLOW does not name it")


def is_public(address: Address) -> bool:
    """Return whether an address is one of the open Internet, and so is the one that it leads to by translation."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if address in _NAT64:
        return is_public(IPv4Address(address.packed[-4:]))
    if address.sixtofour is not None and not is_public(address.sixtofour):
        return False
    return address in _UNICAST and address.is_global


def _allowed(entries: tuple[str, ...]) -> tuple[frozenset[str], tuple[IPv4Network | IPv6Network, ...]]:
    """Return the names and the networks of `IDP_OUTGOING_ALLOW`, which was checked when it was read."""
    names: list[str] = []
    networks: list[Any] = []
    for entry in entries:
        try:
            networks.append(ip_network(entry))
        except ValueError:
            names.append(entry.lower())
    return frozenset(names), tuple(networks)


def _retry_after(value: str) -> timedelta | None:
    """Read `Retry-After`: seconds, or a date (RFC 9110 10.2.3); None when it is neither, or has passed."""
    if _SECONDS.fullmatch(value):
        return timedelta(seconds=int(value))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now()
    return wait if wait > timedelta() else None


def _said(error: Exception) -> str:
    """Say in a few words what went wrong on the wire."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not good: {error.verify_message}"
        case ssl.SSLError():
            return f"no TLS: {error.reason or type(error).__name__}"
        case socket.gaierror() | UnicodeError():
            return "its name is not known"
        case http.client.HTTPException() | ValueError():
            return "it does not speak HTTP"
        case OSError(strerror=str() as said):
            return said
        case _:
            return type(error).__name__
