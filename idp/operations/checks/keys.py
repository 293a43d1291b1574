"""Checks of the secret key and the signing keys."""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import select

from idp import secret_check
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.oidc.keys import material
from idp.oidc.keys.rotation import ROTATION_PERIOD, select_live, signing
from idp.oidc.models import SigningKey
from idp.operations.checks.finding import Finding, Site

_LATE = 24 * ROTATION_PERIOD
_OLD = timedelta(days=400)


def check_secret_key(site: Site) -> Iterator[Finding]:
    """Check that the secret key is the key of the database."""
    value = secret_check.stored(site.settings)
    key = secret_check.recognised(site.settings, value)
    if value is None:
        advice = "run idp db upgrade, which stores the check value"
        yield Finding("secret key", "the database has no check value yet", "warning", advice)
    elif key is None:
        advice = (
            "copy IDP_SECRET_KEY from a node that works, or put the former key into IDP_SECRET_KEY_FALLBACKS or, if it "
            "is lost, idp config accept-secret-key"
        )
        yield Finding("secret key", "not the key of this database", "fault", advice)
    elif key != site.settings.secrets[0]:
        advice = "restart the other nodes with the new key too"
        yield Finding("secret key", "new; the last start was with one of the fallbacks", "ok", advice)
    else:
        yield Finding("secret key", "the key of this database")


def check_signing_keys(site: Site) -> Iterator[Finding]:
    """Check that there is a key for each algorithm that clients need, and that keys are replaced in time."""
    live = list(db.session.scalars(select_live(SigningKey)))
    needed = set(db.session.scalars(select(Client.id_token_alg).where(Client.disabled_at.is_(None)).distinct()))
    for alg in sorted({key.alg for key in live} | needed) or ["RS256"]:
        yield _of_algorithm(site.settings, alg, [key for key in live if key.alg == alg])


def _of_algorithm(settings: Settings, alg: str, keys: list[SigningKey]) -> Finding:
    name, moment = f"signing key {alg}", now()
    key = signing(keys, moment)
    if key is None:
        return Finding(name, "there is none", "fault", f"run idp keys rotate --alg {alg}")
    unreadable = [k.kid for k in keys if material.sealed_by(settings, k.kid, k.private_sealed) is None]
    if unreadable:
        result = f"sealed under a secret key that is not configured: {', '.join(unreadable)}"
        kid = unreadable[0] if len(unreadable) == 1 else "KID"  # each of them, one after the other
        advice = (
            "put the former secret key into IDP_SECRET_KEY_FALLBACKS or, if it is lost, "
            f"idp keys retire {kid} --emergency"
        )
        return Finding(name, result, "fault", advice)
    age, days = moment - key.active_from, settings.key_rotation_days
    following = [k for k in keys if k.active_from > moment]
    due = following[0].active_from if following else key.active_from + timedelta(days=days)
    result = f"signs since {age.days} days"
    if not days and not following:
        advice = "run idp keys rotate" if age > _OLD else ""
        return Finding(name, f"{result}, replaced by command only", "warning" if advice else "ok", advice)
    result = f"{result}, next on {due:%Y-%m-%d}"
    if moment - due > _LATE:
        return Finding(name, result, "fault", "the rotation is late: does idp worker run? see idp outbox list")
    return Finding(name, result)
