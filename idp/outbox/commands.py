"""`idp worker` and `idp outbox`. The commands run in the application context that `idp.cli` opens."""

import json
import signal
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from types import FrameType

import click
import structlog
from flask import current_app
from sqlalchemy import or_, select
from sqlalchemy.exc import SQLAlchemyError

from idp.clock import now
from idp.db import db, unit_of_work
from idp.outbox import leases, watching
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import DEAD, Handler, Outcome, Worker
from idp.services import services
from idp.terminal import AS_JSON, YES, confirm, table
from idp.tracing import export

_SHOWN = ("id", "kind", "outcome", "attempts", "available_at", "created_at", "last_error")
_IDS = click.argument("ids", nargs=-1, type=click.UUID, metavar="[ID]…")
_DEAD = click.option("--dead", is_flag=True, help="All dead messages.")

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


@click.group("outbox")
def outbox() -> None:
    """Outgoing messages: list them, retry or drop those that failed."""


@outbox.command("list")
@AS_JSON
@click.option("--all", "everything", is_flag=True, help="Include messages that were sent or dropped.")
def list_messages(*, as_json: bool, everything: bool) -> None:
    """List the waiting and the dead messages, oldest first, without their content."""
    query = select(*(getattr(OutboxMessage, name) for name in _SHOWN)).order_by(OutboxMessage.created_at)
    if not everything:
        query = query.where(or_(OutboxMessage.finished_at.is_(None), OutboxMessage.outcome == DEAD))
    rows = [{name: _plain(value) for name, value in row.items()} for row in db.session.execute(query).mappings()]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table(_SHOWN, [list(row.values()) for row in rows])


@outbox.command("retry")
@_IDS
@_DEAD
def retry(*, ids: tuple[uuid.UUID, ...], dead: bool) -> None:
    """Make messages ready for delivery, with their attempts reset; all of them, or none after one wrong ID."""
    _check_usage(ids, dead=dead)
    moment = now()
    with unit_of_work():
        messages = _locked(ids, dead=dead, fault=_retry_fault)
        for message in messages:
            message.finished_at, message.outcome, message.attempts = None, "waiting", 0
            message.lease, message.leased_until, message.available_at = None, None, moment
    click.echo(f"{_counted(messages)} ready for delivery")


@outbox.command("drop")
@_IDS
@_DEAD
@YES
def drop(*, ids: tuple[uuid.UUID, ...], dead: bool, yes: bool) -> None:
    """Give dead messages up for good and delete their content; all of them, or none after one wrong ID."""
    _check_usage(ids, dead=dead)
    confirm(f"Drop {'all dead messages' if dead else _counted(ids)} for good?", yes=yes)
    with unit_of_work():
        messages = _locked(ids, dead=dead, fault=_drop_fault)
        for message in messages:
            message.outcome, message.payload = Outcome.DROPPED, {}
    click.echo(f"{_counted(messages)} dropped")


def _check_usage(ids: Collection[uuid.UUID], *, dead: bool) -> None:
    if dead == bool(ids):
        raise click.UsageError("give either IDs or --dead")


def _locked(
    ids: Collection[uuid.UUID], *, dead: bool, fault: Callable[[OutboxMessage], str]
) -> Sequence[OutboxMessage]:
    """Return the messages, locked in the caller's transaction.

    Raises:
        ClickException: one does not exist, has a fault, or is leased by a worker.
    """
    query = select(OutboxMessage, leases.is_free()).with_for_update()
    query = query.where(OutboxMessage.outcome == DEAD) if dead else query.where(OutboxMessage.id.in_(ids))
    rows = db.session.execute(query).all()
    faults = [f"{missing}: no such message" for missing in sorted(set(ids) - {message.id for message, _ in rows})]
    for message, is_free in rows:
        if reason := fault(message) or ("" if is_free else "a worker is delivering it"):
            faults.append(f"{message.id}: {reason}")
    if faults:
        raise click.ClickException("\n".join(["nothing was changed", *faults]))
    return [message for message, _ in rows]


def _retry_fault(message: OutboxMessage) -> str:
    """Return why `message` cannot be retried, or an empty string."""
    is_over = message.outcome in {Outcome.DONE, Outcome.DROPPED}
    return f"was {message.outcome}, its content is deleted" if is_over else ""


def _drop_fault(message: OutboxMessage) -> str:
    """Return why `message` cannot be dropped, or an empty string: the worker still tries what is not dead."""
    return "" if message.outcome == DEAD else f"is {message.outcome}, not dead"


def _counted(messages: Collection[object]) -> str:
    return f"{len(messages)} message{'s' if len(messages) != 1 else ''}"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return str(value) if isinstance(value, uuid.UUID) else value


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
