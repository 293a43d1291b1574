"""`idp keys`: the keys that sign."""

import json

import click
from flask import current_app
from sqlalchemy import select

from idp.db import db
from idp.oidc import keys
from idp.oidc.models import SigningKey

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("keys")
def keys_group() -> None:
    """Keys that sign ID tokens."""


@keys_group.command("list")
@_JSON
def list_keys(*, as_json: bool) -> None:
    """List all keys, youngest first."""
    rows = [keys.as_row(row) for row in db.session.scalars(select(SigningKey).order_by(SigningKey.created_at.desc()))]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        state = f"retired {row['retired_at']}" if row["retired_at"] else f"signs from {row['active_from']}"
        click.echo(f"{row['kid']}  {row['alg']}  {state}")


@keys_group.command()
@click.option("--alg", type=click.Choice(keys.ALGORITHMS), default="RS256", show_default=True)
@click.option("--bits", type=click.Choice([str(b) for b in keys.RSA_BITS]), default="2048", show_default=True)
@click.option("--now", "at_once", is_flag=True, help="Sign at once: for emergencies, clients may not know it.")
@_JSON
def rotate(alg: str, bits: str, *, at_once: bool, as_json: bool) -> None:
    """Make a key: published now, signing in 24 hours (at once when it is the first)."""
    row = keys.rotate(current_app.extensions["idp.settings"], alg, bits=int(bits), at_once=at_once)
    if as_json:
        click.echo(json.dumps(keys.as_row(row)))
        return
    click.echo(f"{row.kid} signs {alg} from {row.active_from.isoformat(timespec='seconds')}")


@keys_group.command()
@click.argument("kid")
def retire(kid: str) -> None:
    """Take a key out of the published set at once."""
    if not keys.retire(kid):
        raise click.ClickException(f"{kid}: no such key, or the last one that signs its algorithm")
    click.echo(f"{kid} is retired")
