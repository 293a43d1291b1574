"""The commands `idp keys`."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click
from sqlalchemy import select

from idp.clock import now
from idp.db import db
from idp.oidc.keys import material, rotation
from idp.oidc.keys.rotation import PUBLISHED_AFTER_USE, SETTLED, replaced_at, signing
from idp.oidc.models import SigningKey
from idp.services import services
from idp.terminal import AS_JSON, dumped, instant

_MINUTES = int(SETTLED.total_seconds()) // 60


@click.group("keys")
def keys_group() -> None:
    """Keys that sign ID tokens and logout tokens."""


@keys_group.command("list")
@AS_JSON
def list_keys(*, as_json: bool) -> None:
    """List all keys, newest first: next, signing, published (replaced by another key), retired."""
    rows = _rows()
    if as_json:
        click.echo(dumped(rows))
        return
    for row in rows:
        click.echo("  ".join((row["kid"], row["alg"].ljust(5), row["state"].ljust(9), *_remarks(row))))


@keys_group.command()
@click.option("--alg", type=click.Choice(material.ALGORITHMS), default="RS256", show_default=True)
@click.option(
    "--bits",
    type=click.Choice([str(bits) for bits in material.RSA_BITS]),
    help="Size of an RSA key. Default: IDP_RSA_BITS, or the size of the present key if that is larger.",
)
@click.option(
    "--now", "at_once", is_flag=True, help="Sign at once, for emergencies; with the next key if there is one already."
)
@click.option("--if-none", is_flag=True, help="Make the first key of the algorithm, and nothing if there is one.")
@AS_JSON
def rotate(alg: str, bits: str | None, *, at_once: bool, if_none: bool, as_json: bool) -> None:
    """Make the next key: published now, signing in 24 hours (at once if it is the first of its algorithm)."""
    if if_none and (bits or at_once):
        raise click.UsageError("--if-none makes the first key as the settings say: leave --bits and --now out.")
    settings = services().settings
    try:
        if if_none:
            key = rotation.ensure(settings, alg)
        else:
            key = rotation.rotate(settings, alg, bits=int(bits) if bits else None, at_once=at_once)
    except (rotation.NextKeyExistsError, material.NoSigningKeyError) as refused:
        raise click.ClickException(f"no key was made: {refused}") from refused
    if as_json:
        [made] = [row for row in _rows() if row["kid"] == key.kid]
        click.echo(json.dumps(made))
        return
    click.echo(f"{key.kid} signs {alg} from {instant(key.active_from)}")


@keys_group.command(context_settings={"ignore_unknown_options": True})  # a `kid` may begin with a hyphen
@click.argument("kid")
@click.option(
    "--emergency", is_flag=True, help="Retire a compromised key, even one that signs: another key signs at once."
)
def retire(kid: str, *, emergency: bool) -> None:
    """Remove a key from the JWKS at once."""
    if not emergency:
        if not rotation.retire(kid, unused_for=SETTLED):
            raise click.ClickException(
                f"{kid}: there is no such key, or it signs, or it may have signed in the last {_MINUTES} minutes"
                " (`--emergency` retires it anyway)"
            )
        click.echo(f"{kid} is retired")
        return
    successor = rotation.drop(services().settings, kid)
    if successor is None:
        raise click.ClickException(f"{kid}: there is no such key")
    click.echo(f"{kid} is retired; {successor.kid} signs {successor.alg}")


def _rows() -> list[dict[str, Any]]:
    rows = list(db.session.scalars(select(SigningKey).order_by(SigningKey.active_from.desc(), SigningKey.kid)))
    moment = now()
    return [_row(key, [k for k in rows if k.alg == key.alg and not k.retired_at], moment) for key in rows]


def _row(key: SigningKey, live: Sequence[SigningKey], moment: datetime) -> dict[str, Any]:
    since = None if key.retired_at else replaced_at(key, live)
    return {
        "kid": key.kid,
        "alg": key.alg,
        "bits": material.rsa_bits(key.public_jwk) or None,
        "state": _state(key, live, moment),
        "created_at": key.created_at.isoformat(),
        "active_from": key.active_from.isoformat(),
        "replaced_at": since.isoformat() if since else None,
        "retires_at": (since + PUBLISHED_AFTER_USE).isoformat() if since else None,
        "retired_at": key.retired_at.isoformat() if key.retired_at else None,
        "sealed_under": None if key.retired_at else _secret(key),
    }


def _state(key: SigningKey, live: Sequence[SigningKey], moment: datetime) -> str:
    if key.retired_at:
        return "retired"
    if key is signing(live, moment):
        return "signing"
    return "next" if key.active_from > moment else "published"


def _secret(key: SigningKey) -> str:
    number = material.sealed_by(services().settings, key.kid, key.private_sealed)
    if number is None:
        return "unknown"
    return "IDP_SECRET_KEY_FALLBACKS" if number else "IDP_SECRET_KEY"


def _remarks(row: dict[str, Any]) -> list[str]:
    times = {
        "next": ("signs from", row["active_from"]),
        "signing": ("until", row["replaced_at"]),
        "published": ("until", row["retires_at"]),
        "retired": ("since", row["retired_at"]),
    }
    word, moment = times[row["state"]]
    secret = {
        "unknown": "sealed under a secret key that is not configured",
        "IDP_SECRET_KEY_FALLBACKS": "sealed under a fallback of the secret key",
    }
    return [
        *([f"{word} {instant(datetime.fromisoformat(moment))}"] if moment else []),
        *([secret[row["sealed_under"]]] if row["sealed_under"] in secret else []),
    ]
