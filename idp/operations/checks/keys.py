"""Checks of the secret key, the signing keys, and the certificates of the servers of ENTs that this service calls."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

from sqlalchemy import select

from idp import secret_check
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.http_client.outgoing import Outgoing, OutgoingError, UrlRefusedError
from idp.oidc.keys import material
from idp.oidc.keys.rotation import ROTATION_PERIOD, select_live, signing
from idp.oidc.models import SigningKey
from idp.operations.checks.finding import Finding, Site, judged
from idp.services import services

_LATE = 24 * ROTATION_PERIOD
_OLD = timedelta(days=400)
_SOON = timedelta(days=21)
_AT_ONCE = 8


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
        return judged(name, f"{result}, replaced by command only", (age > _OLD, "warning", "run idp keys rotate"))
    advice = "the rotation is late: does idp worker run? see idp outbox list"
    return judged(name, f"{result}, next on {due:%Y-%m-%d}", (moment - due > _LATE, "fault", advice))


def check_ents(_site: Site) -> Iterator[Finding]:
    """Check the certificate of each host once, whatever number of ENTs it serves, and the audience of assertions."""
    clients = db.session.execute(
        select(Client.client_id, Client.backchannel_logout_uri, Client.jwks_uri)
        .where(Client.disabled_at.is_(None))
        .order_by(Client.client_id)
    )
    hosts: dict[str, tuple[str, list[str]]] = {}
    for client_id, *urls in clients:
        for url in filter(None, urls):
            hosts.setdefault(urlsplit(url).netloc, (url, []))[1].append(client_id)
    outgoing = services().outgoing
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(lambda item: _of_host(outgoing, item[0], *item[1]), sorted(hosts.items()))
    if not hosts:
        yield Finding("certificates of ENTs", "no ENT has a back channel or keys at a URL")
    legacy = select(Client.client_id).where(Client.assertion_audience == "legacy", Client.disabled_at.is_(None))
    for client_id in db.session.scalars(legacy.order_by(Client.client_id)):
        advice = f"when the ENT names the issuer: `idp client set {client_id} --assertion-audience issuer`"
        yield Finding(f"assertions of ENT {client_id}", "the audience may be an endpoint", "warning", advice)


def _of_host(outgoing: Outgoing, host: str, url: str, client_ids: list[str]) -> Finding:
    name = f"certificate of {host}"
    clients = f"ENT {', '.join(sorted(set(client_ids)))}"
    try:
        end = outgoing.certificate_end(url)
    except UrlRefusedError as error:
        return Finding(name, f"{error.reason} ({clients})", "fault", "name the host in IDP_OUTGOING_ALLOW")
    except OutgoingError as error:
        advice = "tell the operator of the ENT; an authority of your own belongs into IDP_CA_BUNDLE"
        return Finding(name, f"{error.reason} ({clients})", "fault", advice)
    if end is None:
        return Finding(name, f"none, http ({clients})")
    if end - now() < _SOON:
        return Finding(name, f"ends on {end:%Y-%m-%d} ({clients})", "warning", "tell the operator of the ENT")
    return Finding(name, f"valid until {end:%Y-%m-%d}")
