"""Has the head of the school decide about guardians whom a file adds, renames or gives access again.

A new tie is suspended from its first instant if somebody's access to its pupil is suspended
(`idp.rostering.reconcile.phases.suspended`), until the head decides: « Signalements », `idp account reopen` or
`idp account suspend`. The corrected name of an activated account, and the return of a guardian whom the school had
excluded, suspend nothing: the head reads a notice.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from idp.accounts import directory, school_notices
from idp.accounts.disputes import child_key
from idp.accounts.models import Child, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.accounts.suspensions.models import Suspension, Wait
from idp.audit import log
from idp.audit.data_events import GuardianWaits
from idp.audit.events import DisputeSettled
from idp.audit.models import AuditEntry
from idp.audit.registry_events import NoticeSettled
from idp.clock import now
from idp.db import db
from idp.rostering import bulk

_REASONS: Mapping[Wait, str] = {
    Wait.NEW_GUARDIAN: "Nouveau responsable, à vérifier : un accès à cet élève est suspendu.",
    Wait.RECOGNISED: "À vérifier : ce nom est celui d’une personne dont l’accès est suspendu, ou l’était.",
    Wait.CHECK: "Nouveau responsable, à vérifier.",
    Wait.ALIKE: "À vérifier : ce nom est presque celui d’une personne dont l’accès est suspendu.",
}
_ENDED = "Le lien avec l’élève a de nouveau fini."


class WaitingTie(NamedTuple):
    """A tie that is new or holds again, waits for the head, and why."""

    account_id: uuid.UUID
    child_id: uuid.UUID
    wait: Wait


def tell_heads(ties: Sequence[WaitingTie], moment: datetime) -> None:
    """Store that ties are suspended since `moment`, and one notice for each account and school.

    The caller has written the ties, and has locked the accounts.
    """
    if not ties:
        return
    schools = _schools({tie.child_id for tie in ties})
    concerned: dict[uuid.UUID, dict[uuid.UUID, list[uuid.UUID]]] = {}
    for tie in ties:
        school_id, uai = schools[tie.child_id]
        row = Suspension(
            id=uuid.uuid4(),
            account_id=tie.account_id,
            child_id=tie.child_id,
            school_id=school_id,
            reason=_REASONS[tie.wait],
            wait=tie.wait.value,
            begins_at=moment,
            begun_by=log.current_origin().actor[:80],
        )
        db.session.add(row)
        log.record(
            GuardianWaits(
                account_id=tie.account_id,
                suspension=str(row.id),
                child=str(tie.child_id),
                wait=tie.wait.value,
                uai=uai,
            )
        )
        concerned.setdefault(tie.account_id, {}).setdefault(school_id, []).append(tie.child_id)
    for account_id, children_of in concerned.items():
        school_notices.add(Kind.GUARDIAN_WAITS, account_id, children_of)


def tell_of_names(ties: Sequence[tuple[uuid.UUID, uuid.UUID]]) -> None:
    """Write one notice for each account and school: the head compares a corrected name with a suspension.

    A file asks once, because only the import that corrects a name compares it.

    Args:
        ties: the account and the pupil of each tie. The caller has locked the accounts.
    """
    _tell(Kind.NAME_COMPARED, ties)


def tell_of_readmitted(ties: Sequence[tuple[uuid.UUID, uuid.UUID]]) -> None:
    """Write one notice for each account and school: a file gave access again to a person whom the school excluded.

    Args:
        ties: as for `tell_of_names`.
    """
    _tell(Kind.GUARDIAN_READMITTED, ties)


def were_excluded(ties: Sequence[tuple[uuid.UUID, uuid.UUID]]) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Return those of some ties of which the school's last answer was that the person is not the guardian.

    It answers a dispute, and the notice that a file gave access again. A tie that a file leaves out loses its mark, and
    a purge may remove it. The journal has the answers, as far back as it reaches.
    """
    accounts = sorted({account_id for account_id, _ in ties})
    answers = AuditEntry.where_kind(DisputeSettled.kind, NoticeSettled.kind)
    of_accounts = answers & bulk.one_of(AuditEntry.account_id, accounts)
    answered = select(AuditEntry.account_id, AuditEntry.details).where(of_accounts)
    entries = db.session.execute(answered.order_by(AuditEntry.at, AuditEntry.id)).all() if ties else ()
    if not entries:
        return []
    pupils = select(Child).where(bulk.one_of(Child.id, sorted({child_id for _, child_id in ties})))
    keys = {child.id: child_key(child) for child in db.session.scalars(pupils)}
    keys_by_id = {child_id.hex: key for child_id, key in keys.items()}  # a notice names pupils by their ids
    outcomes: dict[tuple[uuid.UUID | None, str], str] = {}
    for account_id, details in entries:
        for key in details.get("children", ()):
            outcomes[account_id, keys_by_id.get(key, key)] = details["outcome"]
    return [tie for tie in ties if outcomes.get((tie[0], keys[tie[1]])) == "confirm"]


def settle_ended() -> None:
    """Settle the notices about readmitted guardians whose ties have ended again, in the caller's transaction.

    A notice that also names pupils whose ties have not ended stays open about them. The head has not answered, so the
    next file that names the person again asks again.
    """
    asks = school_notices.is_open([Kind.GUARDIAN_READMITTED])
    concerned = (
        select(SchoolNotice.account_id)
        .join(Guardianship, Guardianship.account_id == SchoolNotice.account_id)
        .where(asks, ~Guardianship.is_unended)
    )
    for account_id in sorted(set(db.session.scalars(concerned))):
        if directory.get_for_change(account_id) is None:
            continue
        holding = select(Guardianship.child_id).where(Guardianship.account_id == account_id, Guardianship.is_unended)
        kept = {child_id.hex for child_id in db.session.scalars(holding)}
        of_account = select(SchoolNotice).where(SchoolNotice.account_id == account_id, asks)
        for notice in db.session.scalars(of_account.execution_options(populate_existing=True)):
            if kept.isdisjoint(notice.child_ids):
                notice.settled_at, notice.settled_by, notice.sentence = now(), "import", _ENDED
            else:
                notice.child_ids = [key for key in notice.child_ids if key in kept]


def _tell(kind: Kind, ties: Sequence[tuple[uuid.UUID, uuid.UUID]]) -> None:
    schools = _schools({child_id for _, child_id in ties})
    concerned: dict[uuid.UUID, dict[uuid.UUID, list[uuid.UUID]]] = {}
    for account_id, child_id in ties:
        concerned.setdefault(account_id, {}).setdefault(schools[child_id][0], []).append(child_id)
    for account_id, children_of in concerned.items():
        school_notices.add(kind, account_id, children_of)


def _schools(children: Collection[uuid.UUID]) -> Mapping[uuid.UUID, tuple[uuid.UUID, str]]:
    """Return the id and the UAI of the school of each pupil."""
    of_children = select(Child.id, School.id, School.uai).join(School, School.id == Child.school_id)
    rows = db.session.execute(of_children.where(bulk.one_of(Child.id, sorted(children))))
    return {child_id: (school_id, uai) for child_id, school_id, uai in rows}
