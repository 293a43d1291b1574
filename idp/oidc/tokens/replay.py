"""Revokes all tokens of a family when its code or a rotated refresh token is replayed."""

import uuid

from sqlalchemy import select

from idp.audit import log
from idp.audit.events import CodeReused, RefreshReused
from idp.audit.kinds import Event
from idp.clients.registry import Registration
from idp.db import db, unit_of_work
from idp.oidc.models import AuthorizationCode, Token
from idp.oidc.tokens import issued
from idp.throttle import guard, limits


def revoke_if_reused(code_digest: bytes, client: Registration) -> None:
    """Revoke all tokens of a code, if its own client replays it (RFC 6749 4.1.2)."""
    row = db.session.execute(
        select(AuthorizationCode.family, AuthorizationCode.account_id).where(
            AuthorizationCode.digest == code_digest,
            AuthorizationCode.client_id == client.key,
            AuthorizationCode.used_at.is_not(None),
        )
    ).one_or_none()
    if row is not None:
        _revoke(row.family, CodeReused(account_id=row.account_id, client_id=client.key))


def revoke_if_rotated(refresh_digest: bytes, client: Registration) -> None:
    """Revoke the family of a rotated refresh token that its client replays after the grace period (RFC 9700 4.14)."""
    row = db.session.execute(
        select(Token.family, Token.account_id).where(
            Token.digest == refresh_digest,
            Token.kind == "r",
            Token.client_id == client.key,
            Token.used_at.is_not(None),
        )
    ).one_or_none()
    if row is not None:
        _revoke(row.family, RefreshReused(account_id=row.account_id, client_id=client.key))


def _revoke(family: uuid.UUID, replay: Event) -> None:
    """Revoke the tokens of a family and record the replay.

    A replay that ends tokens is always recorded. One that finds them ended is recorded if it is the family's first in
    an hour, so that a client that repeats it does not fill the journal.
    """
    noted = guard.take(limits.REFUSAL_NOTED, f"{replay.kind} {family.hex}")
    with unit_of_work():
        if issued.revoke_all(Token.family == family) or isinstance(noted, guard.Granted):
            log.record(replay)
