"""`idp audit verify`, `idp audit export`, and the worker's periodic job that seals the journal."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import click
from sqlalchemy import select

from idp.audit import log, sealing
from idp.audit.data_events import JournalExported
from idp.audit.models import AuditBeginning, AuditEntry, AuditSeal
from idp.audit.verifying import Check, Finding, Report
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.operations import audit_commands
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from idp.services import services
from idp.terminal import AS_JSON, instant, plain

SEALING = "audit.seal"
"""The kind of the outbox message that makes the worker seal the journal."""
SEALING_PERIOD = timedelta(minutes=5)

_LONGEST = timedelta(seconds=30)
"""The most time that the worker seals without a pause, since mails wait meanwhile. The next period seals the rest."""
_LATE = 3 * SEALING_PERIOD
_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{72})")
_SEALS = 100


def hand_over(_message: OutboxMessage, *, settings: Settings) -> Outcome:
    """Seal the entries without a seal (outbox handler)."""
    return Outcome.DONE if sealing.seal_all(settings.secrets, within=_LONGEST) else Outcome.DROPPED


def _head(_ctx: click.Context, _option: click.Parameter, typed: str | None) -> tuple[int, str] | None:
    """Read `NUMBER:MAC`."""
    if typed is None:
        return None
    parts = _HEAD.fullmatch(typed.strip().lower())
    if parts is None:
        raise click.BadParameter("must be NUMBER:MAC, from an earlier check, an export or the worker's log")
    return int(parts[1]), parts[2]


@click.command()
@click.option("--head", callback=_head, metavar="NUMBER:MAC", help="A seal that was noted before and must be there.")
@AS_JSON
def verify(*, head: tuple[int, str] | None, as_json: bool) -> None:
    """Check that no event was changed, removed or inserted; exit 1 and say where if one was.

    The worker seals events every five minutes. The removal of an event that is not sealed yet leaves no trace. Neither
    does the removal of the last seals with all of their events, unless the last seal was noted outside of the database:
    --head compares it.
    """
    settings = services().settings
    check = Check(settings.secrets, head)
    wrong = 0
    for finding in check.findings():
        wrong += 1
        click.echo(json.dumps(_shown(finding)) if as_json else _as_line(finding))
    summary = _summary(check.report, wrong)
    if as_json:
        click.echo(json.dumps(summary))
    else:
        for line in _lines(check.report, wrong):
            click.echo(line)
    first = check.report.beginning.first_seal if check.report.beginning else 1
    if head is not None and head[0] < first:
        click.echo(f"note: seal {head[0]} was purged since: the chain begins at seal {first}", err=True)
    if _is_late(check.report):
        click.echo("note: events wait for their seal: check that `idp worker` runs", err=True)
    if wrong:
        raise click.exceptions.Exit(1)


def _shown(finding: Finding) -> dict[str, Any]:
    place = {"seal": finding.seal, "entry": finding.entry, "at": instant(finding.at)}
    return {"type": "finding", **place, "what": finding.what}


def _as_line(finding: Finding) -> str:
    places = [
        f"seal {finding.seal}" if finding.seal is not None else "",
        f"entry {finding.entry}" if finding.entry is not None else "",
        f"of {instant(finding.at)}" if finding.at else "",
    ]
    return plain(f"{', '.join(place for place in places if place) or 'journal'}: {finding.what}")


def _summary(report: Report, wrong: int) -> dict[str, Any]:
    beginning = report.beginning
    return {
        "type": "summary",
        "findings": wrong,
        "entries": report.entries,
        "seals": report.seals,
        "unsealed": report.unsealed,
        "expired": report.expired,
        "head": _head_text(report.head),
        "entries_before": instant(beginning.entries_before) if beginning else None,
        "failures_before": instant(beginning.failures_before) if beginning else None,
    }


def _lines(report: Report, wrong: int) -> Iterator[str]:
    verdict = f"{wrong} finding{'s' if wrong > 1 else ''}" if wrong else "whole"
    yield f"{verdict}: {report.entries} entries in {report.seals} seals, {report.unsealed} not sealed yet"
    if beginning := report.beginning:
        ages = f"{instant(beginning.entries_before)}, failures up to {instant(beginning.failures_before)}"
        yield plain(f"purged: entries up to {ages}, by {beginning.actor or 'nobody'}; {report.expired} sealed ones")
    if report.head:
        yield f"head: {_head_text(report.head)}"


def _head_text(head: tuple[int, str] | None) -> str | None:
    return f"{head[0]}:{head[1]}" if head else None


def _is_late(report: Report) -> bool:
    return report.oldest_unsealed_at is not None and report.oldest_unsealed_at < now() - _LATE


@click.command()
@click.option(
    "--since",
    callback=audit_commands.since_option,
    metavar="D",
    help="A date, a time, or how long ago: 5m, 2h, 3d, 1w.",
)
def export(since: datetime | None) -> None:
    """Write events, then the seals, as JSON lines for another machine, oldest first.

    A copy of these lines elsewhere proves later that the end of the journal was cut off: pass the last seal's number
    and MAC to `idp audit verify --head`.
    """
    asked_at = now()
    with unit_of_work():
        log.record(JournalExported(since=instant(since) or ""))
    conditions = [AuditEntry.at < asked_at]
    if since is not None:
        conditions.append(AuditEntry.at >= since)
    for entry in audit_commands.entries(conditions, None, backwards=False):
        click.echo(json.dumps(_entry_line(entry)))
    if (beginning := db.session.scalar(select(AuditBeginning))) is not None:
        click.echo(json.dumps(_beginning_line(beginning)))
    for seal in _seals(since):
        click.echo(json.dumps(_seal_line(seal)))


def _seals(since: datetime | None) -> Iterator[AuditSeal]:
    """Yield the seals that hold events since an instant, page by page."""
    after = 0
    while True:
        page = select(AuditSeal).where(AuditSeal.id > after).order_by(AuditSeal.id).limit(_SEALS)
        seals = db.session.scalars(page).all()
        db.session.expunge_all()
        yield from (seal for seal in seals if since is None or seal.newest_at >= since)
        if len(seals) < _SEALS:
            return
        after = seals[-1].id


def _entry_line(entry: AuditEntry) -> dict[str, Any]:
    return {
        "type": "entry",
        "id": entry.id,
        "at": entry.at.isoformat(),
        "kind": entry.kind,
        "result": entry.result,
        "account_id": str(entry.account_id) if entry.account_id else None,
        "client_id": str(entry.client_id) if entry.client_id else None,
        "staff_id": str(entry.staff_id) if entry.staff_id else None,
        "school_id": str(entry.school_id) if entry.school_id else None,
        "actor": entry.actor,
        "ip": entry.ip,
        "request_id": entry.request_id,
        "details": entry.details,
        "mac": entry.mac.hex() if entry.mac else None,
        "seal": entry.seal_id,
    }


def _beginning_line(beginning: AuditBeginning) -> dict[str, Any]:
    return {
        "type": "beginning",
        "entries_before": beginning.entries_before.isoformat(),
        "failures_before": beginning.failures_before.isoformat(),
        "first_seal": beginning.first_seal,
        "recorded_at": beginning.recorded_at.isoformat(),
        "actor": beginning.actor,
        "mac": beginning.mac.hex(),
    }


def _seal_line(seal: AuditSeal) -> dict[str, Any]:
    return {
        "type": "seal",
        "id": seal.id,
        "sealed_at": seal.sealed_at.isoformat(),
        "entries": seal.count,
        "previous": seal.previous.hex(),
        "mac": seal.mac.hex(),
    }
