"""`idp worker`. The command runs in the application context that `idp.cli` opens."""

import signal
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType

import click
import structlog
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from idp.outbox import watching
from idp.outbox.worker import Handler, Worker
from idp.services import services
from idp.tracing import export

log = structlog.get_logger()


@click.command("worker")
@click.option("--once", is_flag=True, help="Deliver the messages that are ready, then stop.")
@click.option("--check", is_flag=True, help="Ask the worker of this machine whether it works; exit with 1 if not.")
def worker(*, once: bool, check: bool) -> None:
    """Deliver the messages of the outbox and run the periodic jobs, until SIGTERM or Ctrl-C."""
    if check:
        watching.check(services().settings)
        return
    handlers = services().outbox_handlers
    workers = _workers(handlers, services().outbox_lanes)
    with _stop_on_signal() as stop:
        if not once:
            watching.start(workers)
            if services().settings.traces:
                export.start("worker")
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
    """Return the worker of most kinds and of the periodic jobs, then the worker of the kinds of each lane."""
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
