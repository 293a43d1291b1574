"""Stores pushed authorization requests (RFC 9126) by the digest of their `request_uri`.

Until it expires, a request can be opened several times (a reload, a second tab), but it gives one code: the store marks
it as used when it stores the code. A person who opened it in time may need longer to sign in, so the row is kept for as
long as that may take.
"""

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import select

from idp import opaque
from idp.clients.registry import Registration
from idp.clock import now
from idp.db import db, unit_of_work
from idp.oidc.models import PushedRequest

PREFIX = "urn:ietf:params:oauth:request_uri:"


def push(client: Registration, parameters: Mapping[str, str], lifetime: int) -> str:
    """Store a checked request for `lifetime` seconds; return its random `request_uri` (section 2.2)."""
    request_uri = f"{PREFIX}{opaque.new_value()}"
    pushed = PushedRequest(
        digest=opaque.digest(request_uri),
        client_id=client.key,
        parameters=dict(parameters),
        expires_at=now() + timedelta(seconds=lifetime),
    )
    with unit_of_work():
        db.session.add(pushed)
    return request_uri


def find(client: Registration, request_uri: str) -> dict[str, str] | None:
    """Return the parameters of a request of this client that is neither used nor expired, or None."""
    return db.session.scalar(
        select(PushedRequest.parameters).where(
            PushedRequest.digest == opaque.digest(request_uri),
            PushedRequest.client_id == client.key,
            PushedRequest.used_at.is_(None),
            PushedRequest.expires_at > now(),
        )
    )


def is_used(request_uri: str) -> bool:
    """Return whether a code was issued for the request."""
    used_at = select(PushedRequest.used_at).where(PushedRequest.digest == opaque.digest(request_uri))
    return db.session.scalar(used_at) is not None
