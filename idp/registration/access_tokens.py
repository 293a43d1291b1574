"""Registration access tokens (RFC 7592 3): by them a client that registered itself manages its registration.

Each update gives a new token. The answer that holds it may be lost, so the former token stays good until the new one
was used. A token that was not used for a year is good no more.
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, case, null, or_, update

from idp import opaque
from idp.audit import log
from idp.audit.registry_events import ClientChangedItself, ClientTokenExpired
from idp.clients.models import Client
from idp.clock import now
from idp.db import db, unit_of_work

UNUSED = timedelta(days=365)
"""How long a token may stay unused."""


class TokenExpiredError(Exception):
    """The token of `client` was right once, and was not used for too long."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.client_id)
        self.client = client


def give(client: Client, token: str) -> None:
    """Give a client its token, in the caller's transaction; no other one is good from there on."""
    client.registration_digest, client.former_registration_digest = opaque.digest(token), None
    client.registration_used_at = now()


def take(client: Client) -> None:
    """Take the tokens of a client away, in the caller's transaction."""
    client.registration_digest = client.former_registration_digest = None


def prove(client: Client, token: str) -> bool:
    """Return whether a client that is enabled shows a token of its own, and note the use.

    The present token ends the former one: its answer arrived.

    Raises:
        TokenExpiredError: it is one that was not used for too long.
    """
    digest, moment = opaque.digest(token), now()
    is_present = Client.registration_digest == digest
    former = case((is_present, null()), else_=Client.former_registration_digest)
    with unit_of_work():
        used = db.session.scalar(
            update(Client)
            .where(*_own(client, digest), Client.disabled_at.is_(None), Client.registration_used_at > moment - UNUSED)
            .values(registration_used_at=moment, former_registration_digest=former)
            .returning(Client.id)
            .execution_options(synchronize_session=False)
        )
    if used is None and client.disabled_at is None:
        if digest in {client.registration_digest, client.former_registration_digest}:
            raise TokenExpiredError(client)
        return False
    return used is not None


def replace(client: Client, token: str) -> str | None:
    """Return a new token in place of the present one, in the caller's transaction.

    `token`, which proved the request, stays good until the new one was used. None if it is good no more: the present
    token was used meanwhile.
    """
    made, digest = opaque.new_value(), opaque.digest(token)
    replaced = db.session.scalar(
        update(Client)
        .where(*_own(client, digest))
        .values(registration_digest=opaque.digest(made), former_registration_digest=digest)
        .returning(Client.id)
        .execution_options(synchronize_session=False)
    )
    if replaced is None:
        return None
    log.record(ClientChangedItself(client_id=client.id, change="registration token replaced"))
    return made


def note_expired(client: Client) -> None:
    """Record that a token was shown which is good no more, in the caller's transaction."""
    log.record(ClientTokenExpired(client_id=client.id))


def _own(client: Client, digest: bytes) -> tuple[ColumnElement[bool], ...]:
    named = or_(Client.registration_digest == digest, Client.former_registration_digest == digest)
    return Client.id == client.id, named
