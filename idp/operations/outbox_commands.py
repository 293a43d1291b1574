"""`idp outbox`: what an operator does with messages. The journal records each act with the operator's name."""

import json
import uuid
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

import click
from sqlalchemy import or_, select

from idp.audit import log
from idp.audit.registry_events import MessagesChanged
from idp.clock import now
from idp.db import db, unit_of_work
from idp.outbox import leases
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import DEAD, Outcome
from idp.terminal import AS_JSON, YES, confirm, table

MOST_IDS = 200  # the number of messages that one event names: a line of the journal of about 8 kB
_SHOWN = ("id", "kind", "outcome", "attempts", "available_at", "created_at", "last_error")
_IDS = click.argument("ids", nargs=-1, type=click.UUID, metavar="[ID]…")
_DEAD = click.option("--dead", is_flag=True, help="All dead messages.")


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
        _record("retried", messages)
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
        _record("dropped", messages)
    click.echo(f"{_counted(messages)} dropped")


def _check_usage(ids: Collection[uuid.UUID], *, dead: bool) -> None:
    if dead == bool(ids):
        raise click.UsageError("give either IDs or --dead")


def _locked(
    ids: Collection[uuid.UUID], *, dead: bool, fault: Callable[[OutboxMessage], str]
) -> Sequence[OutboxMessage]:
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
    is_over = message.outcome in {Outcome.DONE, Outcome.DROPPED}
    return f"was {message.outcome}, its content is deleted" if is_over else ""


def _drop_fault(message: OutboxMessage) -> str:
    """Return why `message` cannot be dropped, or an empty string: the worker still tries what is not dead."""
    return "" if message.outcome == DEAD else f"is {message.outcome}, not dead"


def _record(change: str, messages: Collection[OutboxMessage]) -> None:
    for kind in sorted({message.kind for message in messages}):
        ids = sorted(str(message.id) for message in messages if message.kind == kind)
        for first in range(0, len(ids), MOST_IDS):
            some = ids[first : first + MOST_IDS]
            log.record(MessagesChanged(change=change, message=kind, count=len(some), ids=some))


def _counted(messages: Collection[object]) -> str:
    return f"{len(messages)} message{'s' if len(messages) != 1 else ''}"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return str(value) if isinstance(value, uuid.UUID) else value
