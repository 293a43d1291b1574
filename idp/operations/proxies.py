"""Detects a proxy that is not declared (`IDP_TRUSTED_PROXIES=0`).

All parents then seem to have the proxy's IP, and share its limits. Only requests show it, and a command sees none: the
service leaves a mark in the database, and `idp doctor` reads it.
"""

from contextlib import suppress

import structlog
from sqlalchemy.exc import SQLAlchemyError

from idp import waiting
from idp.audit import log
from idp.audit.events import ForwardedIgnored
from idp.config import Settings
from idp.db import unit_of_work
from idp.throttle import guard, limits
from idp.web.declarations import Declarations
from idp.web.door import Door
from idp.web.http import Request

logger = structlog.get_logger()

HEADERS = ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP")


def configure(door: Door, declared: Declarations, settings: Settings) -> None:
    """Check all requests for forwarded headers, if no proxy is declared."""
    if not settings.trusted_proxies:
        door.before(_Watch(declared))


class _Watch:
    """Logs the first request of this process with a forwarded header, and leaves the mark."""

    def __init__(self, declared: Declarations) -> None:
        self._noticed = False
        self._declared = declared

    def __call__(self, request: Request) -> None:
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


def was_noticed() -> bool:
    """Return whether forwarded headers arrived and were ignored within the last week.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the query failed.
    """
    return guard.remaining_wait(limits.PROXY_NOTED, "") > 0
