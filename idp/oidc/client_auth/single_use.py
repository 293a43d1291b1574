"""What counts once: the `jti` of a client assertion (RFC 7523 3) or of a DPoP proof (RFC 9449 11.1), by its digest."""

from datetime import datetime

from idp import opaque
from idp.db import db, end_read, upsert
from idp.oidc.models import SpentProof


def spend(name: str, until: datetime) -> bool:
    """Use `name` up for all nodes and say whether it was unused; it need not be remembered after `until`."""
    end_read()
    statement = upsert(SpentProof).values(digest=opaque.digest(name), expires_at=until).on_conflict_do_nothing()
    first = db.session.scalar(statement.returning(SpentProof.digest)) is not None
    db.session.commit()
    return first
