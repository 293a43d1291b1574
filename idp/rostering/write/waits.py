"""Has the head of the school decide about new ties of pupils to whom somebody's access is suspended.

Such a tie is suspended from its first instant (`idp.rostering.reconcile.phases.suspended`), by a decision of the school
that holds until the head ends it: « Signalements », or `idp account reopen`.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import Child, School
from idp.accounts.school_notices import Kind
from idp.accounts.suspensions.models import Suspension
from idp.audit import log
from idp.audit.data_events import AccessSuspended
from idp.db import db
from idp.rostering import bulk

_REASON = "Nouveau responsable, à vérifier : un accès est suspendu pour cet élève, ou pour une personne de ce nom."


def tell_heads(ties: Sequence[Mapping[str, uuid.UUID]], moment: datetime) -> None:
    """Store the decisions about new ties that are suspended since `moment`, and one notice for each account and school.

    The caller has written the ties, and has locked the accounts.
    """
    if not ties:
        return
    children = sorted({tie["child_id"] for tie in ties})
    of_children = select(Child.id, School.id, School.uai).join(School, School.id == Child.school_id)
    rows = db.session.execute(of_children.where(bulk.one_of(Child.id, children)))
    schools = {child: (school_id, uai) for child, school_id, uai in rows}
    concerned: dict[uuid.UUID, dict[uuid.UUID, list[uuid.UUID]]] = {}
    for tie in ties:
        school_id, uai = schools[tie["child_id"]]
        row = Suspension(
            id=uuid.uuid4(),
            **tie,
            school_id=school_id,
            reason=_REASON,
            begins_at=moment,
            begun_by=log.current_origin().actor[:80],
        )
        db.session.add(row)
        log.record(
            AccessSuspended(
                account_id=row.account_id, suspension=str(row.id), child=str(row.child_id), reason=_REASON, uai=uai
            )
        )
        concerned.setdefault(row.account_id, {}).setdefault(school_id, []).append(tie["child_id"])
    for account_id, children_of in concerned.items():
        school_notices.add(Kind.GUARDIAN_WAITS, account_id, children_of)
