"""`idp client`."""

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from flask import current_app
from sqlalchemy import select

from idp.audit import log
from idp.audit.events import ClientChanged
from idp.clients.models import Client, ClientInvite
from idp.db import db
from idp.oidc import client_options, invites, registration
from idp.oidc.client_options import registration_options
from idp.oidc.wanted import RegistrationRefused

T = TypeVar("T")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def client() -> None:
    """ENTs that may ask who signs in."""


@client.command()
@click.argument("name")
@registration_options(new=True)
@_JSON
def add(name: str, *, as_json: bool, **options: Any) -> None:
    """Register an ENT called NAME; its secret is shown this once."""
    wanted = client_options.as_wanted(name, options)
    row, secret = _or_fail(lambda: registration.register(current_app.extensions["idp.settings"], wanted))
    if wanted.subject == "pairwise" and not registration.sector_of(wanted):
        click.echo(
            "note: the redirect URIs have several hosts, so that this ENT is alone in its sector (Core 8.1)", err=True
        )
    shown = {"client_id": row.client_id, **({"client_secret": secret} if secret else {}), "name": row.name}
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    for field, value in shown.items():
        click.echo(f"{field}: {value}")


@client.command("list")
@_JSON
def list_clients(*, as_json: bool) -> None:
    """List all ENTs."""
    rows = [_client_row(row) for row in db.session.scalars(select(Client).order_by(Client.name))]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        click.echo(f"{row['client_id']}  {row['name']}{'  (disabled)' if row['disabled_at'] else ''}")


@client.command()
@click.argument("client_id")
@_JSON
def show(client_id: str, *, as_json: bool) -> None:
    """Show one registration; never its secret."""
    row = _client_row(_or_fail(lambda: registration.get(client_id)))
    if as_json:
        click.echo(json.dumps(row, ensure_ascii=False, indent=2))
        return
    for name, value in row.items():
        click.echo(f"{name}: {value}")


@client.command("set")
@click.argument("client_id")
@click.option("--name", "title", default="", help="What parents read.")
@click.option("--unset", multiple=True, metavar="OPTION", help="Empty an option, such as backchannel-logout-uri.")
@registration_options(new=False)
@_JSON
def change(client_id: str, *, title: str, unset: Sequence[str], as_json: bool, **options: Any) -> None:
    """Change an ENT's registration: what is given, nothing else. Lists replace the former ones."""

    def act() -> tuple[Client, str | None]:
        row = registration.get(client_id)
        wanted = client_options.changed(registration.as_wanted(row), options, unset)
        wanted = replace(wanted, name=title or wanted.name)
        scopes = row.scopes
        secret = registration.change(current_app.extensions["idp.settings"], row, wanted)
        if row.scopes != scopes:
            invites.bind(row)
        log.record(ClientChanged(client_id=row.id, change="changed"))
        db.session.commit()
        return row, secret

    row, secret = _or_fail(act)
    shown = _client_row(row) | ({"client_secret": secret} if secret else {})
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
        return
    for key, value in shown.items():
        click.echo(f"{key}: {value}")


@client.command("rotate-secret")
@click.argument("client_id")
@click.option(
    "--keep-former",
    type=click.IntRange(0, 24 * 30),
    default=24,
    show_default=True,
    metavar="HOURS",
    help="How long the former secret works still.",
)
@click.option("--at-once", is_flag=True, help="The former secret ends now: it has leaked.")
@_JSON
def rotate_secret(client_id: str, *, keep_former: int, at_once: bool, as_json: bool) -> None:
    """Draw a new secret, shown this once; the former works for a day still, so that the ENT may change over."""
    if at_once and click.get_current_context().get_parameter_source("keep_former") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--at-once or --keep-former, not both")
    keep_former = 0 if at_once else keep_former
    secret = _or_fail(lambda: registration.rotate_secret(client_id, keep=timedelta(hours=keep_former)))
    click.echo(json.dumps({"client_id": client_id, "client_secret": secret}) if as_json else f"client_secret: {secret}")


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
@click.option("--label", default="", help="For whom it is.")
@click.option("--uai", "uais", multiple=True, metavar="UAI", help="A school that the ENT will serve.")
@click.option("--scopes", default=registration.DEFAULT_SCOPES, show_default=True, help="Those it may ask for at most.")
@click.option("--days", type=click.IntRange(1, 90), default=7, show_default=True, help="How long it may be used.")
@_JSON
def invite(*, label: str, uais: Sequence[str], scopes: str, days: int, as_json: bool) -> None:
    """Invite an ENT to register itself, once, at /register (RFC 7591); the token is shown this once."""
    row, token = _or_fail(lambda: invites.invite(label, uais, scopes.split(), timedelta(days=days)))
    shown = _invite_row(row) | {"initial_access_token": token}
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    for key, value in shown.items():
        click.echo(f"{key}: {value}")


@client.command("invites")
@_JSON
def list_invites(*, as_json: bool) -> None:
    """List all invitations, youngest first."""
    rows = [_invite_row(row) for row in invites.listed()]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        state = f"used {row['used_at']}" if row["used_at"] else f"until {row['expires_at']}"
        click.echo(f"{row['invite']}  {row['label']}  {state}")


@client.command("revoke-invite")
@click.argument("invite_id", type=click.UUID)
def revoke_invite(invite_id: uuid.UUID) -> None:
    """Take an invitation back."""
    if not invites.revoke(invite_id):
        raise click.ClickException(f"{invite_id}: no such invitation that may still be used")
    click.echo(f"{invite_id} is taken back")


def _or_fail(act: Callable[[], T]) -> T:
    """Run `act`; what it refuses becomes the command's own error, one sentence a line."""
    try:
        return act()
    except RegistrationRefused as refused:
        raise click.ClickException("\n".join(refused.faults)) from refused


def _invite_row(row: ClientInvite) -> dict[str, Any]:
    return {
        "invite": str(row.id),
        "label": row.label,
        "uais": row.uais,
        "scopes": row.scopes,
        "created_at": row.created_at.isoformat(),
        "expires_at": row.expires_at.isoformat(),
        "used_at": row.used_at.isoformat() if row.used_at else None,
    }


def _client_row(row: Client) -> dict[str, Any]:
    return {
        "client_id": row.client_id,
        "name": row.name,
        "uais": row.uais,
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
        "registered_by_itself": row.registration_digest is not None,
        "disabled_at": row.disabled_at.isoformat() if row.disabled_at else None,
    }
