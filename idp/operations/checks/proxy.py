"""Asks the public URLs of the service and of the desk what arrives through the proxies, and each node what it runs."""

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, get_type_hints
from urllib.parse import urlsplit

from idp import __version__
from idp.clock import now
from idp.config import Settings, desk_faults
from idp.http_client.connections import Deadline, DeadlineSocket, connect, resolve, secure, tls_context
from idp.node import Failures
from idp.operations import health
from idp.operations.checks.finding import Finding, Site
from idp.operations.health import ECHO_HEADER, Readiness, fingerprints, sign_echo
from idp.origins import DEFAULT_PORTS

_Kind = TypeVar("_Kind")
_SECONDS = 10.0  # longer than the service waits for its database, before it says that it is not ready
_LONGEST = 16 * 1024
_INVENTED = "203.0.113.99"  # an IP that no machine has (RFC 5737): the request claims to come from it
_SOON = timedelta(days=21)
_RECENT_MINUTES = 24 * 60
_DECLARE = "set IDP_TRUSTED_PROXIES to the number of proxies that set X-Forwarded-For; with deploy/nginx.conf, 1"


@dataclass(frozen=True)
class Arrived:
    """What the service saw of a request.

    Attributes:
        ip: the IP that the request counts for.
        has_forwarded: whether there was a header of a proxy.
    """

    ip: str
    scheme: str
    host: str
    has_forwarded: bool
    is_desk: bool = False


@dataclass(frozen=True)
class Answer:
    """The answer of a public URL: its status, its JSON, and when the certificate ends, if there is one."""

    status: int
    json: dict[str, Any]
    certificate_end: datetime | None

    @property
    def seen(self) -> Arrived | None:
        """What arrived; None from something else than this service, or under another secret key."""
        return _read(Arrived, self.json.get("seen")) if self.status == http.HTTPStatus.OK else None

    @property
    def readiness(self) -> Readiness:
        """Whether the process that answered can serve requests; a release before this one does not say it."""
        return _read(Readiness, self.json.get("readiness")) or Readiness("unknown")

    @property
    def failures(self) -> Failures:
        """How many of the node's worker processes failed; none if the release does not say it."""
        return _read(Failures, self.json.get("failures")) or Failures()


def _read(kind: type[_Kind], content: object) -> _Kind | None:
    """Return what an answer says, without names that this release does not know; None if what it needs is missing."""
    if not isinstance(content, dict):
        return None
    types = get_type_hints(kind)
    known = {name: content[name] for name in types if isinstance(content.get(name), types[name])}
    try:
        return kind(**known)
    except TypeError:
        return None


def check(site: Site) -> Iterator[Finding]:
    """Ask the service by its public URL; it says what it saw to holders of the secret key only."""
    settings, name = site.settings, "public URL"
    answer = _asked(settings, settings.issuer, name)
    if isinstance(answer, Finding):
        yield answer
    elif answer.seen:
        yield _of_certificate(name, settings.issuer, answer.certificate_end)
        yield _of_readiness("readiness", answer.readiness)
        yield from _of_failures("worker processes", answer.failures)
        yield from judge(settings, answer.seen)


def check_desk(site: Site) -> Iterator[Finding]:
    """Ask the desk by its own URL: whether it answers there, under which certificate, and on a host of its own."""
    settings, name = site.settings, "desk URL"
    url = settings.desk_url
    if not url:
        yield Finding(name, "none: IDP_DESK_URL is empty, there is no desk")
        return
    for fault in desk_faults(url, settings.issuer):
        yield Finding(name, fault, "fault", "give the desk a host of its own, with the scheme of IDP_ISSUER")
    answer = _asked(settings, url, name)
    if isinstance(answer, Finding):
        yield answer
        return
    if not (answer.seen and answer.seen.is_desk):
        advice = "let the proxy of this host lead to `idp desk serve`, as deploy/nginx-desk.conf does"
        yield Finding(name, f"{url} leads to the service of parents", "fault", advice)
        return
    yield _of_certificate(name, url, answer.certificate_end)
    yield _of_readiness("readiness of the desk", answer.readiness)
    yield from _of_failures("worker processes of the desk", answer.failures)
    yield from judge(settings, answer.seen, url, "forwarded headers of the desk")


def check_nodes(site: Site) -> Iterator[Finding]:
    """Yield one finding for each node that the operator names."""
    for url in site.nodes:
        yield _of_node(site, url)


def _of_node(site: Site, url: str) -> Finding:
    name = f"node {url}"
    try:
        answer = ask(site.settings, url, urlsplit(site.settings.issuer).netloc)
    except (ssl.SSLError, OSError, http.client.HTTPException, UnicodeError) as error:
        return Finding(name, f"cannot be asked ({reason(error)})", "fault", "start it: systemctl status idp-serve")
    process = answer.json.get("process")
    if answer.seen is None or not isinstance(process, dict):
        advice = "the URL leads elsewhere, or the node has another secret key or an older release"
        return Finding(name, f"status {answer.status}, without what runs there", "fault", advice)
    version, theirs = str(process.get("version", "")), process.get("settings")
    result = f"version {version}, {answer.readiness.status}"
    if version != __version__:
        return Finding(name, result, "warning", f"this command is of version {__version__}: upgrade all nodes")
    ours, theirs = fingerprints(site.settings), theirs if isinstance(theirs, dict) else {}
    if different := [setting for setting in ours if ours[setting] != theirs.get(setting)]:
        advice = "give all nodes one file of settings, and restart this one"
        return Finding(name, f"{result}, runs with another {', '.join(different)}", "fault", advice)
    if answer.readiness.status != "ok":
        return Finding(name, result, "fault", answer.readiness.cause.removesuffix(".") or "see its log")
    fine = Finding(name, f"{result}, runs with the settings of this command")
    return next(_of_failures(name, answer.failures, f"{result}; of its worker processes "), fine)


def _of_certificate(name: str, url: str, end: datetime | None) -> Finding:
    if end is None:
        return Finding(name, f"{url} answers, without TLS")
    if end - now() < _SOON:
        return Finding(name, f"{url}: its certificate ends on {end:%Y-%m-%d}", "warning", "renew the certificate")
    return Finding(name, f"{url} answers; certificate valid until {end:%Y-%m-%d}")


def _of_readiness(name: str, readiness: Readiness) -> Finding:
    """Judge what the running service says of itself: it has another user than this command, and older settings."""
    if readiness.status == "ok":
        return Finding(name, "the running service can serve requests")
    if readiness.status == "unknown":
        return Finding(name, "the running service does not say it", "unknown", "restart it with this release")
    advice = readiness.cause.removesuffix(".") or "see its log and the other lines, and ask its /readyz again"
    return Finding(name, f"the running service is not ready: {readiness.status}", "fault", advice)


def _of_failures(name: str, failures: Failures, result: str = "") -> Iterator[Finding]:
    if failures.number and failures.minutes < _RECENT_MINUTES:
        result += f"{failures.number} failed since the start of the node, the last one {failures.minutes} minutes ago"
        yield Finding(name, result, "warning", "its log says how (server.worker_failed), docs/alertes.md what to do")


def _asked(settings: Settings, url: str, name: str) -> Answer | Finding:
    """Return the answer of a public URL, or why it is none of this service."""
    try:
        answer = ask(settings, url)
    except ssl.SSLError as error:
        advice = f"renew or repair the certificate of {url}; an authority of your own belongs into IDP_CA_BUNDLE"
        return Finding(name, f"TLS failed: {reason(error)}", "fault", advice)
    except ConnectionRefusedError:
        advice = "start the proxy (systemctl status nginx), and see that it listens on this port"
        return Finding(name, f"{url}: the connection is refused", "fault", advice)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        advice = f"ask {url.rstrip('/')}/healthz from another machine; check DNS, the proxy and its certificate"
        return Finding(name, f"cannot be asked from here ({reason(error)})", "unknown", advice)
    if answer.seen is None:
        advice = "the proxy leads elsewhere, the service is stopped, or it has another secret key"
        return Finding(name, f"status {answer.status}, without what the service saw", "fault", advice)
    return answer


def judge(settings: Settings, seen: Arrived, url: str = "", name: str = "forwarded headers") -> Iterator[Finding]:
    """Judge what arrived at a public URL, by default that of the service, by the settings."""
    public = urlsplit(url or settings.issuer)
    result = f"{seen.scheme}://{seen.host}, from {seen.ip}"
    if seen.ip == _INVENTED:
        advice = "visitors can choose their IP: lower IDP_TRUSTED_PROXIES, or let the proxy replace X-Forwarded-For"
        yield Finding(name, f"{result}, which was invented", "fault", advice)
    elif not settings.trusted_proxies and (seen.has_forwarded and seen.scheme != public.scheme):
        yield Finding(name, f"{result}; they are ignored", "fault", _DECLARE)
    elif settings.trusted_proxies and not seen.has_forwarded:
        advice = "the proxy does not set X-Forwarded-For: all visitors share its limits"
        yield Finding(name, f"{result}; there are none", "fault", advice)
    elif seen.scheme != public.scheme:
        advice = "let the proxy set X-Forwarded-Proto"
        if settings.trusted_proxies > 1:
            advice = "fewer proxies set X-Forwarded-Proto than IDP_TRUSTED_PROXIES says: lower it"
        yield Finding(name, result, "fault", advice)
    elif seen.host != public.netloc:
        yield Finding(name, result, "warning", f"let the proxy pass Host: {public.netloc}")
    elif not settings.trusted_proxies and health.was_proxy_noticed():
        yield Finding(name, "were ignored in the last week", "fault", _DECLARE)
    else:
        yield Finding(name, result)


def ask(settings: Settings, url: str, host_header: str = "") -> Answer:
    """Request `/healthz` by a URL, by default under the host of that URL."""
    parts, deadline = urlsplit(url), Deadline(_SECONDS)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    headers = {
        "Host": host_header or parts.netloc,
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
        end = _end_of(connected.getpeercert()) if isinstance(connected, ssl.SSLSocket) else None
        connection = http.client.HTTPConnection(host, port)
        connection.sock = DeadlineSocket(connected, deadline, _LONGEST)
        connection.request("GET", "/healthz", headers=headers)
        response = connection.getresponse()
        try:
            answer = json.loads(response.read(_LONGEST))
        except ValueError:
            answer = {}
        return Answer(response.status, answer if isinstance(answer, dict) else {}, end)


def _end_of(certificate: Any) -> datetime | None:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC) if certificate else None


def reason(error: Exception) -> str:
    """Return why a URL could not be asked."""
    return getattr(error, "verify_message", "") or getattr(error, "strerror", "") or type(error).__name__
