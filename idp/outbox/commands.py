"""`idp worker` and `idp outbox`. The commands run in the application context that `idp.cli` opens."""

import json
import signal
import threading
import uuid
from collections.abc import Collection, Iterator, Mapping
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
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import DEAD, Handler, Outcome, Worker
from idp.services import services
from idp.terminal import AS_JSON, table

_SHOWN = ("id", "kind", "outcome", "attempts", "available_at", "created_at", "last_error")

log = structlog.get_logger()


@click.command("worker")
@click.option("--once", is_flag=True, help="Deliver the messages that are ready, then stop.")
def worker(*, once: bool) -> None:
    """Deliver the messages of the outbox and run the periodic jobs, until SIGTERM or Ctrl-C."""
    handlers = services().outbox_handlers
    main, separate = _workers(handlers, services().outbox_apart)
    with _stop_on_signal() as stop:
        if not once:
            log.info("outbox.worker_started", kinds=sorted(handlers))
            _run_both(main, separate, stop)
            log.info("outbox.worker_stopped")
            return
        try:
            while main.run_once(stop) or separate.run_once(stop):
                pass
        except SQLAlchemyError as error:
            raise click.ClickException(f"the database cannot be used ({type(error).__name__})") from error


def _workers(handlers: Mapping[str, Handler], separate: Collection[str]) -> tuple[Worker, Worker]:
    """Return the worker of most kinds and of the periodic jobs, and the worker of the kinds in `separate`."""
    fast = {kind: handler for kind, handler in handlers.items() if kind not in separate}
    slow = {kind: handler for kind, handler in handlers.items() if kind in separate}
    return Worker(fast, known=handlers, jobs=services().periodic_jobs), Worker(slow, known=handlers)


def _run_both(main: Worker, separate: Worker, stop: threading.Event) -> None:
    """Run both workers until `stop` is set. If one fails, the other finishes its message, and the process ends."""
    app = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - for the other thread

    def run_separate() -> None:
        try:
            with app.app_context():
                separate.run_forever(stop)
        finally:
            stop.set()

    with ThreadPoolExecutor(1, thread_name_prefix="outbox-separate") as threads:
        other = threads.submit(run_separate)
        try:
            main.run_forever(stop)
        finally:
            stop.set()
        other.result()


@click.group("outbox")
def outbox() -> None:
    """Outgoing messages: list them, retry those that failed."""


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
@click.argument("ids", nargs=-1, type=click.UUID, metavar="[ID]…")
@click.option("--dead", is_flag=True, help="All dead messages.")
def retry(*, ids: tuple[uuid.UUID, ...], dead: bool) -> None:
    """Make messages ready for delivery, with their attempts reset; all of them, or none after one wrong ID."""
    if dead == bool(ids):
        raise click.UsageError("give either IDs or --dead")
    query = select(OutboxMessage).with_for_update()
    query = query.where(OutboxMessage.outcome == DEAD) if dead else query.where(OutboxMessage.id.in_(ids))
    with unit_of_work():
        messages = list(db.session.scalars(query))
        faults = [f"{missing}: no such message" for missing in sorted(set(ids) - {message.id for message in messages})]
        moment = now()
        faults += [f"{message.id}: {fault}" for message in messages if (fault := _fault(message, moment))]
        if faults:
            raise click.ClickException("\n".join(["nothing was changed", *faults]))
        for message in messages:
            message.finished_at, message.outcome, message.attempts = None, "waiting", 0
            message.lease, message.leased_until, message.available_at = None, None, moment
    click.echo(f"{len(messages)} message{'s' if len(messages) > 1 else ''} ready for delivery")


def _fault(message: OutboxMessage, moment: datetime) -> str:
    """Return why `message` cannot be retried, or an empty string."""
    if message.outcome in {Outcome.DONE, Outcome.DROPPED}:
        return f"was {message.outcome}, its content is deleted"
    if message.leased_until is not None and message.leased_until > moment:
        return "a worker is delivering it"
    return ""


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
