"""The services of an application: its settings, and the objects of which each process has one.

`idp.app` creates them. Modules use them as `services().settings`. The types belong to higher layers, so this module
imports them for the type checker only (`tests/architecture/test_home_of_services.py`, import contract).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask import current_app

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from flask import Flask
    from sqlalchemy import ColumnElement

    from idp.accounts.passwords.breached import BreachedPasswords
    from idp.accounts.passwords.hasher import Hasher
    from idp.config import Settings
    from idp.http_client.outgoing import Outgoing
    from idp.mail.smtp import Transport
    from idp.metrics.instruments import Subject
    from idp.oidc.client_auth.client_keys import ClientKeys
    from idp.oidc.server import Server
    from idp.outbox.worker import Handler
    from idp.statements import Connections
    from idp.throttle.counters import Counts, Marks

EXTENSION = "idp.services"  # the name of the services among the application's extensions


@dataclass(frozen=True)
class Services:
    """The services of one application in one process."""

    settings: Settings  # those of this installation
    settings_faults: Callable[[Settings], Sequence[str]]
    """Returns why some settings must not serve real families, for letters."""
    connections: Connections  # connections for the statements of hot requests
    hasher: Hasher  # computes and verifies password hashes, a few at a time
    breached: BreachedPasswords  # the passwords known from data breaches; empty without a list
    server: Server  # Authlib's authorization server, with the token store and the signing keys
    outgoing: Outgoing  # sends HTTP requests to the servers of clients
    client_keys: ClientKeys  # the public keys of clients, with a cache
    transport: Transport  # sends mails to the SMTP server
    registrable: Mapping[str, list[str]]
    """The values that clients may register, by the member of discovery that announces them."""
    renewable: Callable[[datetime], ColumnElement[bool]]
    """Returns the SQL condition that selects the sessions in which a client can renew its tokens at an instant."""
    ips_counted: timedelta  # how long a rate limit keeps the counter of an IP, at most; for the page on personal data
    local_counts: Counts  # the counters of the budgets that this process keeps in memory (`idp.throttle.counters`)
    form_lifetime: timedelta  # how long a form may stay open in a browser
    local_marks: Marks  # the marked subjects of this process (`idp.throttle.counters`)
    refusals: dict[tuple[str, bytes], tuple[datetime, datetime]] = field(default_factory=dict)
    """The cached refusals of this process (`idp.throttle.guard`), by counter: ends of the entry and of the wait."""
    sign_in_pages: dict[tuple[uuid.UUID, int, str, tuple[bool, bool]], str] = field(default_factory=dict)
    """The cached sign-in pages of this process (`idp.login.plain`), by client, its version and language."""
    refused_pages: dict[tuple[object, ...], str] = field(default_factory=dict)
    """The cached pages of refused requests (`idp.web.endpoints`), by language, template and its values."""
    outbox_handlers: Mapping[str, Handler] = field(default_factory=dict)  # the handler of each kind of outbox message
    outbox_lanes: Sequence[frozenset[str]] = ()
    """Kinds of outbox messages that may take long. A thread of its own handles each group, so that mails do not wait:
    the messages for the servers of clients, and the jobs of the desk."""
    purges: Sequence[Callable[[Settings, datetime], Mapping[str, int]]] = ()
    """What `idp purge` removes of higher layers: each function returns the numbers of removed rows by their names."""
    readings: Mapping[str, Subject] = field(default_factory=dict)
    """What `idp worker` reads from the database for its metrics, by name."""
    periodic_jobs: Mapping[str, timedelta] = field(default_factory=dict)  # the period of each kind of periodic job

    def close(self) -> None:
        """Close the connections for hot requests."""
        self.connections.close()


def provide(app: Flask, new_services: Services) -> None:
    """Set the services of an application."""
    app.extensions[EXTENSION] = new_services


def services_of(app: Flask) -> Services:
    """Return the services of an application."""
    own: Services = app.extensions[EXTENSION]
    return own


def services() -> Services:
    """Return the services of the current application."""
    own: Services = current_app.extensions[EXTENSION]
    return own
