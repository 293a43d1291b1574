"""Watches `idp worker`: its metrics, with the numbers that are read from the database, and whether it works.

The numbers are read when somebody asks, within a time limit and on a connection of their own. No request of a family
waits for them.
"""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus

import click
import structlog
from flask import Flask, current_app
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from idp.config import Settings
from idp.db import db
from idp.metrics import listener
from idp.metrics.catalogue import DELIVERIES, READ_FAILED
from idp.metrics.instruments import Sample, Subject
from idp.outbox.worker import DEAD, Worker
from idp.services import services

_PART = "worker"
_STATEMENT_SECONDS = 2
_SECONDS = 5.0
"""After so many seconds no other subject is read: Prometheus waits for ten."""
_TOO_LONG = "57014"
"""SQLSTATE of a statement that took too long; the next one may be answered."""

log = structlog.get_logger()


def start(workers: Sequence[Worker]) -> None:
    """Serve the metrics and the health of the worker, if the settings say where.

    Raises:
        ClickException: the port cannot be used.
    """
    bind = services().settings.metrics_bind
    if not bind:
        return
    app = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - for the other threads
    readings = Readings(app, services().readings)

    def health() -> str:
        return next(filter(None, (worker.fault() for worker in workers)), "")

    try:
        listener.serve_here(bind, _PART, readings.samples, health)
    except listener.CannotListenError as fault:
        raise click.ClickException(str(fault)) from fault
    for kind in services().outbox_handlers:  # Prometheus sees no increase to the first number of a series
        DELIVERIES.count(kind, DEAD, by=0)


def check(settings: Settings) -> None:
    """Ask the worker of this machine whether it works.

    Raises:
        ClickException: it does not answer, or it stands still; or no port is set.
    """
    if not settings.metrics_bind:
        raise click.ClickException("the worker cannot be asked: set IDP_METRICS_BIND")
    host, port = listener.place_of(settings.metrics_bind, _PART)
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        status = str(json.loads(response.read())["status"])
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise click.ClickException(f"no worker answers on {host}:{port} ({type(error).__name__})") from error
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        raise click.ClickException(f"the worker stands still: {status}")
    click.echo("the worker works")


class Readings:
    """Reads the subjects, and keeps the numbers of each for its period."""

    def __init__(self, app: Flask, subjects: Mapping[str, Subject]) -> None:
        self._app, self._subjects = app, subjects
        self._kept: dict[str, tuple[float, list[Sample]]] = {}
        self._reading = threading.Lock()

    def samples(self) -> list[Sample]:
        """Return all numbers; those that cannot be read in time are missing, and `READ_FAILED` names the subject."""
        numbers: list[Sample] = []
        with self._reading, self._app.app_context():  # several clients wait for one reading
            until = time.monotonic() + _SECONDS
            for name, subject in self._subjects.items():
                moment = time.monotonic()
                kept_until, samples = self._kept.get(name, (0.0, []))
                if kept_until < moment < until:
                    samples, is_lost = _read(name, subject)
                    until = moment if is_lost else until  # the others would wait for the same server
                    self._kept[name] = moment + subject.period, samples
                elif kept_until < moment:
                    samples = [_failed(name, is_failed=True)]
                numbers += samples
        return numbers


def _read(name: str, subject: Subject) -> tuple[list[Sample], bool]:
    """Return the numbers of a subject, and whether the database cannot be used at all."""
    try:
        with _reading_connection() as connection:
            return [*subject.read(connection, services().settings), _failed(name, is_failed=False)], False
    except SQLAlchemyError as error:
        log.warning("metrics cannot be read", subject=name, error=type(error).__name__)
        is_lost = getattr(getattr(error, "orig", None), "sqlstate", "") != _TOO_LONG
        return [_failed(name, is_failed=True)], is_lost


def _failed(name: str, *, is_failed: bool) -> Sample:
    return READ_FAILED, (name,), float(is_failed)


@contextmanager
def _reading_connection() -> Iterator[Connection]:
    with db.engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(text(f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s'"))
        yield connection
