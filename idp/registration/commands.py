"""`idp client`."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import click
from sqlalchemy import select

from idp.clients import names
from idp.clients.models import Client, ClientInvite, ClientSchool, SubjectType
from idp.db import db
from idp.registration import approvals, invitations, options, registrations, rows
from idp.registration.faults import RegistrationRefusedError
from idp.registration.invitations import SUBJECTS, Bounds
from idp.registration.metadata import DEFAULT_SCOPES, ClientMetadata
from idp.registration.options import read_uais, registration_options
from idp.services import services
from idp.terminal import AS_JSON, dumped, members, plain

T = TypeVar("T")


@click.group()
def client() -> None:
    """ENTs that may ask who signs in."""


@client.command()
@click.argument("name")
@registration_options(new=True)
@AS_JSON
def add(name: str, *, as_json: bool, **given: Any) -> None:
    """Register an ENT called NAME; its secret is shown this once."""
    metadata = options.read(name, given)
    row, secret = or_fail(lambda: registrations.register(services().settings, metadata))
    shown = {"client_id": row.client_id, **({"client_secret": secret} if secret else {}), "name": row.name}
    members(shown, texts, as_json=as_json)
    _note_namesakes(row)
    note_neighbours(metadata.uais, row)


@client.command("list")
@AS_JSON
def list_clients(*, as_json: bool) -> None:
    """List all ENTs."""
    rows = [client_row(row) for row in db.session.scalars(select(Client).order_by(Client.name))]
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
    row = or_fail(lambda: registrations.get(client_id))
    members(client_row(row), texts, as_json=as_json)
    if row.pending_metadata:
        hosts = approvals.pending_hosts(row) or []
        named = " ".join(f"--host {host}" for host in hosts)
        by_itself = f"a change waits for new hosts, {', '.join(hosts)}: idp client approve {client_id} {named}"
        added = f"new hosts {', '.join(hosts)}" if hosts else "no new host"
        by_operator = f"a change of the ENT operator waits, {added}: idp client accept {client_id}"
        _note(by_operator if approvals.has_proposal(row) else by_itself)
        _note_sector(row)


@client.command("set")
@click.argument("client_id")
@click.option("--name", "title", help="The name that parents read.")
@click.option("--unset", multiple=True, metavar="OPTION", help="Empty an option, such as backchannel-logout-uri.")
@registration_options(new=False)
@AS_JSON
def change(client_id: str, *, title: str | None, unset: Sequence[str], as_json: bool, **given: Any) -> None:
    """Change the given fields of an ENT's registration.

    An option that may be given several times replaces the whole list: give all values that shall stay. The values that
    are no longer registered are printed on stderr.
    """

    def act() -> tuple[Client, ClientMetadata, str | None]:
        row = registrations.get(client_id)
        former = rows.read(row)
        metadata = options.changed(former, given, unset)
        metadata = metadata if title is None else replace(metadata, name=title)
        return row, former, approvals.change(services().settings, row, metadata)

    row, former, secret = or_fail(act)
    members(client_row(row) | ({"client_secret": secret} if secret else {}), texts, as_json=as_json)
    for gone in options.taken_away(former, rows.read(row)):
        _note(f"no longer registered: {gone}")
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
    secret = or_fail(lambda: registrations.rotate_secret(client_id, keep=keep, lost=lost, force=force))
    until = registrations.get(client_id).former_secret_until
    shown = {"client_secret": secret, "former_secret_until": until.isoformat() if until else None}
    members(({"client_id": client_id} if as_json else {}) | shown, texts, as_json=as_json)


@client.command("renew-registration-token")
@click.argument("client_id")
@AS_JSON
def renew_registration_token(client_id: str, *, as_json: bool) -> None:
    """Give an ENT that registered itself a new registration access token, shown this once; the former one ends."""
    token = or_fail(lambda: registrations.renew_access_token(client_id))
    shown = {"registration_access_token": token}
    members(({"client_id": client_id} if as_json else {}) | shown, texts, as_json=as_json)


@client.command()
@click.argument("client_id")
def disable(client_id: str) -> None:
    """Disable an ENT."""
    or_fail(lambda: registrations.disable(client_id))
    click.echo(f"{client_id} is disabled")


@client.command()
@click.argument("client_id")
def enable(client_id: str) -> None:
    """Enable an ENT again."""
    or_fail(lambda: registrations.enable(client_id))
    click.echo(f"{client_id} is enabled")


@client.command()
@click.argument("client_id")
@click.option("--reject", is_flag=True, help="Leave the registration as it is.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="FIELD=HOST",
    help="A field and its new host that you expect, with the port if it has one; with another, nothing is approved.",
)
@AS_JSON
def approve(client_id: str, *, reject: bool, hosts: Sequence[str], as_json: bool) -> None:
    """Approve the new hosts that an ENT which registered itself asks for; `client show` lists them.

    The ENT stays in its sector: it knows each person by the same sub as before.
    """
    if reject and hosts:
        raise click.UsageError("--host is for an approval")
    if reject:
        members(client_row(or_fail(lambda: approvals.reject(client_id))), texts, as_json=as_json)
        return
    settings = services().settings
    row, former, secret = or_fail(lambda: approvals.approve(settings, client_id, hosts))
    members(client_row(row) | ({"client_secret": secret} if secret else {}), texts, as_json=as_json)
    for gone in options.taken_away(former, rows.read(row)):
        _note(f"no longer registered: {gone}")
    _note_sector(row)


@client.command()
@click.option("--label", default="", help="The recipient; also the name of an ENT that registers without one.")
@click.option(
    "--uai", "uais", multiple=True, metavar="UAI", callback=read_uais, help="A school that the ENT will serve."
)
@click.option(
    "--scopes", default=" ".join(DEFAULT_SCOPES), show_default=True, help="The scopes that the ENT may ask for at most."
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="A host of its URIs, now and later; default: the hosts that it registers with.",
)
@click.option(
    "--subject",
    type=click.Choice(SUBJECTS),
    help="The only subject_type that it may ask for; default: both.",
)
@click.option(
    "--auth-method", default="", help="The only authentication method that it may ask for; default: its choice."
)
@click.option("--pkce/--no-pkce", "pkce", default=None, help="Whether the ENT must send PKCE.  [default: pkce]")
@click.option("--release-username", is_flag=True, help="The ENT gets the identifier that a person signs in with.")
@click.option(
    "--reusable", type=click.IntRange(1, 1000), default=1, metavar="N", help="How many ENTs may use it, for trials."
)
@click.option("--days", type=click.IntRange(1, 90), default=7, show_default=True, help="How long it may be used.")
@AS_JSON
def invite(  # noqa: PLR0913 - one for each option
    *,
    label: str,
    uais: Sequence[str],
    scopes: str,
    hosts: Sequence[str],
    subject: str | None,
    auth_method: str,
    pkce: bool | None,
    release_username: bool,
    reusable: int,
    days: int,
    as_json: bool,
) -> None:
    """Invite an ENT to register itself at /register (RFC 7591); the token is shown this once."""
    bounds = Bounds(scopes=scopes.split(), hosts=hosts, subject_type=subject or "", auth_method=auth_method)
    life = timedelta(days=days)
    given: dict[str, Any] = {"uses": reusable, "pkce": pkce, "release_username": release_username}
    row, token = or_fail(lambda: invitations.invite(label, uais, bounds, life, **given))
    members(_invite_row(row) | {"initial_access_token": token}, texts, as_json=as_json)
    note_neighbours(uais)


@client.command("invites")
@AS_JSON
def list_invites(*, as_json: bool) -> None:
    """List all invitations, youngest first."""
    rows = [_invite_row(row) for row in invitations.listed()]
    if as_json:
        click.echo(dumped(rows))
        return
    for row in rows:
        state = f"until {row['expires_at']}" if row["uses_left"] else f"used {row['used_at']}"
        state += f", {row['uses_left']} uses left" if row["uses_left"] > 1 else ""
        click.echo(f"{row['invite']}  {row['label']}  {state}")


@client.command("revoke-invite")
@click.argument("invite_id", type=click.UUID)
def revoke_invite(invite_id: uuid.UUID) -> None:
    """Revoke an invitation."""
    if not invitations.revoke(invite_id):
        raise click.ClickException(f"{invite_id}: no invitation with this id may still be used")
    click.echo(f"{invite_id} is revoked")


def or_fail(act: Callable[[], T]) -> T:
    """Run `act`; fail with its faults, one a line."""
    try:
        return act()
    except RegistrationRefusedError as refused:
        raise click.ClickException("\n".join(map(options.sentence, refused.faults))) from refused


def _note(text: str) -> None:
    """Print on stderr what may be a mistake."""
    click.echo(plain(f"note: {text}"), err=True)


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


def _note_sector(own: Client) -> None:
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


def _invite_row(row: ClientInvite) -> dict[str, Any]:
    return {
        "invite": str(row.id),
        "label": row.label,
        "uais": row.uais,
        "scopes": row.scopes,
        "hosts": row.hosts,
        "subject": row.subject_type,
        "auth_method": row.auth_method,
        "pkce_required": row.pkce_required,
        "release_username": row.release_username,
        "uses_left": row.uses_left,
        "created_at": row.created_at.isoformat(),
        "expires_at": row.expires_at.isoformat(),
        "used_at": row.used_at.isoformat() if row.used_at else None,
    }


def client_row(row: Client) -> dict[str, Any]:
    """Return a registration as the commands print it."""
    disabled_at = row.disabled_at.isoformat() if row.disabled_at else None
    pending = row.pending_metadata or {}
    return {
        "client_id": row.client_id,
        **rows.shown(row),
        "created_at": row.created_at.isoformat(),
        "former_secret_until": row.former_secret_until.isoformat() if row.former_secret_until else None,
        "registered_by_itself": registrations.came_by_invitation(row),
        "bounds": row.bounds,
        "registration_used_at": row.registration_used_at.isoformat() if row.registration_used_at else None,
        "pending_since": pending.get("asked_at"),
        "pending_hosts": approvals.pending_hosts(row),
        "pending_metadata": pending.get("metadata"),
        "ended_itself_at": disabled_at if registrations.ended_itself(row) else None,
        "disabled_at": disabled_at,
        "waiting_since": row.waiting_since.isoformat() if row.waiting_since else None,
        "declined_at": row.declined_at.isoformat() if row.declined_at else None,
        "asked_uais": row.asked_uais,
    }
