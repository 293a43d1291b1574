"""Refuses the replay of a client assertion (RFC 7523 3) or a DPoP proof (RFC 9449 11.1): each `jti` is used once."""

from datetime import datetime

from idp import opaque
from idp.db import db, end_read, upsert
from idp.oidc.models import SpentProof


def use_once(name: str, until: datetime) -> bool:
    """Mark `name` as used on all nodes until `until`; return whether it was unused."""
    end_read()
    statement = upsert(SpentProof).values(digest=opaque.digest(name), expires_at=until).on_conflict_do_nothing()
    is_first = db.session.scalar(statement.returning(SpentProof.digest)) is not None
    db.session.commit()
    return is_first
