"""Refuses the replay of a client assertion (RFC 7523 3) or a DPoP proof (RFC 9449 11.1): each `jti` is used once."""

from datetime import datetime

from idp import opaque
from idp.db import db, unit_of_work, upsert
from idp.oidc.models import SpentProof


@unit_of_work()
def use_once(name: str, until: datetime) -> bool:
    """Mark `name` as used on all nodes until `until`; return whether it was unused."""
    statement = upsert(SpentProof).values(digest=opaque.digest(name), expires_at=until).on_conflict_do_nothing()
    return db.session.scalar(statement.returning(SpentProof.digest)) is not None
