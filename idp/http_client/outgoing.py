"""Sends HTTP requests to other machines, with a guard against requests to the internal network (SSRF).

ENTs choose the URL (of their back channel, of their keys), and it must not lead into the internal network (OWASP ASVS
5, V 1.3.6). The host is resolved once, all its IPs are checked, and the connection goes to one of them: a second
resolution could return another IP (DNS rebinding). No redirect is followed, and no proxy of the environment is used.
"""

import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import urlencode, urlsplit

from idp.clock import now
from idp.config import LOOPBACK, Settings
from idp.db import release_connection
from idp.http_client.connections import Deadline, DeadlineSocket, Ip, connect, resolve, secure, tls_context
from idp.origins import DEFAULT_PORTS

TIMEOUT = 3.0  # the deadline of a request in seconds, from name resolution to the end of the response
_LONGEST_BODY = 64 * 1024  # how many bytes of the body of a response are read; the rest is ignored
_LONGEST_HEAD = 16 * 1024
REST = 60.0
"""Seconds in which a URL that timed out is not requested again, so that the outbox serves the other ENTs. Other URLs of
the same host are still requested: one ENT must not silence its neighbour there."""
_MOST_RESTING = 1000

_COMPLETE = frozenset({200, 204})  # the statuses of a successful `post_form`, whose body nobody reads
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)
_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


class OutgoingError(Exception):
    """There is no response. `reason` is for operators."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UrlRefusedError(OutgoingError):
    """Nothing was sent: this service must not request the URL."""


@dataclass(frozen=True)
class Answer:
    """The response of a server: its status, `Retry-After` and `Location` if any, and the body that arrived in time."""

    status: int
    retry_after: timedelta | None
    body: bytes
    location: str = ""


@dataclass(frozen=True)
class _Target:
    url: str
    secure: bool
    host: str
    port: int
    authority: str
    path: str


class Outgoing:
    """Sends requests by the rules of the settings; each application has one."""

    def __init__(self, settings: Settings) -> None:
        self._development = settings.development
        self._names, self._networks = _allowed(settings.outgoing_allow)
        self._resting: dict[str, float] = {}
        self._authorities = settings.ca_bundle

    def post_form(self, url: str, fields: Mapping[str, str]) -> Answer:
        """Send a form by POST; return the response, whatever its status.

        Raises:
            UrlRefusedError: this service must not request the URL.
            OutgoingError: there is no response.
        """
        return self._send(url, "POST", urlencode(fields).encode())

    def exchange_form(self, url: str, fields: Mapping[str, str], authorization: str) -> Answer:
        """Send a form with an `Authorization` header by POST, and read the body of the response too.

        Errors are those of `post_form`.
        """
        return self._send(url, "POST", urlencode(fields).encode(), authorization)

    def get(self, url: str) -> Answer:
        """Request a JSON document by GET; return the response, whatever its status. Errors are those of `post_form`.

        A URL does not rest: somebody waits for the document.
        """
        self._resting.pop(url, None)
        return self._send(url, "GET", None)

    def certificate_end(self, url: str) -> datetime | None:
        """Return when the certificate of the URL's host ends, or None for http; nothing is requested.

        Errors are those of `post_form`.
        """
        target, deadline = self._target(url), Deadline(TIMEOUT)
        try:
            with ExitStack() as opened:
                connected = self._connect(target, deadline, opened)
                certificate = connected.getpeercert() if isinstance(connected, ssl.SSLSocket) else None
        except TimeoutError as error:
            raise OutgoingError(f"no connection within {TIMEOUT:g} seconds") from error
        except (OSError, ValueError) as error:
            raise OutgoingError(_reason(error)) from error
        if not certificate:
            return None
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)

    def _send(self, url: str, method: str, body: bytes | None, authorization: str = "") -> Answer:
        release_connection()
        target = self._target(url)
        if self._resting.get(url, 0.0) > time.monotonic():
            raise OutgoingError("not requested: the last request timed out less than a minute ago")
        try:
            return self._exchange(target, method, body, Deadline(TIMEOUT), authorization)
        except TimeoutError as error:
            self._rest(url)
            raise OutgoingError(f"no response within {TIMEOUT:g} seconds") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise OutgoingError(_reason(error)) from error

    def _target(self, url: str) -> _Target:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme]
        except (ValueError, KeyError) as error:
            raise UrlRefusedError("not a web URL") from error
        if not host or "@" in parts.netloc:
            raise UrlRefusedError("not a web URL")
        if parts.scheme != "https" and not (self._development and host in LOOPBACK):
            raise UrlRefusedError("not https")
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        return _Target(url, parts.scheme == "https", host.removesuffix("."), port, parts.netloc, path)

    def _exchange(
        self, target: _Target, method: str, body: bytes | None, deadline: Deadline, authorization: str
    ) -> Answer:
        headers = {
            "Host": target.authority,
            "User-Agent": "scolarite-services",
            "Accept": "application/json",
            "Connection": "close",
            **({} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}),
            **({"Authorization": authorization} if authorization else {}),
        }
        with ExitStack() as opened:
            connected = self._connect(target, deadline, opened)
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.sock = DeadlineSocket(connected, deadline, _LONGEST_HEAD + _LONGEST_BODY)
            connection.request(method, target.path, body, headers)
            response = connection.getresponse()
            nobody_reads = body is not None and not authorization and response.status in _COMPLETE
            content = b"" if nobody_reads else self._body(target, response)
            retry_after = _retry_after(response.getheader("Retry-After", ""))
            return Answer(response.status, retry_after, content, response.getheader("Location", ""))

    def _connect(self, target: _Target, deadline: Deadline, opened: ExitStack) -> socket.socket:
        endpoints = resolve(target.host, target.port, deadline)
        self._check_ips(target.host, (endpoint.ip for endpoint in endpoints))
        connected = opened.enter_context(connect(endpoints, deadline))
        if target.secure:
            context = tls_context(self._authorities)
            connected = opened.enter_context(secure(connected, target.host, deadline, context))
        return connected

    def _body(self, target: _Target, response: http.client.HTTPResponse) -> bytes:
        """Return the body, or nothing if it does not arrive: the status alone is a valid response."""
        try:
            return response.read(_LONGEST_BODY)
        except TimeoutError:
            self._rest(target.url)
        except (OSError, http.client.HTTPException, ValueError):
            pass
        return b""

    def _rest(self, url: str) -> None:
        moment = time.monotonic()
        if len(self._resting) >= _MOST_RESTING:
            self._resting = {origin: until for origin, until in self._resting.items() if until > moment}
        self._resting[url] = moment + REST

    def _check_ips(self, host: str, ips: Iterable[Ip]) -> None:
        """Refuse a host that has an IP which is not public, unless the operator allowed the host or the IP."""
        if host in self._names:
            return
        for ip in ips:
            allowed = any(ip in network for network in self._networks)
            if not (allowed or (self._development and ip.is_loopback) or is_public(ip)):
                raise UrlRefusedError("the IP of the host is not public, and IDP_OUTGOING_ALLOW does not name it")


def is_public(ip: Ip) -> bool:
    """Return whether an IP is public; an IPv6 that is translated to an IPv4 is public if both are."""
    if isinstance(ip, IPv4Address):
        return ip.is_global and not ip.is_multicast
    if ip in _NAT64:
        return is_public(IPv4Address(ip.packed[-4:]))
    if ip.sixtofour is not None and not is_public(ip.sixtofour):
        return False
    return ip in _UNICAST and ip.is_global


def _allowed(entries: tuple[str, ...]) -> tuple[frozenset[str], tuple[IPv4Network | IPv6Network, ...]]:
    names: list[str] = []
    networks: list[Any] = []
    for entry in entries:
        try:
            networks.append(ip_network(entry))
        except ValueError:
            names.append(entry.lower())
    return frozenset(names), tuple(networks)


def _retry_after(value: str) -> timedelta | None:
    """Return the time that `Retry-After` asks for, in seconds or as a date (RFC 9110, 10.2.3); None if it is over."""
    if _SECONDS.fullmatch(value):
        return timedelta(seconds=int(value))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now()
    return wait if wait > timedelta() else None


def _reason(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"invalid certificate: {error.verify_message}"
        case ssl.SSLError():
            return f"no TLS: {error.reason or type(error).__name__}"
        case socket.gaierror() | UnicodeError():
            return "unknown host"
        case http.client.HTTPException() | ValueError():
            return "not an HTTP response"
        case OSError(strerror=str() as text):
            return text
        case _:
            return type(error).__name__
