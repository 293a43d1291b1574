"""What the parts of the product ask the application for: its settings, and the objects of which a process has one.

`idp.app` builds all of it, at one place. A module asks for what it needs when it needs it: `services().settings`.
The types belong to higher layers, so this module imports them for the type checker only; an architecture test
(`tests/architecture/test_home_of_services.py`) and the import contract hold that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask import current_app

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from flask import Flask
    from sqlalchemy import ColumnElement

    from idp.accounts.passwords.breached import BreachedPasswords
    from idp.accounts.passwords.hasher import Hasher
    from idp.config import Settings
    from idp.http_client.outgoing import Outgoing
    from idp.mail.smtp import Transport
    from idp.oidc.client_auth.client_keys import ClientKeys
    from idp.oidc.server import Server
    from idp.outbox.worker import Handler
    from idp.throttle.local import Counts, Marks

EXTENSION = "idp.services"
"""The name of the services among the application's extensions."""


@dataclass(frozen=True)
class Services:
    """The services of one application in one process."""

    settings: Settings
    """What the operator chose."""
    hasher: Hasher
    """Computes and checks password hashes, a few at a time."""
    breached: BreachedPasswords
    """The passwords that are known from data breaches; empty if the operator loaded no list."""
    server: Server
    """Authlib's authorization server, with the token store and the signing keys."""
    outgoing: Outgoing
    """Sends HTTP requests to the servers of clients."""
    client_keys: ClientKeys
    """The public keys of clients, kept for a while."""
    transport: Transport
    """Hands mails to the SMTP server."""
    registrable: Mapping[str, list[str]]
    """The values that clients may register, by the member of discovery that announces them."""
    renewable: Callable[[datetime], ColumnElement[bool]]
    """Returns the SQL condition of the sessions in which a client can renew its tokens, for the present instant."""
    ips_counted: timedelta
    """How long a rate limit counts an IP at most; the page on personal data says it."""
    local_counts: Counts
    """The counters of the budgets that this process keeps in memory (`idp.throttle.local`)."""
    local_marks: Marks
    """The subjects that this process marked (`idp.throttle.local`)."""
    refusals: dict[tuple[str, bytes], tuple[datetime, datetime]] = field(default_factory=dict)
    """The refusals that this process remembers (`idp.throttle.guard`), by counter: until when, and when it opens."""
    outbox_handlers: Mapping[str, Handler] = field(default_factory=dict)
    """The handler of each kind of outbox message."""
    outbox_apart: frozenset[str] = frozenset()
    """The kinds of outbox messages that wait for machines of others: a thread of their own hands these over, so that no
    mail waits behind them."""
    periodic_jobs: Mapping[str, timedelta] = field(default_factory=dict)
    """The kinds of outbox messages that the worker puts in once a period, and that period."""

    def close(self) -> None:
        """Close the connections of the token store; those of SQLAlchemy's session are closed elsewhere."""
        self.server.store.close()


def provide(app: Flask, own: Services) -> None:
    """Make `own` the services of an application, in place of any that it had."""
    app.extensions[EXTENSION] = own


def services_of(app: Flask) -> Services:
    """Return the services of an application."""
    own: Services = app.extensions[EXTENSION]
    return own


def services() -> Services:
    """Return the services of the current application."""
    own: Services = current_app.extensions[EXTENSION]
    return own
