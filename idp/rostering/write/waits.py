"""Has the head of the school decide about guardians whom a file adds or gives access again.

A tie that waits (`idp.rostering.reconcile.phases.waits`) is closed from its first instant until the head decides:
« Décisions », or by `idp account reopen`. A new guardian beside one who has activated the account has access: the
head reads a notice.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from idp.accounts import notices, school_notices
from idp.accounts.closings import Closing, Wait
from idp.accounts.models import Child, School
from idp.accounts.notices import Notice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.data_events import GuardianWaits
from idp.db import db, one_of

_REASONS: Mapping[Wait, str] = {
    Wait.NEW_GUARDIAN: "Nouveau responsable, à vérifier : un accès à cet élève est fermé.",
    Wait.RECOGNISED: "À vérifier : ce nom est celui d’une personne dont l’établissement a fermé l’accès.",
    Wait.EXCLUDED: "À vérifier : l’établissement avait écarté cette personne de l’élève.",
}


class WaitingTie(NamedTuple):
    """A tie that is new or holds again, waits for the head, and why."""

    account_id: uuid.UUID
    child_id: uuid.UUID
    wait: Wait


def tell_heads(ties: Sequence[WaitingTie], moment: datetime) -> None:
    """Store that ties are closed since `moment`, and one notice for each account and school.

    The caller has written the ties, and has locked the accounts.
    """
    if not ties:
        return
    schools = _schools({tie.child_id for tie in ties})
    concerned: dict[uuid.UUID, dict[uuid.UUID, list[uuid.UUID]]] = {}
    for tie in ties:
        school_id, uai = schools[tie.child_id]
        row = Closing(
            id=uuid.uuid4(),
            account_id=tie.account_id,
            child_id=tie.child_id,
            school_id=school_id,
            reason=_REASONS[tie.wait],
            kind=tie.wait.value,
            begun_at=moment,
            begun_by=log.current_origin().actor[:80],
        )
        db.session.add(row)
        log.record(
            GuardianWaits(
                account_id=tie.account_id,
                closing=str(row.id),
                child=str(tie.child_id),
                wait=tie.wait.value,
                uai=uai,
            )
        )
        concerned.setdefault(tie.account_id, {}).setdefault(school_id, []).append(tie.child_id)
    for account_id, children_of in concerned.items():
        school_notices.add(Kind.GUARDIAN_WAITS, account_id, children_of)


def tell_of_added(ties: Sequence[tuple[uuid.UUID, uuid.UUID]], active: Sequence[tuple[uuid.UUID, uuid.UUID]]) -> None:
    """Write the notices about new guardians beside active ones, and the mails to these, which name nobody.

    Args:
        ties: the account and the pupil of each tie. The caller has locked the accounts.
        active: the same of the guardians of these pupils who have activated the account.
    """
    pupils = _schools({child_id for _, child_id in ties})
    concerned: dict[uuid.UUID, dict[uuid.UUID, list[uuid.UUID]]] = {}
    for account_id, child_id in ties:
        concerned.setdefault(account_id, {}).setdefault(pupils[child_id][0], []).append(child_id)
    for account_id, children_of in concerned.items():
        school_notices.add(Kind.GUARDIAN_ADDED, account_id, children_of)
    schools = _schools({child_id for _, child_id in active})
    for account_id, school_id in dict.fromkeys((account_id, schools[child_id][0]) for account_id, child_id in active):
        notices.tell(Notice.GUARDIAN_ADDED, account_id, school=str(school_id))


def _schools(children: Collection[uuid.UUID]) -> Mapping[uuid.UUID, tuple[uuid.UUID, str]]:
    """Return the id and the UAI of the school of each pupil."""
    of_children = select(Child.id, School.id, School.uai).join(School, School.id == Child.school_id)
    rows = db.session.execute(of_children.where(one_of(Child.id, sorted(children))))
    return {child_id: (school_id, uai) for child_id, school_id, uai in rows}
