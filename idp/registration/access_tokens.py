"""Registration access tokens (RFC 7592, section 3): a client that registered itself manages its registration by one.

Each update replaces the token. The answer with the new token may be lost, so the former token works until the new one
is used. A token that is not used for a year expires.
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, case, null, or_, select, update

from idp import opaque
from idp.audit import log
from idp.audit.registry_events import ClientChangedItself
from idp.clients.models import Client
from idp.clock import now
from idp.db import db, unit_of_work

_LONGEST_UNUSED = timedelta(days=365)


class TokenExpiredError(Exception):
    """The token of `client` expired, because it was not used for too long."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.client_id)
        self.client = client


def give(client: Client, token: str) -> None:
    """Give a client a token, in the caller's transaction; all former tokens end."""
    client.registration_digest, client.former_registration_digest = opaque.digest(token), None
    client.registration_used_at = now()


def verify(client: Client, token: str) -> bool:
    """Return whether the token is that of an enabled client, and record its use.

    The use of the present token ends the former one: the client got the answer with the present token.

    Raises:
        TokenExpiredError: the token was not used for too long.
    """
    digest, moment = opaque.digest(token), now()
    is_present = Client.registration_digest == digest
    former = case((is_present, null()), else_=Client.former_registration_digest)
    unexpired = Client.registration_used_at > moment - _LONGEST_UNUSED
    with unit_of_work():
        used = db.session.scalar(
            update(Client)
            .where(*_own(client, digest), Client.disabled_at.is_(None), unexpired)
            .values(registration_used_at=moment, former_registration_digest=former)
            .returning(Client.id)
            .execution_options(synchronize_session=False)
        )
    if used is None and client.disabled_at is None:
        if digest in {client.registration_digest, client.former_registration_digest}:
            raise TokenExpiredError(client)
        return False
    return used is not None


def lock(client: Client, token: str) -> bool:
    """Lock the row of a client in the caller's transaction, and read it again; return whether `token` still works."""
    own = (*_own(client, opaque.digest(token)), Client.disabled_at.is_(None))
    locking = select(Client).where(*own).with_for_update().execution_options(populate_existing=True)
    return db.session.scalar(locking) is not None


def replace(client: Client, token: str) -> str | None:
    """Replace the present token, in the caller's transaction; return the new one.

    `token`, which the request carries, works until the new one is used. Return None if it no longer works, because a
    concurrent request used the present one.
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


def _own(client: Client, digest: bytes) -> tuple[ColumnElement[bool], ...]:
    named = or_(Client.registration_digest == digest, Client.former_registration_digest == digest)
    return Client.id == client.id, named
