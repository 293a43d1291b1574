"""`idp client`."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from flask import current_app
from sqlalchemy import select

from idp.clients.models import Client
from idp.db import db
from idp.oidc import registration
from idp.oidc.registration import RegistrationRefused, Wanted

T = TypeVar("T")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _doors(_ctx: click.Context, _option: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
    """Read `PROFILE=URI`, once for a profile."""
    doors: dict[str, str] = {}
    for pair in pairs:
        profile, _, uri = pair.partition("=")
        if not (profile and uri) or profile in doors:
            raise click.BadParameter(f"{pair!r} is not PROFILE=URI, given once for a profile")
        doors[profile] = uri
    return doors


@click.group()
def client() -> None:
    """ENTs that may ask who signs in."""


@client.command()
@click.argument("name")
@click.option("--redirect-uri", "redirect_uris", multiple=True, required=True, metavar="URI")
@click.option("--uai", "uais", multiple=True, metavar="UAI", help="A school that the ENT serves, it alone.")
@click.option("--post-logout-redirect-uri", "post_logout_redirect_uris", multiple=True, metavar="URI")
@click.option("--backchannel-logout-uri", default="", metavar="URI", help="Told when a session ends.")
@click.option("--initiate-login-uri", default="", metavar="URI")
@click.option("--home-uri", default="", metavar="URI", help="Where a parent starts afresh.")
@click.option("--auth-method", default="client_secret_basic", show_default=True)
@click.option("--subject", default="pairwise", show_default=True, help="pairwise, public or aaf.")
@click.option("--subject-prefix", default="", help="The academy before an AAF join key, without hyphen.")
@click.option("--no-pkce", "pkce", flag_value=False, default=True, type=bool, help="The client sends no PKCE.")
@click.option("--scopes", default=registration.DEFAULT_SCOPES, show_default=True)
@click.option("--always-claims", default="", help="Scopes released without being asked, such as ent,charter.")
@click.option("--charter", default="ent", show_default=True, help="Who shows the charter: ent, provider or none.")
@click.option("--id-token-alg", default="RS256", show_default=True)
@click.option("--refresh-id-token", is_flag=True, help="Put an ID token into refresh answers too.")
@click.option("--default-profile", default="", help="Skip the choice of a profile, with parent for instance.")
@click.option(
    "--profile-uri",
    "profile_uris",
    multiple=True,
    metavar="PROFILE=URI",
    callback=_doors,
    help="Another profile's own door.",
)
@_JSON
def add(*, as_json: bool, always_claims: str, **options: Any) -> None:
    """Register an ENT called NAME; its secret is shown this once."""
    wanted = Wanted(
        always_claims=[scope.strip() for scope in always_claims.split(",") if scope.strip()],
        **options,
    )
    row, secret = _or_fail(lambda: registration.register(current_app.extensions["idp.settings"], wanted))
    shown = {"client_id": row.client_id, **({"client_secret": secret} if secret else {}), "name": row.name}
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    for name, value in shown.items():
        click.echo(f"{name}: {value}")


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


@client.command("rotate-secret")
@click.argument("client_id")
@_JSON
def rotate_secret(client_id: str, *, as_json: bool) -> None:
    """Draw a new secret; the former stops working at once."""
    secret = _or_fail(lambda: registration.rotate_secret(client_id))
    click.echo(json.dumps({"client_id": client_id, "client_secret": secret}) if as_json else f"client_secret: {secret}")


@client.command()
@click.argument("client_id")
def disable(client_id: str) -> None:
    """Shut an ENT out."""
    _or_fail(lambda: registration.disable(client_id))
    click.echo(f"{client_id} is disabled")


def _or_fail(act: Callable[[], T]) -> T:
    """Run `act`; what it refuses becomes the command's own error, one sentence a line."""
    try:
        return act()
    except RegistrationRefused as refused:
        raise click.ClickException("\n".join(refused.faults)) from refused


def _client_row(row: Client) -> dict[str, Any]:
    return {
        "client_id": row.client_id,
        "name": row.name,
        "uais": row.uais,
        "redirect_uris": row.redirect_uris,
        "post_logout_redirect_uris": row.post_logout_redirect_uris,
        "backchannel_logout_uri": row.backchannel_logout_uri,
        "home_uri": row.home_uri,
        "initiate_login_uri": row.initiate_login_uri,
        "auth_method": row.auth_method,
        "subject": row.subject_type.value,
        "subject_prefix": row.subject_prefix,
        "pkce_required": row.pkce_required,
        "scopes": row.scopes,
        "always_claims": row.always_claims,
        "charter": row.charter_mode.value,
        "id_token_alg": row.id_token_alg,
        "default_profile": row.default_profile,
        "profile_uris": row.profile_uris,
        "created_at": row.created_at.isoformat(),
        "disabled_at": row.disabled_at.isoformat() if row.disabled_at else None,
    }
