"""`idp account suspend`, `reopen` and `suspensions`: what the school desk does on « Suspendre l’accès »."""

import uuid
from datetime import datetime
from typing import Any

import click
from sqlalchemy import select

from idp.accounts.disputes import child_key
from idp.accounts.models import Account, Child, School
from idp.accounts.suspensions.models import Suspension
from idp.clock import end_of_day, now
from idp.db import db
from idp.operations.helpdesk import dossier, suspension
from idp.operations.helpdesk.acts import RefusedError
from idp.operations.helpdesk.dossier import NotFoundError
from idp.operations.helpdesk.suspension import Decision
from idp.operations.reasons import check_reason
from idp.terminal import AS_JSON, YES, confirm, dumped, instant, plain, records

_SCHOOL = click.option("--school", "uai", metavar="UAI", help="The school that decides.")
_REASON = click.option(
    "--reason", required=True, callback=check_reason, metavar="TEXT", help="Why; the journal keeps it."
)
_LONGEST_REFERENCE = 200
_COLUMNS = ("id", "child", "uai", "begins_at", "until", "state", "reason", "reference")


@click.command()
@click.argument("username")
@_SCHOOL
@click.option("--child", metavar="KEY", help="Only the tie to this child, by its key in the school's file.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day; without it, until it is reopened.")
@click.option("--reference", default="", metavar="TEXT", help="The document behind it, such as a judgement.")
@_REASON
@YES
def suspend(
    username: str, uai: str | None, child: str | None, until: datetime | None, reference: str, reason: str, *, yes: bool
) -> None:
    """Suspend an account, or its tie to one child, until a day or until it is reopened.

    A suspended account signs in nowhere, and its sessions end, here and in the ENTs. A suspended tie gives the child to
    no ENT; no import restores it.
    """
    document = " ".join(reference.split())
    if len(document) > _LONGEST_REFERENCE or (document and not document.isprintable()):
        raise click.UsageError(f"--reference must have at most {_LONGEST_REFERENCE} printable characters")
    try:
        account, school = _chosen(username, uai)
        decision = Decision(
            reason=reason,
            reference=document,
            until=end_of_day(until.date()) if until else None,
            child=dossier.get_child(account, child).id if child is not None else None,
            school=school,
        )
        tie = f"the tie to {child} of " if child is not None else ""
        confirm(f"Suspend {tie}{account.username} ({account.display_name})?", yes=yes)
        row = suspension.suspend(account.id, decision)
    except (NotFoundError, RefusedError) as refused:
        raise click.ClickException(plain(refused)) from refused
    about = f"the tie of {account.username} to {child}" if child is not None else account.username
    end = f"until {instant(row.until)}" if row.until else "until it is reopened"
    click.echo(plain(f"{about} is suspended {end} ({row.id}); sessions ended: {row.sessions_ended}"))


@click.command()
@click.argument("username")
@_SCHOOL
@click.option("--id", "suspension_id", type=click.UUID, metavar="ID", help="Only this suspension.")
@_REASON
def reopen(username: str, uai: str | None, suspension_id: uuid.UUID | None, reason: str) -> None:
    """Reopen what is suspended of an account: all of it, or one suspension of the list `suspensions`."""
    try:
        account, school = _chosen(username, uai)
        moment = now()
        chosen = [row.id for row in _of(account, school) if row.holds_at(moment) and suspension_id in {None, row.id}]
        if not chosen:
            raise click.ClickException(plain(f"nothing of {account.username} is suspended that could be reopened"))
        for key in chosen:
            suspension.reopen(key, reason)
    except (NotFoundError, RefusedError) as refused:
        raise click.ClickException(plain(refused)) from refused
    click.echo(plain(f"{account.username}: {len(chosen)} suspension{'' if len(chosen) == 1 else 's'} ended"))


@click.command()
@click.argument("username")
@_SCHOOL
@AS_JSON
def suspensions(username: str, uai: str | None, *, as_json: bool) -> None:
    """List the suspensions of an account, also those that are over, the youngest first."""
    try:
        account, school = _chosen(username, uai)
    except NotFoundError as refused:
        raise click.ClickException(plain(refused)) from refused
    rows = [_line(row) for row in _of(account, school)]
    if as_json:
        click.echo(dumped(rows))
    elif rows:
        records(_COLUMNS, rows)
    else:
        click.echo("no suspension", err=True)


def _chosen(username: str, uai: str | None) -> tuple[Account, School | None]:
    school = dossier.get_school(uai)
    return dossier.get_account(username, school), school


def _of(account: Account, school: School | None) -> list[Suspension]:
    return [row for row in suspension.of_account(account.id) if school is None or row.school_id == school.id]


def _line(row: Suspension) -> dict[str, Any]:
    child = db.session.get(Child, row.child_id) if row.child_id else None
    return {
        "id": str(row.id),
        "child": child_key(child) if child else None,
        "uai": db.session.scalar(select(School.uai).where(School.id == row.school_id)) if row.school_id else None,
        "begins_at": instant(row.begins_at),
        "until": instant(row.until),
        "state": _state(row),
        "reason": row.reason,
        "reference": row.reference or None,
        "begun_by": row.begun_by,
        "ended_at": instant(row.ended_at),
        "ended_by": row.ended_by or None,
        "sessions_ended": row.sessions_ended,
    }


def _state(row: Suspension) -> str:
    if not row.holds_at(now()):
        return "over"
    return "waits for the head" if row.awaits_head else "in force"
