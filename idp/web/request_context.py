"""The IP, the user agent and the id of a request; its line in the log."""

import json
import os
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from time import perf_counter
from typing import TYPE_CHECKING, Any

from flask import Flask, request
from structlog.contextvars import bind_contextvars, unbind_contextvars

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
_ALPHABET = b"23456789ABCDEFGHJKMNPQRSTVWXYZ"
_LETTERS = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))
"""The letter for each random byte. Some are a little more frequent, which does not matter: an id is no secret."""


def configure(app: Flask, settings: Settings) -> None:
    """Give each request an id and a line in the log, and read the headers of the declared proxies.

    The last `trusted_proxies` hops of `X-Forwarded-For` and `-Proto` (or of `Forwarded`, without the first) are read;
    forwarded hosts are ignored.
    """
    app.before_request(_note_endpoint)
    logged = settings.log_level in {"DEBUG", "INFO"}
    app.wsgi_app = _Numbered(app.wsgi_app, declarations.of(app), logged=logged)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        app.wsgi_app = _Forwarded(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]


def _note_endpoint() -> None:
    request.environ[ENDPOINT] = request.endpoint


class _Forwarded:
    """Sets the IP and the scheme of a request from the headers of the declared proxies.

    Some proxies (Azure, IIS) send `ip:port` or `[v6]:port`, and `Forwarded` (RFC 7239) quotes such values. With the
    port, each connection would have rate limits of its own.

    Each proxy appends its hop. So the headers are split at every comma, even in quoted text, and the hops are counted
    from the right. `ProxyFix` of Werkzeug reads quoted text as one hop: with an open quotation mark of the client it
    would take the proxy for the client.
    """

    def __init__(self, app: "WSGIApplication", count: int) -> None:
        self._app = app
        self._count = count

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        hop, scheme = (self._hop(environ.get(name)) for name in ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"))
        if "HTTP_X_FORWARDED_FOR" not in environ and "HTTP_FORWARDED" in environ:
            element = self._hop(environ["HTTP_FORWARDED"])
            if element is not None:
                hop, scheme = _parameter(element, "for"), _parameter(element, "proto")
        if hop is not None:
            environ["REMOTE_ADDR"] = plain_ip(hop).replace('"', "").strip() or "unknown"
        if scheme:
            environ["wsgi.url_scheme"] = scheme.replace('"', "").strip() or environ["wsgi.url_scheme"]
        return self._app(environ, start_response)

    def _hop(self, header: str | None) -> str | None:
        """Return the entry of the first declared proxy, or None if the header is missing or has fewer entries."""
        hops = header.split(",") if header is not None else []
        return hops[-self._count] if len(hops) >= self._count else None


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
    """Return the line as JSON: `json.dumps` of the whole would take three times as long."""
    method, endpoint = (
        json.dumps(text) for text in (environ["REQUEST_METHOD"][:_LONGEST_METHOD], environ.get(ENDPOINT))
    )
    return (
        f'{{"event": "request", "request_id": "{environ[_KEY]}", "method": {method}, "endpoint": {endpoint}, '
        f'"status": {status}, "ms": {seconds * 1000:.1f}, "level": "info", "timestamp": "{stamp(now())}"}}'
    )


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
    letters = os.urandom(8).translate(_LETTERS).decode()
    return f"{letters[:4]}-{letters[4:]}"
