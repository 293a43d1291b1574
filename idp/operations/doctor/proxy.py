"""Asks the public URL of the service what arrives through the proxies."""

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from idp.config import Settings
from idp.http_client.connections import Deadline, DeadlineSocket, connect, resolve, secure, tls_context
from idp.operations import proxies
from idp.operations.doctor.finding import Finding, Site
from idp.operations.health import ECHO_HEADER, sign_echo
from idp.origins import DEFAULT_PORTS

_SECONDS = 5.0
_LONGEST = 16 * 1024
_INVENTED = "203.0.113.99"
"""An IP that no machine has (RFC 5737): the request claims to come from it."""
_DECLARE = "set IDP_TRUSTED_PROXIES to the number of proxies that set X-Forwarded-For; with deploy/nginx.conf, 1"


@dataclass(frozen=True)
class Arrived:
    """What the service saw of a request.

    Attributes:
        ip: the IP that the request counts for.
        scheme: `http` or `https`.
        host: the header `Host`.
        has_forwarded: whether there was a header of a proxy.
    """

    ip: str
    scheme: str
    host: str
    has_forwarded: bool


def check(site: Site) -> Iterator[Finding]:
    """Ask the service by its public URL; it says what it saw to holders of the secret key only."""
    settings = site.settings
    try:
        status, answer = _ask(settings)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        advice = f"ask {settings.issuer}/healthz from another machine; check DNS, the proxy and its certificate"
        yield Finding("public URL", f"cannot be asked from here ({_reason(error)})", "unknown", advice)
        return
    seen = answer.get("seen")
    if status != http.HTTPStatus.OK or not isinstance(seen, dict):
        advice = "the proxy leads elsewhere, the service is stopped, or it has another secret key"
        yield Finding("public URL", f"status {status}, without what the service saw", "fault", advice)
        return
    yield from judge(settings, Arrived(**seen))


def judge(settings: Settings, seen: Arrived) -> Iterator[Finding]:
    """Judge what arrived, by the settings."""
    host = urlsplit(settings.issuer).netloc
    result = f"{seen.scheme}://{seen.host}, from {seen.ip}"
    if seen.ip == _INVENTED:
        advice = "visitors can choose their IP: lower IDP_TRUSTED_PROXIES, or let the proxy replace X-Forwarded-For"
        yield Finding("forwarded headers", f"{result}, which was invented", "fault", advice)
    elif not settings.trusted_proxies and (seen.has_forwarded and seen.scheme != urlsplit(settings.issuer).scheme):
        yield Finding("forwarded headers", f"{result}; they are ignored", "fault", _DECLARE)
    elif settings.trusted_proxies and not seen.has_forwarded:
        advice = "the proxy does not set X-Forwarded-For: all visitors share its limits"
        yield Finding("forwarded headers", f"{result}; there are none", "fault", advice)
    elif seen.scheme != urlsplit(settings.issuer).scheme:
        yield Finding("forwarded headers", result, "fault", "let the proxy set X-Forwarded-Proto")
    elif seen.host != host:
        yield Finding("forwarded headers", result, "warning", f"let the proxy pass Host: {host}")
    elif not settings.trusted_proxies and proxies.was_noticed():
        yield Finding("forwarded headers", "were ignored in the last week", "fault", _DECLARE)
    else:
        yield Finding("forwarded headers", result)


def _ask(settings: Settings) -> tuple[int, dict[str, Any]]:
    """Request `/healthz` by the public URL; return the status and the JSON."""
    parts, deadline = urlsplit(settings.issuer), Deadline(_SECONDS)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    headers = {
        "Host": parts.netloc,
        "User-Agent": "idp-doctor",
        "Connection": "close",
        "X-Forwarded-For": _INVENTED,
        ECHO_HEADER: sign_echo(settings),
    }
    with ExitStack() as opened:
        connected = opened.enter_context(connect(resolve(host, port, deadline), deadline))
        if parts.scheme == "https":
            context = tls_context(settings.ca_bundle)
            connected = opened.enter_context(secure(connected, host, deadline, context))
        connection = http.client.HTTPConnection(host, port)
        connection.sock = DeadlineSocket(connected, deadline, _LONGEST)
        connection.request("GET", "/healthz", headers=headers)
        response = connection.getresponse()
        try:
            answer = json.loads(response.read(_LONGEST))
        except ValueError:
            answer = {}
        return response.status, answer if isinstance(answer, dict) else {}


def _reason(error: Exception) -> str:
    return getattr(error, "verify_message", "") or getattr(error, "strerror", "") or type(error).__name__
