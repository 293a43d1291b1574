"""Authorization requests that clients pushed (RFC 9126), as they are kept: by the digest of their `request_uri`.

A request is opened as often as somebody likes until it expires, a reload or a second tab does no harm, and gives one
code: the statement that stores the code uses it up. Who opened it in time may take longer to sign in than it lives,
so its row stays as long as that may take.
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
    """Keep a checked request for `lifetime` seconds; return its `request_uri`, which nobody can guess (section 2.2)."""
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
    """Return the parameters that this client pushed; None when it is another's, used, expired or was never there."""
    return db.session.scalar(
        select(PushedRequest.parameters).where(
            PushedRequest.digest == opaque.digest(request_uri),
            PushedRequest.client_id == client.key,
            PushedRequest.used_at.is_(None),
            PushedRequest.expires_at > now(),
        )
    )


def is_used(request_uri: str) -> bool:
    """Return whether a request gave its code."""
    used_at = select(PushedRequest.used_at).where(PushedRequest.digest == opaque.digest(request_uri))
    return db.session.scalar(used_at) is not None
