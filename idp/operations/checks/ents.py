"""Checks the certificates of the servers of ENTs that this service calls, and the audience of their assertions."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

from sqlalchemy import select

from idp.clients.models import Client
from idp.clock import now
from idp.db import db
from idp.http_client.outgoing import Outgoing, OutgoingError, UrlRefusedError
from idp.operations.checks.finding import Finding, Site
from idp.services import services

_SOON = timedelta(days=21)
_AT_ONCE = 8


def check(_site: Site) -> Iterator[Finding]:
    """Check each host once, whatever number of ENTs it serves."""
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
