"""What happens when a code or a refresh token is shown again: all that came from the same sign-in dies (RFC 9700)."""

import uuid
from datetime import datetime

from sqlalchemy import select, update

from idp.audit import log
from idp.audit.events import CodeReused, RefreshReused
from idp.clients.registry import Registration
from idp.clock import now
from idp.db import db
from idp.oidc.models import AuthorizationCode, Token


def revoke_if_reused(code_digest: bytes, client: Registration, moment: datetime) -> None:
    """Revoke all that a used code gave, when the client that it was issued to shows it again (4.5).

    A code that was used at `moment` was used by this request, for a session that had ended: no reuse.
    """
    row = db.session.execute(
        select(AuthorizationCode.family, AuthorizationCode.account_id).where(
            AuthorizationCode.digest == code_digest,
            AuthorizationCode.client_id == client.key,
            AuthorizationCode.used_at != moment,
        )
    ).one_or_none()
    if row is None:
        db.session.rollback()
        return
    _revoke_family(row.family)
    log.record(CodeReused(account_id=row.account_id, client_id=client.key))
    db.session.commit()


def revoke_if_rotated(refresh_digest: bytes, client: Registration, moment: datetime) -> None:
    """Revoke the family of a refresh token that was rotated before and comes too late to be a lost answer (4.14)."""
    row = db.session.execute(
        select(Token.family, Token.account_id).where(
            Token.digest == refresh_digest,
            Token.kind == "r",
            Token.client_id == client.key,
            Token.used_at != moment,
            Token.revoked_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        db.session.rollback()
        return
    _revoke_family(row.family)
    log.record(RefreshReused(account_id=row.account_id, client_id=client.key))
    db.session.commit()


def _revoke_family(family: uuid.UUID) -> None:
    db.session.execute(update(Token).where(Token.family == family, Token.revoked_at.is_(None)).values(revoked_at=now()))
