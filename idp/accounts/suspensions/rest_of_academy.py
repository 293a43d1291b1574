"""How long the académie waits before it suspends the same account again: the school decides in the meantime."""

import uuid
from datetime import datetime, timedelta

from sqlalchemy import select

from idp.accounts.suspensions.models import Suspension
from idp.db import db

REST_OF_ACADEMY = timedelta(days=7)
"""How long after its decision began the académie may not suspend the same account again."""


def is_suspended_lately(account_id: uuid.UUID, school_id: uuid.UUID | None, moment: datetime) -> bool:
    """Return whether such a decision began within `REST_OF_ACADEMY`; `school_id` is None for the académie."""
    lately = select(Suspension.id).where(
        Suspension.account_id == account_id,
        Suspension.child_id.is_(None),
        Suspension.school_id.is_not_distinct_from(school_id),
        Suspension.begins_at > moment - REST_OF_ACADEMY,
    )
    return db.session.scalar(lately.limit(1)) is not None
