"""The IP, the user agent and the id of a request; its line in the log."""

import json
import secrets
from collections.abc import Iterable
from ipaddress import ip_address
from time import perf_counter
from typing import TYPE_CHECKING, Any

from flask import Flask, request
from structlog.contextvars import bind_contextvars, unbind_contextvars
from werkzeug.middleware.proxy_fix import ProxyFix

from idp.clock import now
from idp.config import Settings
from idp.logging import stamp, write
from idp.web import declarations
from idp.web.declarations import Declarations
from idp.web.http import current_request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_KEY = "idp.request_id"
ENDPOINT = "idp.endpoint"
"""The key of the endpoint's name in the WSGI environment, for the log."""
_LONGEST_METHOD = 20
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"


def configure(app: Flask, settings: Settings) -> None:
    """Give each request an id and a line in the log, and read the headers of the declared proxies.

    The last `trusted_proxies` hops of `X-Forwarded-For` and `-Proto` (or of `Forwarded`, without the first) are read;
    forwarded hosts are ignored.
    """
    app.before_request(_note_endpoint)
    logged = settings.log_level in {"DEBUG", "INFO"}
    app.wsgi_app = _Numbered(app.wsgi_app, declarations.of(app), logged=logged)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        fixed = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=0)
        app.wsgi_app = _Forwarded(fixed, count)  # type: ignore[method-assign]


def _note_endpoint() -> None:
    request.environ[ENDPOINT] = request.endpoint


class _Forwarded:
    """Normalises forwarded headers for werkzeug's `ProxyFix`: plain IPs, of the declared proxies only.

    Some proxies (Azure, IIS) send `ip:port` or `[v6]:port`, and `Forwarded` (RFC 7239) quotes such values. With the
    port, each connection would have rate limits of its own.

    Each proxy appends its hop. So the headers are split at every comma, even in quoted text, and the hops are counted
    from the right. With an open quotation mark of the client, werkzeug would find no hop or a wrong one, and would
    take the proxy for the client.
    """

    def __init__(self, app: "WSGIApplication", count: int) -> None:
        self._app = app
        self._count = count

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        hops, schemes = self._last(environ.get("HTTP_X_FORWARDED_FOR")), environ.get("HTTP_X_FORWARDED_PROTO")
        if hops is None and "HTTP_FORWARDED" in environ:
            elements = self._last(environ["HTTP_FORWARDED"]) or []
            hops = [_parameter(element, "for") for element in elements]
            schemes = ",".join(_parameter(element, "proto") for element in elements)
        if hops is not None:
            environ["HTTP_X_FORWARDED_FOR"] = ",".join(_listed(plain_ip(hop), "unknown") for hop in hops)
        if schemes is not None:
            former = environ["wsgi.url_scheme"]
            environ["HTTP_X_FORWARDED_PROTO"] = ",".join(_listed(part, former) for part in self._last(schemes) or [])
        return self._app(environ, start_response)

    def _last(self, header: str | None) -> list[str] | None:
        """Return the hops of the declared proxies, in their order, or None without the header."""
        return None if header is None else header.split(",")[-self._count :]


def _listed(hop: str, otherwise: str) -> str:
    """Return `hop` as one entry of a list, never empty: werkzeug would not count an empty last hop."""
    return hop.replace('"', "").strip() or otherwise


def _parameter(element: str, name: str) -> str:
    """Return a parameter of one element of `Forwarded`, such as `for="[2001:db8::1]:4711";proto=https`."""
    pairs = (part.partition("=") for part in element.split(";"))
    return next((value.strip().strip('"') for key, _, value in pairs if key.strip().lower() == name), "")


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


class _Numbered:
    """Binds an id to all log lines of a request, and logs method, endpoint, status and milliseconds.

    The path may have a secret (links of mails) and the IP is in the journal: neither is logged. The line does not pass
    through structlog, which would double its cost.
    """

    def __init__(self, app: "WSGIApplication", declared: Declarations, *, logged: bool) -> None:
        self._app = app
        self._declared = declared
        self._logged = logged

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start, status = perf_counter(), 500

        def note(line: str, *rest: Any) -> Any:
            nonlocal status
            status = int(line[:3])
            return start_response(line, *rest)

        environ[_KEY] = new_id = _new_id()
        bind_contextvars(request_id=new_id)
        try:
            return self._app(environ, note)
        finally:
            if self._logged and environ.get("PATH_INFO") not in self._declared.probes:
                write(_line(environ, status, perf_counter() - start))
            unbind_contextvars("request_id")


def _line(environ: "WSGIEnvironment", status: int, seconds: float) -> str:
    event = {
        "event": "request",
        "request_id": environ[_KEY],
        "method": environ["REQUEST_METHOD"][:_LONGEST_METHOD],
        "endpoint": environ.get(ENDPOINT),
        "status": status,
        "ms": round(seconds * 1000, 1),
        "level": "info",
        "timestamp": stamp(now()),
    }
    return json.dumps(event, ensure_ascii=True)


def remote_ip() -> str:
    """Return the IP of the browser or client, or an empty string."""
    return current_request().remote_ip


def user_agent() -> str:
    """Return the `User-Agent` header, 300 characters at most."""
    return current_request().user_agent


def request_id() -> str:
    """Return the id of this request on error pages, in the log and in the journal.

    An id such as 7F3K-92QD is short enough to read out on the phone.
    """
    environ = current_request().environ
    value: str = environ.get(_KEY) or environ.setdefault(_KEY, _new_id())
    return value


def _new_id() -> str:
    number = secrets.randbelow(len(_ALPHABET) ** 8)  # eight draws would cost 20 µs
    letters = "".join(_ALPHABET[number // len(_ALPHABET) ** place % len(_ALPHABET)] for place in range(8))
    return f"{letters[:4]}-{letters[4:]}"
