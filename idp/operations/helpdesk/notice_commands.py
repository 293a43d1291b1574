"""`idp school notices`: the events that a school has to know and to settle."""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import aliased

from idp.accounts import disputes, school_notices
from idp.accounts.models import Account, Child, School, SchoolNotice
from idp.accounts.school_notices import Refusal
from idp.audit import log
from idp.audit.events import AccountRead
from idp.db import db, unit_of_work
from idp.operations.helpdesk import admission, dossier
from idp.operations.helpdesk.acts import RefusedError
from idp.operations.helpdesk.dossier import NotFoundError
from idp.terminal import AS_JSON, dumped, instant, plain, records

_PAGE = 500
_LONGEST_SENTENCE = 500
_COLUMNS = (
    "id",
    "uai",
    "kind",
    "account",
    "other",
    "children",
    "note",
    "at",
    "state",
    "settled_by",
    "settled_at",
    "sentence",
)


@click.command()
@click.option("--uai", metavar="UAI", help="Only the notices of this school.")
@click.option("--open", "only_open", is_flag=True, help="Only open notices.")
@click.option("--settle", "notice_id", type=click.UUID, metavar="ID", help="Settle this notice, with --sentence.")
@click.option("--sentence", metavar="TEXT", help="What was found and done; kept with the notice.")
@AS_JSON
def notices(
    uai: str | None, notice_id: uuid.UUID | None, sentence: str | None, *, only_open: bool, as_json: bool
) -> None:
    """List the events that schools have to know and to settle, oldest first, or settle one notice.

    A dispute (who is a guardian, which address is right) is settled with `idp account disputes`, which settles its
    notice. The head of the school decides about a guardian who waits (`guardian_waits`): `idp account reopen` gives the
    access and settles the notice; --settle keeps the person out. The head also compares a corrected name with a
    suspension (`name_compared`): `idp account suspend` closes the access; --settle notes the answer and closes nothing.
    So it is with a guardian whom a file added beside an active one (`guardian_added`). About a
    letter that was typed into another account (`letter_doubt`) --settle changes nothing: `idp account unlink` separates
    the two.
    """
    if (notice_id is None) != (sentence is None):
        raise click.UsageError("--settle and --sentence go together")
    if notice_id is not None and (only_open or as_json):
        raise click.UsageError("--settle takes neither --open nor --json")
    try:
        school = dossier.get_school(uai)
    except NotFoundError as missing:
        raise click.ClickException(plain(missing)) from missing
    if notice_id is not None:
        _settle(notice_id, _sentence(sentence or ""), school)
    else:
        _show(list(rows(school, only_open=only_open)), as_json=as_json)


def rows(school: School | None, *, only_open: bool) -> Iterator[dict[str, Any]]:
    """Yield the notices of one school, or of all, oldest first."""
    keys = select(SchoolNotice.id).order_by(SchoolNotice.created_at, SchoolNotice.id)
    if school is not None:
        keys = keys.where(SchoolNotice.school_id == school.id)
    if only_open:
        keys = keys.where(SchoolNotice.settled_at.is_(None))
    notice_ids = db.session.scalars(keys).all()
    for start in range(0, len(notice_ids), _PAGE):
        yield from _page(notice_ids[start : start + _PAGE], school)


def _page(keys: Sequence[uuid.UUID], school: School | None) -> list[dict[str, Any]]:
    """Return some notices, after the journal recorded whose accounts were read."""
    other = aliased(Account)
    rows = db.session.execute(
        select(SchoolNotice, School.uai, Account.username, other.username)
        .join(School, School.id == SchoolNotice.school_id)
        .join(Account, Account.id == SchoolNotice.account_id)
        .outerjoin(other, other.id == SchoolNotice.other_account_id)
        .where(SchoolNotice.id.in_(keys))
        .order_by(SchoolNotice.created_at, SchoolNotice.id)
    ).all()
    shown = [notice for notice, _, _, _ in rows]
    children = school_notices.children_of(shown)
    seen = {key for notice in shown for key in (notice.account_id, notice.other_account_id) if key is not None}
    with unit_of_work():
        for account_id in seen:
            log.record(AccountRead(account_id=account_id, school=school.uai if school else ""))
    return [
        {
            "id": str(notice.id),
            "uai": uai,
            "kind": notice.kind,
            "account": username,
            "other": other_username,
            "children": [_child(child) for child in children[notice.id]],
            "note": notice.note or None,
            "at": instant(notice.created_at),
            "state": "open" if notice.settled_at is None else "settled",
            "settled_by": notice.settled_by or None,
            "settled_at": instant(notice.settled_at),
            "sentence": notice.sentence or None,
        }
        for notice, uai, username, other_username in rows
    ]


def _child(child: Child) -> dict[str, str]:
    return {
        "given_name": child.given_name,
        "family_name": child.family_name,
        "class": child.class_name,
        "student_id": child.student_id,
        "key": disputes.child_key(child),
    }


def _show(notices: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(dumped(notices))
        return
    if not notices:
        click.echo("no notice", err=True)
        return
    for row in notices:
        row["children"] = ", ".join(f"{child['given_name']} {child['family_name']}" for child in row["children"])
    records(_COLUMNS, notices)


def _sentence(typed: str) -> str:
    text = typed.strip()
    if not text or len(text) > _LONGEST_SENTENCE or not text.isprintable():
        raise click.UsageError(f"--sentence must be 1 to {_LONGEST_SENTENCE} characters on one line")
    return text


def _settle(notice_id: uuid.UUID, sentence: str, school: School | None) -> None:
    by = log.current_origin().actor
    with unit_of_work():
        refusal = school_notices.settle_one(notice_id, by=by, sentence=sentence, school=school)
    if refusal is Refusal.WAITS:  # the person stays without access
        try:
            admission.keep_out(notice_id, sentence)
        except RefusedError as refused:
            raise click.ClickException(plain(refused)) from refused
    elif refusal is not None:
        raise click.ClickException(_why(refusal, notice_id))
    click.echo(f"{notice_id} is settled")


def _why(refusal: Refusal, notice_id: uuid.UUID) -> str:
    if refusal is Refusal.UNKNOWN:
        return f"no notice {notice_id}"
    notice, username = db.session.execute(
        select(SchoolNotice, Account.username)
        .join(Account, Account.id == SchoolNotice.account_id)
        .where(SchoolNotice.id == notice_id)
        .execution_options(populate_existing=True)
    ).one()
    if refusal is Refusal.DISPUTED:
        return f"{notice.kind} is a dispute: settle it with `idp account disputes {plain(username)}`"
    return f"{notice_id} was settled by {plain(notice.settled_by) or 'an operator'} at {instant(notice.settled_at)}"
