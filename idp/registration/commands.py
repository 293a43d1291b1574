"""`idp client`."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import click
from sqlalchemy import select

from idp.audit import changes, log
from idp.audit.registry_events import ClientChanged
from idp.clients.models import Client, ClientInvite, ClientSchool, SubjectType
from idp.db import db, unit_of_work
from idp.registration import approvals, invitations, names
from idp.registration import changes as registration
from idp.registration import options as client_options
from idp.registration.invitations import SUBJECTS, Bounds
from idp.registration.options import read_uais, registration_options
from idp.registration.wanted import RegistrationRefused, Wanted
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
def add(name: str, *, as_json: bool, **options: Any) -> None:
    """Register an ENT called NAME; its secret is shown this once."""
    wanted = client_options.as_wanted(name, options)
    row, secret = _or_fail(lambda: registration.register(services().settings, wanted))
    shown = {"client_id": row.client_id, **({"client_secret": secret} if secret else {}), "name": row.name}
    members(shown, _texts, as_json=as_json)
    _note_namesakes(row)
    _note_neighbours(wanted.uais, row)


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
        known += "  (is told the identifier)" if row["release_username"] else ""
        disabled = "  (disabled)" if row["disabled_at"] else ""
        waits = "  (a change waits for approval)" if row["pending_since"] else ""
        click.echo(f"{row['client_id']}  {row['name']}{known}{disabled}{waits}")


@client.command()
@click.argument("client_id")
@AS_JSON
def show(client_id: str, *, as_json: bool) -> None:
    """Show one registration; never its secret. What is empty is left out, but not of --json."""
    row = _or_fail(lambda: registration.get(client_id))
    members(_client_row(row), _texts, as_json=as_json)
    if row.pending_metadata:
        hosts = row.pending_metadata["hosts"]
        named = " ".join(f"--host {host}" for host in hosts)
        _note(f"a change waits for new hosts, {', '.join(hosts)}: idp client approve {client_id} {named}")
        _note_sector(row)


@client.command("set")
@click.argument("client_id")
@click.option("--name", "title", help="What parents read.")
@click.option("--unset", multiple=True, metavar="OPTION", help="Empty an option, such as backchannel-logout-uri.")
@registration_options(new=False)
@AS_JSON
def change(client_id: str, *, title: str | None, unset: Sequence[str], as_json: bool, **options: Any) -> None:
    """Change an ENT's registration: what is given, nothing else.

    An option that may be given several times replaces the whole list: name all that is to stay. What is taken away is
    said on stderr.
    """

    def act() -> tuple[Client, Wanted, str | None]:
        row = registration.get(client_id)
        former = registration.as_wanted(row)
        wanted = client_options.changed(former, options, unset)
        wanted = wanted if title is None else replace(wanted, name=title)
        before = registration.told(row)
        registration.check_change(services().settings, row, wanted)
        with unit_of_work():
            secret = registration.change(row, wanted)
            invitations.bind(row, former, wanted)
            changed = changes.difference(before, registration.told(row))
            log.record(ClientChanged(client_id=row.id, change="changed", **changed))
        return row, former, secret

    row, former, secret = _or_fail(act)
    members(_client_row(row) | ({"client_secret": secret} if secret else {}), _texts, as_json=as_json)
    for gone in client_options.taken_away(former, registration.as_wanted(row)):
        _note(f"no longer registered: {gone}")
    if row.name != former.name:
        _note_namesakes(row)
    _note_neighbours(set(row.uais) - set(former.uais), row)


@client.command("rotate-secret")
@click.argument("client_id")
@click.option(
    "--keep-former",
    type=click.IntRange(0, 24 * 30),
    default=24,
    show_default=True,
    metavar="HOURS",
    help="How long the former secret works still; 0 when it leaked: all that were given out end at once.",
)
@click.option("--lost", is_flag=True, help="Nobody has the last secret: draw another one in its place.")
@click.option("--force", is_flag=True, help="End a former secret whose time is not over: the ENT uses the last one.")
@AS_JSON
def rotate_secret(client_id: str, *, keep_former: int, lost: bool, force: bool, as_json: bool) -> None:
    """Draw a new secret, shown this once; the former works for a day still, so that the ENT may change over.

    Two secrets are good at most: within that day another one is drawn with --lost or --force alone.
    """
    keep = timedelta(hours=keep_former)
    secret = _or_fail(lambda: registration.rotate_secret(client_id, keep=keep, lost=lost, force=force))
    until = registration.get(client_id).former_secret_until
    shown = {"client_secret": secret, "former_secret_until": until.isoformat() if until else None}
    members(({"client_id": client_id} if as_json else {}) | shown, _texts, as_json=as_json)


@client.command("renew-registration-token")
@click.argument("client_id")
@AS_JSON
def renew_registration_token(client_id: str, *, as_json: bool) -> None:
    """Give an ENT that registered itself another registration access token, shown this once: the former one leaked."""
    token = _or_fail(lambda: registration.renew_management(client_id))
    shown = {"registration_access_token": token}
    members(({"client_id": client_id} if as_json else {}) | shown, _texts, as_json=as_json)


@client.command()
@click.argument("client_id")
def disable(client_id: str) -> None:
    """Shut an ENT out."""
    _or_fail(lambda: registration.disable(client_id))
    click.echo(f"{client_id} is disabled")


@client.command()
@click.argument("client_id")
def enable(client_id: str) -> None:
    """Let an ENT in again."""
    _or_fail(lambda: registration.enable(client_id))
    click.echo(f"{client_id} is enabled")


@client.command()
@click.argument("client_id")
@click.option("--reject", is_flag=True, help="Leave the registration as it is.")
@click.option(
    "--host", "hosts", multiple=True, metavar="HOST", help="A new host that you expect; others approve nothing."
)
@AS_JSON
def approve(client_id: str, *, reject: bool, hosts: Sequence[str], as_json: bool) -> None:
    """Approve the new hosts that an ENT which registered itself asks for; `client show` says which, of all addresses.

    The ENT stays in its sector: it knows each person by the same sub as before.
    """
    if reject and hosts:
        raise click.UsageError("--host is for an approval")
    if reject:
        members(_client_row(_or_fail(lambda: approvals.reject(client_id))), _texts, as_json=as_json)
        return
    settings = services().settings
    row, former, secret = _or_fail(lambda: approvals.approve(settings, client_id, hosts))
    members(_client_row(row) | ({"client_secret": secret} if secret else {}), _texts, as_json=as_json)
    for gone in client_options.taken_away(former, registration.as_wanted(row)):
        _note(f"no longer registered: {gone}")
    _note_sector(row)


@client.command()
@click.option("--label", default="", help="For whom it is; parents read it where the ENT gives no name of its own.")
@click.option(
    "--uai", "uais", multiple=True, metavar="UAI", callback=read_uais, help="A school that the ENT will serve."
)
@click.option("--scopes", default=registration.DEFAULT_SCOPES, show_default=True, help="Those it may ask for at most.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="A host of its addresses, now and later; default: what it registers with.",
)
@click.option(
    "--subject",
    type=click.Choice(list(filter(None, SUBJECTS))),
    help="The one subject_type that it may ask for; default: both.",
)
@click.option("--auth-method", default="", help="The one way in which it may authenticate; default: its choice.")
@click.option("--no-pkce/--pkce", "no_pkce", default=None, help="The ENT sends no PKCE; default: it must.")
@click.option("--reusable", type=click.IntRange(1, 1000), default=1, metavar="N", help="For trials: good for N ENTs.")
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
    no_pkce: bool | None,
    reusable: int,
    days: int,
    as_json: bool,
) -> None:
    """Invite an ENT to register itself, once, at /register (RFC 7591); the token is shown this once."""
    bounds = Bounds(scopes=scopes.split(), hosts=hosts, subject_type=subject or "", auth_method=auth_method)
    pkce = None if no_pkce is None else not no_pkce
    life = timedelta(days=days)
    row, token = _or_fail(lambda: invitations.invite(label, uais, bounds, life, uses=reusable, pkce=pkce))
    members(_invite_row(row) | {"initial_access_token": token}, _texts, as_json=as_json)
    _note_neighbours(uais)


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
    """Take an invitation back."""
    if not invitations.revoke(invite_id):
        raise click.ClickException(f"{invite_id}: no such invitation that may still be used")
    click.echo(f"{invite_id} is taken back")


def _or_fail(act: Callable[[], T]) -> T:
    """Run `act`; what it refuses becomes the command's own error, one sentence a line."""
    try:
        return act()
    except RegistrationRefused as refused:
        raise click.ClickException("\n".join(refused.faults)) from refused


def _note(said: str) -> None:
    """Say on stderr what may be meant, and may be a slip."""
    click.echo(plain(f"note: {said}"), err=True)


def _note_namesakes(own: Client) -> None:
    """Say which other ENTs parents would take this one for: the same person may have several on her account's page."""
    read = names.as_read(own.name)
    others = db.session.execute(
        select(Client.name, Client.client_id).where(Client.id != own.id, Client.disabled_at.is_(None))
    )
    for name, client_id in others:
        if read is not None and names.as_read(name) == read:
            _note(f"{name} ({client_id}) has the same name, or one that parents take for it")


def _note_neighbours(uais: Iterable[str], own: Client | None = None) -> None:
    """Say which other ENTs serve one of `uais`: several may, and letters lead to one."""
    found = db.session.execute(
        select(Client.name, Client.client_id, ClientSchool.uai)
        .join(ClientSchool, ClientSchool.client_id == Client.id)
        .where(ClientSchool.uai.in_(list(uais)), Client.disabled_at.is_(None))
        .order_by(Client.created_at, ClientSchool.uai)
    )
    served: dict[str, list[str]] = {}
    for name, client_id, uai in found:
        if own is None or client_id != own.client_id:
            served.setdefault(f"{name} ({client_id})", []).append(uai)
    for neighbour, shared in served.items():
        _note(f"{neighbour} serves {', '.join(shared)} too; letters lead to the ENT that was registered first")


def _note_sector(own: Client) -> None:
    """Say which other ENTs know people by the same `sub`."""
    if own.sector and own.subject_type is SubjectType.PAIRWISE:
        others = select(Client.name, Client.client_id).where(Client.sector == own.sector, Client.id != own.id)
        for name, client_id in db.session.execute(others.where(Client.disabled_at.is_(None))):
            _note(f"{name} ({client_id}) is in the sector {own.sector} too: both know a person by the same sub")


def _texts(value: Any) -> Iterator[str]:
    """Yield the lines that a value takes: one for each member of an object, none for what is not there."""
    if isinstance(value, dict):
        yield from (f"{name}={_text(member)}" for name, member in value.items())
    elif value not in (None, "", []):
        yield _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, dict):  # a key, which is known by its name
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
        "uses_left": row.uses_left,
        "created_at": row.created_at.isoformat(),
        "expires_at": row.expires_at.isoformat(),
        "used_at": row.used_at.isoformat() if row.used_at else None,
    }


def _client_row(row: Client) -> dict[str, Any]:
    disabled_at = row.disabled_at.isoformat() if row.disabled_at else None
    return {
        "client_id": row.client_id,
        "name": row.name,
        "audience": row.audience.value,
        "uais": row.uais,
        "release_username": row.release_username,
        "redirect_uris": row.redirect_uris,
        "post_logout_redirect_uris": row.post_logout_redirect_uris,
        "backchannel_logout_uri": row.backchannel_logout_uri,
        "frontchannel_logout_uri": row.frontchannel_logout_uri,
        "home_uri": row.home_uri,
        "initiate_login_uri": row.initiate_login_uri,
        "auth_method": row.auth_method,
        "auth_alg": row.auth_alg,
        "jwks": row.jwks,
        "jwks_uri": row.jwks_uri,
        "profile": row.security_profile,
        "par_required": row.par_required,
        "dpop_required": row.dpop_required,
        "subject": row.subject_type.value,
        "subject_prefix": row.subject_prefix,
        "sector": row.sector,
        "sector_identifier_uri": row.sector_identifier_uri,
        "pkce_required": row.pkce_required,
        "scopes": row.scopes,
        "always_claims": row.always_claims,
        "charter": row.charter_mode.value,
        "id_token_alg": row.id_token_alg,
        "userinfo_alg": row.userinfo_alg,
        "refresh_id_token": row.refresh_id_token,
        "default_max_age": row.default_max_age,
        "description": row.description,
        "default_profile": row.default_profile,
        "profile_uris": row.profile_uris,
        "created_at": row.created_at.isoformat(),
        "former_secret_until": row.former_secret_until.isoformat() if row.former_secret_until else None,
        "registered_by_itself": registration.came_by_invitation(row),
        "bounds": row.bounds,
        "registration_used_at": row.registration_used_at.isoformat() if row.registration_used_at else None,
        "pending_since": row.pending_metadata["asked_at"] if row.pending_metadata else None,
        "pending_hosts": row.pending_metadata["hosts"] if row.pending_metadata else None,
        "pending_metadata": row.pending_metadata["metadata"] if row.pending_metadata else None,
        "ended_itself_at": disabled_at if registration.ended_itself(row) else None,
        "disabled_at": disabled_at,
    }
