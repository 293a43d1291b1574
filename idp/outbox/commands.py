"""`idp worker` and `idp outbox`: run inside the application context that `idp.cli` opens."""

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

_SHOWN = ("id", "kind", "outcome", "attempts", "available_at", "created_at", "last_error")

log = structlog.get_logger()


@click.command("worker")
@click.option("--once", is_flag=True, help="Do what is ready, then stop.")
def worker(*, once: bool) -> None:
    """Hand over what waits in the outbox and do the periodic jobs, until SIGTERM or Ctrl-C."""
    handlers = services().outbox_handlers
    first, apart = _crews(handlers, services().outbox_apart)
    with _stop_on_signal() as stop:
        if not once:
            log.info("outbox.worker_started", kinds=sorted(handlers))
            _run_both(first, apart, stop)
            log.info("outbox.worker_stopped")
            return
        try:
            while first.run_once(stop) or apart.run_once(stop):
                pass
        except SQLAlchemyError as error:
            raise click.ClickException(f"the database cannot be used ({type(error).__name__})") from error


def _crews(handlers: Mapping[str, Handler], apart: Collection[str]) -> tuple[Worker, Worker]:
    """Return who hands over most kinds and does the periodic jobs, and who those that stand apart."""
    mine = {kind: handler for kind, handler in handlers.items() if kind not in apart}
    slow = {kind: handler for kind, handler in handlers.items() if kind in apart}
    return Worker(mine, known=handlers, jobs=services().periodic_jobs), Worker(slow, known=handlers)


def _run_both(first: Worker, apart: Worker, stop: threading.Event) -> None:
    """Let both work until `stop` is set. If one fails, the other finishes what it has in hand, and the process ends."""
    app = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - for the other thread

    def beside() -> None:
        try:
            with app.app_context():
                apart.run_forever(stop)
        finally:
            stop.set()

    with ThreadPoolExecutor(1, thread_name_prefix="outbox-apart") as threads:
        other = threads.submit(beside)
        try:
            first.run_forever(stop)
        finally:
            stop.set()
        other.result()


@click.group("outbox")
def outbox() -> None:
    """Look at what waits to leave, and try again what was given up."""


@outbox.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.option("--all", "everything", is_flag=True, help="Include what was sent or dropped.")
def list_messages(*, as_json: bool, everything: bool) -> None:
    """Show what waits and what was given up, oldest first; never what a message says."""
    query = select(*(getattr(OutboxMessage, name) for name in _SHOWN)).order_by(OutboxMessage.created_at)
    if not everything:
        query = query.where(or_(OutboxMessage.finished_at.is_(None), OutboxMessage.outcome == DEAD))
    rows = [{name: _plain(value) for name, value in row.items()} for row in db.session.execute(query).mappings()]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    lines = [_SHOWN, *(tuple(str(value) for value in row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@outbox.command("retry")
@click.argument("ids", nargs=-1, type=click.UUID, metavar="[ID]…")
@click.option("--dead", is_flag=True, help="Every message that was given up.")
def retry(*, ids: tuple[uuid.UUID, ...], dead: bool) -> None:
    """Make messages ready now, their attempts counted from zero. One wrong ID and none is touched."""
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
    click.echo(f"{len(messages)} message{'s' if len(messages) > 1 else ''} ready to leave")


def _fault(message: OutboxMessage, moment: datetime) -> str:
    """Say why `message` cannot be tried again; nothing when it can."""
    if message.outcome in {Outcome.DONE, Outcome.DROPPED}:
        return f"already {message.outcome}, its content was emptied"
    if message.leased_until is not None and message.leased_until > moment:
        return "a worker is handing it over"
    return ""


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return str(value) if isinstance(value, uuid.UUID) else value


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that the first SIGTERM or SIGINT sets; a second one has its usual, harder effect."""
    stop = threading.Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, former[signal.Signals(number)])

    former = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
