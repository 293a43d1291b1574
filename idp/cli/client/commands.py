"""The commands about one ENT, and what all commands of `idp client` print."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import click
from sqlalchemy import select

from idp.cli.client import options
from idp.clients import names
from idp.clients.models import Client, ClientSchool, SubjectType
from idp.db import db
from idp.registration import approvals, registrations, rows
from idp.registration.faults import RegistrationRefusedError
from idp.registration.metadata import ClientMetadata
from idp.services import services
from idp.terminal import AS_JSON, dumped, members, plain


class _Group(click.Group):
    def invoke(self, context: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(context)
        except RegistrationRefusedError as refused:
            raise click.ClickException("\n".join(map(options.sentence, refused.faults))) from refused


@click.group(cls=_Group)
def client() -> None:
    """ENTs that may ask who signs in."""


@client.command()
@click.argument("name")
@options.registration_options(new=True)
@AS_JSON
def add(name: str, *, as_json: bool, **given: Any) -> None:
    """Register an ENT called NAME; its secret is shown this once."""
    metadata = options.read(name, given)
    row, secret = registrations.register(services().settings, metadata)
    show_added(row, secret, as_json=as_json)
    _note_namesakes(row)
    note_neighbours(metadata.uais, row)


@client.command("list")
@AS_JSON
def list_clients(*, as_json: bool) -> None:
    """List all ENTs."""
    rows = [_client_row(row) for row in db.session.scalars(select(Client).order_by(Client.name))]
    if as_json:
        click.echo(dumped(rows))
        return
    for row in rows:
        known = "  (everyone)" if row["audience"] == "everyone" else ""
        known += "  (gets the identifier)" if row["release_username"] else ""
        disabled = "  (disabled)" if row["disabled_at"] else ""
        disabled = "  (waits for `idp client accept`)" if row["waiting_since"] else disabled
        disabled = "  (refused)" if row["declined_at"] else disabled
        waits = "  (a change waits for approval)" if row["pending_since"] else ""
        click.echo(f"{row['client_id']}  {row['name']}{known}{disabled}{waits}")


@client.command()
@click.argument("client_id")
@AS_JSON
def show(client_id: str, *, as_json: bool) -> None:
    """Show one registration, never its secret. Without --json, empty fields are left out."""
    row = registrations.get(client_id)
    show_registration(row, as_json=as_json)
    if row.pending_metadata:
        hosts = approvals.pending_hosts(row) or []
        named = " ".join(f"--host {host}" for host in hosts)
        by_itself = f"a change waits for new hosts, {', '.join(hosts)}: idp client approve {client_id} {named}"
        added = f"new hosts {', '.join(hosts)}" if hosts else "no new host"
        by_operator = f"a change of the ENT operator waits, {added}: idp client accept {client_id}"
        _note(by_operator if approvals.has_proposal(row) else by_itself)
        note_sector(row)


@client.command("set")
@click.argument("client_id")
@click.option("--name", "title", help="The name that parents read.")
@click.option("--unset", multiple=True, metavar="OPTION", help="Empty an option, such as backchannel-logout-uri.")
@options.registration_options(new=False)
@AS_JSON
def change(client_id: str, *, title: str | None, unset: Sequence[str], as_json: bool, **given: Any) -> None:
    """Change the given fields of an ENT's registration.

    An option that may be given several times replaces the whole list: give all values that shall stay. The values that
    are no longer registered are printed on stderr.
    """
    row = registrations.get(client_id)
    former = rows.read(row)
    metadata = options.changed(former, given, unset)
    metadata = metadata if title is None else replace(metadata, name=title)
    secret = approvals.change(services().settings, row, metadata)
    show_registration(row, secret, as_json=as_json)
    note_gone(former, row)
    if row.name != former.name:
        _note_namesakes(row)
    note_neighbours(set(row.uais) - set(former.uais), row)


@client.command("rotate-secret")
@click.argument("client_id")
@click.option(
    "--keep-former",
    type=click.IntRange(0, 24 * 30),
    default=24,
    show_default=True,
    metavar="HOURS",
    help="How long the former secret still works; 0 if a secret leaked: all former ones end now.",
)
@click.option("--lost", is_flag=True, help="Nobody has the last secret: make another one in its place.")
@click.option("--force", is_flag=True, help="The ENT uses the last secret: end the former one now.")
@AS_JSON
def rotate_secret(client_id: str, *, keep_former: int, lost: bool, force: bool, as_json: bool) -> None:
    """Make a new secret, shown this once; the former one works for a day, so that the ENT can change.

    At most two secrets work: within that day, another one needs --lost or --force.
    """
    keep = timedelta(hours=keep_former)
    secret = registrations.rotate_secret(client_id, keep=keep, lost=lost, force=force)
    until = registrations.get(client_id).former_secret_until
    shown = {"client_secret": secret, "former_secret_until": _moment(until)}
    members(({"client_id": client_id} if as_json else {}) | shown, texts, as_json=as_json)


@client.command("renew-registration-token")
@click.argument("client_id")
@AS_JSON
def renew_registration_token(client_id: str, *, as_json: bool) -> None:
    """Give an ENT that registered itself a new registration access token, shown this once; the former one ends."""
    token = registrations.renew_access_token(client_id)
    shown = {"registration_access_token": token}
    members(({"client_id": client_id} if as_json else {}) | shown, texts, as_json=as_json)


@client.command()
@click.argument("client_id")
def disable(client_id: str) -> None:
    """Disable an ENT."""
    registrations.disable(client_id)
    click.echo(f"{client_id} is disabled")


@client.command()
@click.argument("client_id")
def enable(client_id: str) -> None:
    """Enable an ENT again."""
    registrations.enable(client_id)
    click.echo(f"{client_id} is enabled")


def show_added(row: Client, secret: str | None, *, as_json: bool) -> None:
    """Print the id and the secret of a new ENT."""
    shown = {"client_id": row.client_id, **({"client_secret": secret} if secret else {}), "name": row.name}
    members(shown, texts, as_json=as_json)


def show_registration(row: Client, secret: str | None = None, *, as_json: bool) -> None:
    """Print a registration, and a secret that is shown this once."""
    members(_client_row(row) | ({"client_secret": secret} if secret else {}), texts, as_json=as_json)


def _note(text: str) -> None:
    click.echo(plain(f"note: {text}"), err=True)


def note_gone(former: ClientMetadata, row: Client) -> None:
    """Name the values that a registration has no longer."""
    for gone in options.taken_away(former, rows.read(row)):
        _note(f"no longer registered: {gone}")


def _note_namesakes(own: Client) -> None:
    """Name the other ENTs whose name looks the same: a person may have several ENTs on one page."""
    read = names.as_read(own.name)
    others = db.session.execute(
        select(Client.name, Client.client_id).where(Client.id != own.id, Client.disabled_at.is_(None))
    )
    for name, client_id in others:
        if read is not None and names.as_read(name) == read:
            _note(f"{name} ({client_id}) has the same name, or one that looks the same")


def note_neighbours(uais: Iterable[str], own: Client | None = None) -> None:
    """Name the other ENTs that serve one of `uais`, which is allowed; letters name one of them only."""
    neighbours = db.session.execute(
        select(Client.name, Client.client_id, ClientSchool.uai)
        .join(ClientSchool, ClientSchool.client_id == Client.id)
        .where(ClientSchool.uai.in_(list(uais)), Client.disabled_at.is_(None))
        .order_by(Client.created_at, ClientSchool.uai)
    )
    served: dict[str, list[str]] = {}
    for name, client_id, uai in neighbours:
        if own is None or client_id != own.client_id:
            served.setdefault(f"{name} ({client_id})", []).append(uai)
    for neighbour, shared in served.items():
        _note(f"{neighbour} serves {', '.join(shared)} too; letters name the ENT that was registered first")


def note_sector(own: Client) -> None:
    """Name the other ENTs that know people by the same `sub`."""
    if own.sector and own.subject_type is SubjectType.PAIRWISE:
        others = select(Client.name, Client.client_id).where(Client.sector == own.sector, Client.id != own.id)
        for name, client_id in db.session.execute(others.where(Client.disabled_at.is_(None))):
            _note(f"{name} ({client_id}) is in the sector {own.sector} too: both know a person by the same sub")


def texts(value: Any) -> Iterator[str]:
    """Yield the lines of a value: one for each member of an object, none for an empty value."""
    if isinstance(value, dict):
        yield from (f"{name}={_text(member)}" for name, member in value.items())
    elif value not in (None, "", []):
        yield _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, dict):  # a key
        return " ".join(str(value[member]) for member in ("kty", "kid") if member in value)
    return str(value)


def _client_row(row: Client) -> dict[str, Any]:
    disabled_at, pending = _moment(row.disabled_at), row.pending_metadata or {}
    return {
        "client_id": row.client_id,
        **rows.shown(row),
        "created_at": _moment(row.created_at),
        "former_secret_until": _moment(row.former_secret_until),
        "registered_by_itself": registrations.came_by_invitation(row),
        "bounds": row.bounds,
        "registration_used_at": _moment(row.registration_used_at),
        "pending_since": pending.get("asked_at"),
        "pending_hosts": approvals.pending_hosts(row),
        "pending_metadata": pending.get("metadata"),
        "ended_itself_at": disabled_at if registrations.ended_itself(row) else None,
        "disabled_at": disabled_at,
        "waiting_since": _moment(row.waiting_since),
        "declined_at": _moment(row.declined_at),
        "asked_uais": row.asked_uais,
    }


def _moment(value: datetime | None) -> str | None:
    return value.isoformat() if value else None
