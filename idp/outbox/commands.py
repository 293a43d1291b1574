"""`idp worker`. The command runs in the application context that `idp.cli` opens.

The numbers of the worker's metrics are read when somebody asks, within a time limit and on a connection of their own.
No request of a family waits for them.
"""

import http.client
import json
import signal
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from types import FrameType

import click
import structlog
from flask import Flask, current_app
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from idp import tracing
from idp.config import Settings
from idp.db import db
from idp.metrics import listener
from idp.metrics.catalogue import DELIVERIES, READ_FAILED
from idp.metrics.instruments import Sample, Subject
from idp.outbox.worker import DEAD, Handler, Worker
from idp.services import services

_PART = "worker"
_STATEMENT_SECONDS = 2
_SECONDS = 5.0  # after so many seconds no other subject is read: Prometheus waits for ten
_TOO_LONG = "57014"  # SQLSTATE of a statement that took too long; the next one may be answered


def start_watching(workers: Sequence[Worker]) -> None:
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


def check_worker(settings: Settings) -> None:
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


log = structlog.get_logger()


@click.command("worker")
@click.option("--once", is_flag=True, help="Deliver the messages that are ready, then stop.")
@click.option("--check", is_flag=True, help="Ask the worker of this machine whether it works; exit with 1 if not.")
def worker(*, once: bool, check: bool) -> None:
    """Deliver the messages of the outbox and run the periodic jobs, until SIGTERM or Ctrl-C."""
    if check:
        check_worker(services().settings)
        return
    handlers = services().outbox_handlers
    workers = _workers(handlers, services().outbox_lanes)
    with _stop_on_signal() as stop:
        if not once:
            start_watching(workers)
            if services().settings.traces:
                tracing.start("worker")
            log.info("outbox.worker_started", kinds=sorted(handlers))
            _run_all(workers, stop)
            log.info("outbox.worker_stopped")
            return
        try:
            while sum(lane.run_once(stop) for lane in workers):
                pass
        except SQLAlchemyError as error:
            from idp import database_faults  # noqa: PLC0415 - the worker that runs on needs none

            raise click.ClickException(database_faults.message(error)) from error


def _workers(handlers: Mapping[str, Handler], lanes: Sequence[Collection[str]]) -> list[Worker]:
    apart = {kind for lane in lanes for kind in lane}
    rest = {kind: handler for kind, handler in handlers.items() if kind not in apart}
    return [
        Worker(rest, known=handlers, jobs=services().periodic_jobs, probe=services().transport.can_be_used),
        *(Worker({kind: handlers[kind] for kind in lane}, known=handlers) for lane in lanes),
    ]


def _run_all(workers: Sequence[Worker], stop: threading.Event) -> None:
    """Run the workers until `stop` is set. If one fails, the others finish their message, and the process ends."""
    app = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - for the other threads
    main, *others = workers

    def run(lane: Worker) -> None:
        try:
            with app.app_context():
                lane.run_forever(stop)
        finally:
            stop.set()

    with ThreadPoolExecutor(len(others), thread_name_prefix="outbox-lane") as threads:
        running = [threads.submit(run, lane) for lane in others]
        try:
            main.run_forever(stop)
        finally:
            stop.set()
        for lane in running:
            lane.result()


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that the first SIGTERM or SIGINT sets; a second one has its default effect."""
    stop = threading.Event()

    def request_stop(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, former[signal.Signals(number)])

    former = {number: signal.signal(number, request_stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
