"""`idp audit`: shows, checks and exports the journal; and the worker's periodic job that seals it.

`show` names existing accounts and ENTs. Pages are read by index, each in a statement of its own: a year of a region's
sign-ons takes constant memory, and no other transaction waits.
"""

import json
import re
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import click
from sqlalchemy import ColumnElement, and_, or_, select

from idp.accounts.models import Account, School
from idp.accounts.passwords.hasher import fold_username
from idp.audit import log, sealing
from idp.audit.catalogue import KINDS
from idp.audit.data_events import JournalExported
from idp.audit.events import AccountRead
from idp.audit.models import AuditBeginning, AuditEntry, AuditSeal
from idp.audit.verifying import Check, Finding, Report
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import Base, db, unit_of_work
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from idp.services import services
from idp.terminal import AS_JSON, dumped, instant, plain

SEALING = "audit.seal"
SEALING_PERIOD = timedelta(minutes=5)

# The most time that the worker seals without a pause, since mails wait meanwhile. The next period seals the rest.
_LONGEST = timedelta(seconds=30)
_LATE = 3 * SEALING_PERIOD
_PAGE = 1000
_MOST = 100_000
_CHANGE = ("before", "after")
_AGO = re.compile(r"(\d{1,5})([mhdw])")
_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{72})")
_SEALS = 100
_EXPORTED = {
    "entry": (
        *("id", "at", "kind", "result", "account_id", "client_id", "staff_id", "school_id"),
        *("actor", "ip", "request_id", "details", "mac", "seal_id"),
    ),
    "beginning": ("entries_before", "failures_before", "first_seal", "recorded_at", "actor", "mac"),
    "seal": ("id", "sealed_at", "count", "previous", "mac"),
}
_EXPORTED_AS = {"seal_id": "seal", "count": "entries"}
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def since_option(_ctx: click.Context, _option: click.Parameter, typed: str | None) -> datetime | None:
    """Read a date, a time (local if it has no zone), or how long ago: `5m`, `2h`, `3d`, `1w`."""
    if typed is None:
        return None
    ago = _AGO.fullmatch(typed.strip())
    try:
        moment = now() - int(ago[1]) * _UNITS[ago[2]] if ago else datetime.fromisoformat(typed.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter("must be a date (2026-11-24), a time (2026-11-24T08:00), or 5m, 2h, 3d, 1w") from None
    return moment


def _kind(_ctx: click.Context, _option: click.Parameter, typed: str | None) -> str | None:
    if typed is None or any(_is_of(kind, typed) for kind in KINDS):
        return typed
    raise click.BadParameter(f"must be one of {', '.join(sorted(KINDS))}, or the part before a dot")


def _is_of(kind: str, family: str) -> bool:
    return kind == family or kind.startswith(f"{family}.")


def hand_over(_message: OutboxMessage, *, settings: Settings) -> Outcome:
    """Seal the entries without a seal (outbox handler)."""
    return Outcome.DONE if sealing.seal_all(settings.secrets, within=_LONGEST) else Outcome.DROPPED


@click.group()
def audit() -> None:
    """Show, check and export the journal: who did what, when, from where, with what result."""


@audit.command()
@click.option("--account", "username", metavar="U", help="An identifier; for a removed account, its key.")
@click.option("--since", callback=since_option, metavar="D", help="A date, a time, or how long ago: 5m, 2h, 3d, 1w.")
@click.option("--kind", callback=_kind, metavar="K", help="One kind of event, or a family: email, recovery…")
@click.option("--limit", type=click.IntRange(1, _MOST), metavar="N", help="The last N of them.")
@AS_JSON
def show(username: str | None, since: datetime | None, kind: str | None, limit: int | None, *, as_json: bool) -> None:
    """Print events, oldest first."""
    account_id = _account_id(username) if username is not None else None
    asked_at = now()  # leave out the entries that this command itself writes
    if account_id is not None:
        with unit_of_work():
            log.record(AccountRead(account_id=account_id))
    conditions = [AuditEntry.at < asked_at]
    if account_id is not None:
        conditions.append(AuditEntry.account_id == account_id)
    if since is not None:
        conditions.append(AuditEntry.at >= since)
    events = entries(conditions, kind, backwards=limit is not None)
    chosen = iter(list(islice(events, limit))[::-1]) if limit is not None else events
    if as_json:
        _print_array(_named(chosen))
        return
    for row in _named(chosen):
        click.echo(_as_line(row))


def _account_id(username: str) -> uuid.UUID:
    folded = fold_username(username)
    account_id = db.session.scalar(select(Account.id).where(Account.username == folded)) if folded else None
    try:
        key = account_id or uuid.UUID(username)
    except ValueError:
        key = None
    known = account_id or (
        key and db.session.scalar(select(AuditEntry.id).where(AuditEntry.account_id == key).limit(1))
    )
    if key is None or not known:
        raise click.ClickException(plain(f"no account {username}"))
    return key


def entries(conditions: list[ColumnElement[bool]], kind: str | None, *, backwards: bool) -> Iterator[AuditEntry]:
    """Yield the requested events, page by page; `kind` has no index and is compared here."""
    order = (AuditEntry.at.desc(), AuditEntry.id.desc()) if backwards else (AuditEntry.at, AuditEntry.id)
    after_page: tuple[ColumnElement[bool], ...] = ()
    while True:
        page = db.session.scalars(
            select(AuditEntry).where(*conditions, *after_page).order_by(*order).limit(_PAGE)
        ).all()
        db.session.expunge_all()
        yield from (entry for entry in page if kind is None or _is_of(entry.kind, kind))
        if len(page) < _PAGE:
            return
        after_page = (_after(page[-1], backwards=backwards),)


def _after(last: AuditEntry, *, backwards: bool) -> ColumnElement[bool]:
    """Return the condition of the entries after `last`; its bound on `at` alone makes the database use the index."""
    at, key = AuditEntry.at, AuditEntry.id
    if backwards:
        return and_(at <= last.at, or_(at < last.at, key < last.id))
    return and_(at >= last.at, or_(at > last.at, key > last.id))


def _named(entries: Iterator[AuditEntry]) -> Iterator[dict[str, Any]]:
    clients = {row.id: row.name for row in db.session.execute(select(Client.id, Client.name))}
    while page := list(islice(entries, _PAGE)):
        names = _texts(Account.id, Account.username, (entry.account_id for entry in page))
        schools = _texts(School.id, School.uai, (entry.school_id for entry in page))
        for entry in page:
            yield {
                "at": instant(entry.at),
                "kind": entry.kind,
                "result": entry.result,
                "account": names.get(entry.account_id, str(entry.account_id)) if entry.account_id else None,
                "client": clients.get(entry.client_id, str(entry.client_id)) if entry.client_id else None,
                "operator": entry.actor or None,
                "staff": str(entry.staff_id) if entry.staff_id else None,
                "school": schools.get(entry.school_id, str(entry.school_id)) if entry.school_id else None,
                "address": entry.ip or None,
                "request_id": entry.request_id or None,
                "details": entry.details,
            }


def _texts(key: Any, text: Any, keys: Iterable[uuid.UUID | None]) -> dict[uuid.UUID, str]:
    return dict(db.session.execute(select(key, text).where(key.in_({key for key in keys if key}))).all())


def _as_line(row: dict[str, Any]) -> str:
    sides = {name: value for name, value in row["details"].items() if name in _CHANGE and isinstance(value, dict)}
    plain_details = {name: value for name, value in row["details"].items() if name not in sides}
    details = " ".join(f"{name}={plain(value)}" for name, value in plain_details.items() if value not in ("", [], {}))
    details += "".join(f"  {change}" for change in _changes(*(sides.get(name, {}) for name in _CHANGE)))
    columns = [
        row["account"],
        row["client"],
        row["operator"] and f"by {row['operator']}",
        row["school"] and f"for {row['school']}",
        row["address"],
        details,
    ]
    head = f"{row['at']}  {row['kind']:<24} {row['result']:<9}"
    return "  ".join([head.rstrip() if not any(columns) else head, *(plain(part) for part in columns if part)])


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Yield the changes, such as `phone: "" -> "03 53 01 40 40"`; only one value for a new or removed field."""
    for name in {**before, **after}:
        values = [json.dumps(side[name], ensure_ascii=False) for side in (before, after) if name in side]
        sign = "" if name in before else "-> "
        yield f"{name}: {sign}{' -> '.join(values)}{' ->' if name not in after else ''}"


def _print_array(rows: Iterator[dict[str, Any]]) -> None:
    """Print a JSON array without holding it in memory."""
    opening = "["
    for row in rows:
        click.echo(f"{opening}\n{dumped(row)}", nl=False)
        opening = ","
    click.echo("[]" if opening == "[" else "\n]")


def _head(_ctx: click.Context, _option: click.Parameter, typed: str | None) -> tuple[int, str] | None:
    if typed is None:
        return None
    parts = _HEAD.fullmatch(typed.strip().lower())
    if parts is None:
        raise click.BadParameter("must be NUMBER:MAC, from an earlier check, an export or the worker's log")
    return int(parts[1]), parts[2]


@audit.command()
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
        click.echo(json.dumps(_shown(finding)) if as_json else _finding_line(finding))
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


def _finding_line(finding: Finding) -> str:
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


@audit.command()
@click.option(
    "--since",
    callback=since_option,
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
    for entry in entries(conditions, None, backwards=False):
        click.echo(_line("entry", entry))
    if (beginning := db.session.scalar(select(AuditBeginning))) is not None:
        click.echo(_line("beginning", beginning))
    for seal in _seals(since):
        click.echo(_line("seal", seal))


def _seals(since: datetime | None) -> Iterator[AuditSeal]:
    after = 0
    while True:
        page = select(AuditSeal).where(AuditSeal.id > after).order_by(AuditSeal.id).limit(_SEALS)
        seals = db.session.scalars(page).all()
        db.session.expunge_all()
        yield from (seal for seal in seals if since is None or seal.newest_at >= since)
        if len(seals) < _SEALS:
            return
        after = seals[-1].id


def _line(type_: str, row: Base) -> str:
    columns = {_EXPORTED_AS.get(name, name): _as_json(getattr(row, name)) for name in _EXPORTED[type_]}
    return json.dumps({"type": type_, **columns})


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    return value.hex() if isinstance(value, bytes) else value
