"""`idp account kept-suspensions` and `end-kept-suspension`: the suspensions of erased people and pupils who left."""

import uuid
from typing import Any

import click
from sqlalchemy import select

from idp.accounts.disputes import child_key
from idp.accounts.models import Child
from idp.accounts.suspensions.models import KeptSuspension
from idp.cli.refusals import as_click_error
from idp.db import db
from idp.families import suspension
from idp.operations.reasons import check_reason
from idp.terminal import AS_JSON, dumped, instant, table

_COLUMNS = ("id", "child", "uai", "until", "kept_at")


@click.command("kept-suspensions")
@AS_JSON
def list_kept(*, as_json: bool) -> None:
    """List the suspensions that were kept when their people were erased or their pupils left.

    While one is kept, no school file gives its person an account or a child in the pupil's school; each import says
    which line it refused. Any other person whom a file adds to the pupil waits for the head. The person is stored as
    encrypted digests and cannot be named: the pupil tells which decision it is. Once the pupil's row was removed, the
    pupil is stored in the same way, and only the school and the dates tell it.
    """
    rows = [_line(row, child) for row, child in _rows()]
    if as_json:
        click.echo(dumped(rows))
    elif rows:
        table(_COLUMNS, [[row[name] or "" for name in _COLUMNS] for row in rows])
    else:
        click.echo("no kept suspension", err=True)


@click.command("end-kept-suspension")
@click.argument("key", type=click.UUID, metavar="ID")
@click.option("--reason", required=True, callback=check_reason, metavar="TEXT", help="Why; the journal keeps it.")
def end_kept(key: uuid.UUID, reason: str) -> None:
    """End a suspension of the list `kept-suspensions`: the next school file opens the access again.

    A person who waits for the head already waits until the answer.
    """
    with as_click_error():
        suspension.end_kept(key, reason)
    click.echo(f"{key} ended: the next school file opens the access again, unless the person waits for the head")


def _rows() -> list[tuple[KeptSuspension, Child | None]]:
    chosen = (
        select(KeptSuspension, Child)
        .outerjoin(Child, Child.id == KeptSuspension.child_id)
        .order_by(KeptSuspension.kept_at.desc(), KeptSuspension.id)
    )
    return [(row, child) for row, child in db.session.execute(chosen)]


def _line(row: KeptSuspension, child: Child | None) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "child": child_key(child) if child else "",
        "uai": child.school.uai if child else row.uai,
        "until": instant(row.until),
        "kept_at": instant(row.kept_at),
    }
