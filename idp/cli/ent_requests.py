"""The commands `ask`, `accept` and `refuse` of clients: what the desk does with what an ENT operator asks for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click
from sqlalchemy import select

from idp.db import db
from idp.desk.ents import acceptance, proposals
from idp.desk.staff.models import StaffAccount
from idp.mail.emails import fold_email
from idp.operations.reasons import check_reason
from idp.registration import options, registrations, rows
from idp.registration.commands import client_row, note_neighbours, or_fail, texts
from idp.registration.options import read_uais, registration_options
from idp.services import services
from idp.terminal import AS_JSON, members, plain


@click.command()
@click.argument("name")
@click.option("--operator", "mail", required=True, help="The mail address of an operator of another ENT.")
@registration_options(new=True)
@AS_JSON
def ask(name: str, mail: str, *, as_json: bool, **given: Any) -> None:
    """Register an ENT called NAME for its ENT operator; it stays closed until `idp client accept`.

    The schools are those that the ENT operator asks for. The secret is shown this once.
    """
    metadata = options.read(name, given)
    staff = db.session.scalar(select(StaffAccount).where(StaffAccount.mailbox == fold_email(mail)))
    if staff is None:
        raise click.ClickException(f"{plain(mail)} is no operator of an ENT")
    settings, staff_id = services().settings, staff.id
    row, secret = or_fail(lambda: acceptance.ask(settings, metadata, staff_id))
    shown = {"client_id": row.client_id, **({"client_secret": secret} if secret else {}), "name": row.name}
    members(shown, texts, as_json=as_json)


@click.command()
@click.argument("client_id")
@click.option(
    "--uai", "uais", multiple=True, metavar="UAI", callback=read_uais, help="A school that the ENT serves; repeatable."
)
@AS_JSON
def accept(client_id: str, uais: Sequence[str], *, as_json: bool) -> None:
    """Open an ENT that an ENT operator registered, for these schools; `idp client show` lists those it asked for.

    If the ENT is open and its operator asked for a change, make the change; give no school then.
    """
    row = or_fail(lambda: registrations.get(client_id))
    if row.waiting_since is None and not uais:
        or_fail(lambda: proposals.accept(services().settings, row))
        members(client_row(row), texts, as_json=as_json)
        return
    metadata = replace(rows.read(row), uais=tuple(uais))
    or_fail(lambda: acceptance.accept(services().settings, row, metadata))
    members(client_row(row), texts, as_json=as_json)
    note_neighbours(uais, row)


@click.command()
@click.argument("client_id")
@click.option("--reason", required=True, callback=check_reason, help="Why; the mail to the ENT operator says it.")
def refuse(client_id: str, reason: str) -> None:
    """Refuse an ENT that an ENT operator registered, which stays closed, or a change; the ENT operator is told why."""
    row = or_fail(lambda: registrations.get(client_id))
    is_change = row.waiting_since is None
    or_fail(lambda: proposals.refuse(row, reason) if is_change else acceptance.refuse(row, reason))
    click.echo(f"the change of {client_id} is refused" if is_change else f"{client_id} is refused")
