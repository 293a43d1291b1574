"""`/healthz` (the process answers) and `/readyz` (the database takes writes, its migrations and a key are there).

`/readyz` fails too while the server drains, so that a load balancer turns to another one.

A proxy that is not declared (`IDP_TRUSTED_PROXIES=0`) is detected here as well. All parents then seem to have the
proxy's IP, and share its limits. Only requests show it, and a command sees none: the service leaves a mark in the
database, and `idp doctor` reads it.
"""

import hmac
from contextlib import suppress
from typing import NamedTuple

import structlog
from flask import Blueprint, Response, abort, current_app, make_response, request
from pydantic import SecretStr
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from idp import __version__, waiting
from idp.audit import log
from idp.audit.events import ForwardedIgnored
from idp.clock import now
from idp.config import PREFIX, Settings
from idp.db import db, unit_of_work
from idp.node import node
from idp.oidc.keys.material import NoSigningKeyError
from idp.oidc.keys.rotation import signing_since
from idp.opaque import InvalidValueError, signer
from idp.services import services
from idp.throttle import guard, limits
from idp.web import http
from idp.web.declarations import Declarations, Trait, declares
from idp.web.door import Door

blueprint = Blueprint("ops", __name__)


class Readiness(NamedTuple):
    """Whether this process can serve requests: `ok` or the first reason why not; and why the database is away."""

    status: str
    cause: str = ""


ECHO_HEADER = "Idp-Doctor"  # the header by which `idp doctor` asks what arrives
_ECHO_SECONDS = 60
_READY = "ok"
_OF_ONE_NODE = {"secret_key_file", "metrics_bind", "hash_concurrency"}  # the settings that may differ between nodes
_OF_DESK = "team"  # a blueprint that only the application of the desk has


def add(door: Door) -> None:
    """Let the door answer `/healthz`: without a thread, however many requests wait for one."""
    door.add_in_memory("/healthz", f"{blueprint.name}.{alive.__name__}", _alive)


@blueprint.get("/healthz")
@declares(Trait.FOR_PROGRAMS, Trait.PROBE)
def alive() -> http.Response:
    """Answer that the process runs, without any other check."""
    return _alive(http.current_request())


@blueprint.get("/readyz")
@declares(Trait.FOR_PROGRAMS, Trait.PROBE)
def ready() -> Response:
    """Return whether requests can be served; the answer names only the first reason why not.

    Paths are found with any number of slashes before them, and with percent-encoded letters. This one is not: proxies
    keep it from strangers by its name.
    """
    if request.environ["RAW_URI"].partition("?")[0] != "/readyz":
        abort(404)
    status = _readiness().status
    return make_response({"status": status}, 200 if status == _READY else 503)


def is_read_only(connection: Connection) -> bool:
    """Return whether PostgreSQL refuses writes: a standby, a recovery that paused, or a setting of its operator."""
    return bool(connection.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on")


def sign_echo(settings: Settings) -> str:
    """Return the value of `ECHO_HEADER` for a request of the next minute."""
    return signer(settings.secrets, ECHO_HEADER).dumps("")


def _alive(request: http.Request) -> http.Response:
    return http.json_response({"status": "ok", **_told_to_doctor(request)})


def _told_to_doctor(request: http.Request) -> dict[str, object]:
    """Return what this process sees of the request and its readiness, if `idp doctor` asks: it knows the secret key."""
    try:
        signer(services().settings.secrets, ECHO_HEADER).loads(request.header(ECHO_HEADER), _ECHO_SECONDS)
    except InvalidValueError:
        return {}
    has_forwarded = any(request.has_header(name) for name in HEADERS)
    host = request.header("Host")
    seen = {"ip": request.remote_ip, "scheme": request.scheme, "host": host, "has_forwarded": has_forwarded}
    process = {"version": __version__, "settings": fingerprints(services().settings)}
    facts = {"process": process, "failures": node.failures._asdict()}
    waiting.refuse()  # only a thread may wait for the database
    readiness = {"readiness": _readiness()._asdict()}
    return {"seen": {**seen, "is_desk": _OF_DESK in current_app.blueprints}, **facts, **readiness}


def fingerprints(settings: Settings) -> dict[str, str]:
    """Return a keyed digest of each setting, by which two processes compare them and nobody reads them."""
    key = settings.secrets[0]
    return {
        f"{PREFIX}{name.upper()}": hmac.digest(
            key, f"{name} {_whole(getattr(settings, name))}".encode(), "sha256"
        ).hex()
        for name in sorted(type(settings).model_fields.keys() - _OF_ONE_NODE)
    }


def _whole(value: object) -> str:
    if isinstance(value, tuple):
        return repr([_whole(item) for item in value])
    return value.get_secret_value() if isinstance(value, SecretStr) else repr(value)


def _readiness() -> Readiness:
    if node.is_stopping:
        return Readiness("stopping")
    try:
        return Readiness(_missing() or _READY)
    except SQLAlchemyError as error:
        from idp import database_faults  # noqa: PLC0415 - most processes never need it

        return Readiness("database", database_faults.cause(error))


def _missing() -> str:
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - slow to import, and not for requests

    from idp.operations import revisions  # noqa: PLC0415 - as above

    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not revisions.is_enough(", ".join(MigrationContext.configure(connection).get_current_heads())):
            return "migrations"
        algorithms = signing_since(connection, now())
        if is_read_only(connection):
            return "database read-only"
    return "" if algorithms and all(_opens(algorithm) for algorithm in algorithms) else "signing key"


def _opens(algorithm: str) -> bool:
    """Return whether this process can sign with `algorithm`: its key must be sealed under a known secret."""
    ring = services().server.ring
    try:
        ring.signer(algorithm)
    except NoSigningKeyError:
        ring.forget()  # read the table again, since the key may be new
        try:
            ring.signer(algorithm)
        except NoSigningKeyError:
            return False
    return True


logger = structlog.get_logger()

HEADERS = ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP")


def watch_proxies(door: Door, declared: Declarations, settings: Settings) -> None:
    """Check all requests for forwarded headers, if no proxy is declared."""
    if not settings.trusted_proxies:
        door.before(_Watch(declared))


class _Watch:
    """Logs the first request of this process with a forwarded header, and leaves the mark."""

    def __init__(self, declared: Declarations) -> None:
        self._noticed = False
        self._declared = declared

    def __call__(self, request: http.Request) -> None:
        if self._noticed or request.path in self._declared.probes:
            return
        if not any(request.has_header(name) for name in HEADERS):
            return
        waiting.refuse()  # before this process counts as told: the mark is a statement
        self._noticed = True
        logger.warning("forwarded headers ignored", setting="IDP_TRUSTED_PROXIES")
        with suppress(SQLAlchemyError):  # the request itself reports a failing database
            if isinstance(guard.take(limits.PROXY_NOTED, ""), guard.Granted):
                with unit_of_work():
                    log.record(ForwardedIgnored())


def was_proxy_noticed() -> bool:
    """Return whether forwarded headers arrived and were ignored within the last week.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the query failed.
    """
    return guard.remaining_wait(limits.PROXY_NOTED, "") > 0
