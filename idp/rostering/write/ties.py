"""Writes the ties between guardians and pupils, in the transaction of the pupils.

A tie that waits (`idp.rostering.reconcile.phases.links`) is closed from its first instant until the head decides:
« Décisions », or by `idp account reopen`. A new guardian beside one who has activated the account has access: the
head reads a notice.
"""

import json
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, bindparam, func, or_, select, update

from idp.accounts import closing_acts, notices, school_notices
from idp.accounts.closings import Closing, Kind as ClosingKind, Wait
from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.notices import Notice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.data_events import GuardianWaits
from idp.audit.registry_events import AccountImported
from idp.clock import now
from idp.db import db, one_of
from idp.rostering import bulk
from idp.rostering.reconcile.staging import Staging
from idp.rostering.reconcile.statements import ACTIVE, added_links
from idp.sessions import closing

_links = cast("Table", Guardianship.__table__)
_children = cast("Table", Child.__table__)
_OPEN = {"ended_at": None}

UPDATE_ONE = update(_links).where(
    _links.c.account_id == bindparam("changed_account"), _links.c.child_id == bindparam("changed_child")
)


# Links that are new, changed, or hold again; the facts are about the link in the database.
_CHANGED_LINKS = (
    "SELECT l.child AS child, l.account AS account, l.kinship AS kinship, l.authority AS authority, "
    "l.wait AS wait, k.child IS NOT NULL AS is_known, coalesce(k.is_ended, 1) AS is_ended, "
    "coalesce(k.closed, '') AS closed, a.id IS NOT NULL AS has_account "
    "FROM allowed_link l JOIN student s ON s.child_id = l.child "
    "LEFT JOIN known_link k ON k.child = l.child AND k.account = l.account "
    "LEFT JOIN known_account a ON a.id = l.account "
    "WHERE l.child IN (SELECT value FROM json_each(:children)) AND (k.child IS NULL OR k.is_ended "
    "OR k.kinship IS NOT l.kinship OR k.authority IS NOT l.authority) ORDER BY l.account, s.rowid"
)
_OF_PUPILS = "child IN (SELECT value FROM json_each(:keys))"
# The links of some pupils whom the files add beside an active guardian.
_ADDED_LINKS = added_links(f"AND l.{_OF_PUPILS}") + " ORDER BY 2, 1"
_ACTIVE_LINKS = f"{ACTIVE} AND o.{_OF_PUPILS} ORDER BY 2, 1"
REASONS: Mapping[Wait, str] = {
    Wait.NEW_GUARDIAN: "Nouveau responsable, à vérifier : un accès à cet élève est fermé.",
    Wait.RECOGNISED: "À vérifier : ce nom est celui d’une personne dont l’établissement a fermé l’accès.",
    Wait.RETURNED: "À vérifier : l’établissement avait fermé l’accès de cette personne à l’élève.",
}


def parameters(account: str, child: str) -> dict[str, Any]:
    """Return the parameters of `UPDATE_ONE` that name a tie."""
    return {"changed_account": uuid.UUID(account), "changed_child": uuid.UUID(child)}


def lock_accounts(accounts: Iterable[str]) -> None:
    """Lock the accounts in the order of their ids, before one of their ties is written.

    The settlement of a dispute locks the account, then its ties. The same order here avoids a deadlock.
    """
    ids = sorted({uuid.UUID(account) for account in accounts})
    if ids:
        locking = select(Account.id).where(one_of(Account.id, ids)).order_by(Account.id).with_for_update()
        db.session.execute(locking).all()


def write(staging: Staging, batch: str, children: Sequence[str]) -> None:
    """Write the ties of a page of pupils that are new, changed or hold again. A tie that waits is closed."""
    rows = list(staging.rows(_CHANGED_LINKS, children=json.dumps(children)))
    lock_accounts(row.account for row in rows)
    new, known, readmitted, opened, reopened = [], [], [], [], set[uuid.UUID]()
    for row in rows:
        ends = {"account_id": uuid.UUID(row.account), "child_id": uuid.UUID(row.child)}
        named, values = parameters(row.account, row.child), {"kinship": row.kinship, "authority": row.authority}
        if row.wait == Wait.RETURNED:
            readmitted.append(named | values | _OPEN)
            _ask_again(ends["account_id"], ends["child_id"])
        elif row.is_known:
            known.append(named | values | _OPEN)
            if row.is_ended:
                reopened.add(ends["account_id"])
        else:
            new.append(ends | values)
        if row.has_account:
            if row.is_ended and not (row.wait == Wait.RETURNED or row.closed == "disputed"):
                opened.append(ends)
            change = "child_added" if row.is_ended else "tie_changed"
            log.record(AccountImported(account_id=ends["account_id"], batch=batch, change=change, child=row.child))
    disputed = _in_dispute(opened)
    bulk.insert_rows(_links, _ranked(new))
    if known:  # the school may have excluded one since the plan was made
        db.session.execute(UPDATE_ONE.where(~Guardianship.where_closed_as(ClosingKind.EXCLUDED)), known)
    if readmitted:
        db.session.execute(UPDATE_ONE, readmitted)
    _dispute(disputed)
    # accounts whose reopened tie was disputed when it ended, and not settled since
    disputed_again = select(Account.id).where(Account.id.in_(reopened), Account.has_disputed_tie)
    closing.close(db.session.scalars(disputed_again).all() if reopened else ())
    tell_heads([(uuid.UUID(row.account), uuid.UUID(row.child), Wait(row.wait)) for row in rows if row.wait], now())
    _tell_of_added(staging, children)


def _tell_of_added(staging: Staging, children: Sequence[str]) -> None:
    """Write the notices about new guardians beside active ones, and the mails to these, which name nobody."""
    added = list(staging.rows(_ADDED_LINKS, keys=json.dumps(children)))
    if not added:
        return
    schools = _schools({uuid.UUID(row.child) for row in added})

    def placed(rows: Iterable[Any]) -> list[tuple[uuid.UUID, uuid.UUID, uuid.UUID]]:
        ends = [(uuid.UUID(row.account), uuid.UUID(row.child)) for row in rows]
        return [(account_id, schools[child_id][0], child_id) for account_id, child_id in ends]

    _write_notices(Kind.GUARDIAN_ADDED, placed(added))
    active = placed(staging.rows(_ACTIVE_LINKS, keys=json.dumps([row.child for row in added])))
    for account_id, school_id in dict.fromkeys((account_id, school_id) for account_id, school_id, _ in active):
        notices.tell(Notice.GUARDIAN_ADDED, account_id, school=str(school_id))


def lift_exclusions(page: Sequence[Any]) -> None:
    """Have excluded ties that the files no longer name wait for the head, whom a file asks that names them again."""
    lock_accounts(link.account for link in page)
    for link in page:
        account_id, child_id = uuid.UUID(link.account), uuid.UUID(link.child)
        if _ask_again(account_id, child_id):
            school_id = _schools([child_id])[child_id][0]
            closing_acts.close_ties([(account_id, child_id, school_id)], Wait.RETURNED, REASONS[Wait.RETURNED])


def _ask_again(account_id: uuid.UUID, child_id: uuid.UUID) -> bool:
    """End the exclusion of a tie because its file changed; return whether there was one. The tie waits for the head."""
    reason = "the file changed"
    return bool(closing_acts.end(account_id, [ClosingKind.EXCLUDED], by="import", reason=reason, children=[child_id]))


def _ranked(links: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return new ties with ranks after the guardian's other children, in the order of the file."""
    guardians = sorted({link["account_id"] for link in links})
    query = select(_links.c.account_id, func.max(_links.c.rank)).where(one_of(_links.c.account_id, guardians))
    last = dict(db.session.execute(query.group_by(_links.c.account_id)).all()) if guardians else {}
    ranked = []
    for link in links:
        last[link["account_id"]] = rank = last.get(link["account_id"], -1) + 1
        ranked.append(link | {"rank": rank})
    return ranked


def _in_dispute(ties: Sequence[dict[str, uuid.UUID]]) -> list[tuple[uuid.UUID, uuid.UUID, uuid.UUID]]:
    """Return which new ties are disputed from the start, as (account, school, child).

    A dispute says that a school's letter reached another person than the guardian. While all children that the account
    has in that school are disputed, a new child there is disputed too, and the school looks at both. Another school's
    letter may have reached the right person, and so may a letter of which some children were not disputed.
    """
    if not ties:
        return []
    accounts = sorted({tie["account_id"] for tie in ties})
    disputed = Guardianship.where_closed_as(ClosingKind.DISPUTED)
    holding = (
        select(Guardianship.account_id, Child.school_id, disputed)
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            one_of(Guardianship.account_id, accounts),
            or_(Guardianship.is_unended, disputed),  # a dispute stays open when the pupil leaves
        )
    )
    all_disputed: dict[tuple[uuid.UUID, uuid.UUID], bool] = {}
    for account_id, school_id, is_so in db.session.execute(holding):
        all_disputed[account_id, school_id] = all_disputed.get((account_id, school_id), True) and is_so
    if not any(all_disputed.values()):
        return []
    ids = sorted({tie["child_id"] for tie in ties})
    chosen = select(_children.c.id, _children.c.school_id).where(one_of(_children.c.id, ids))
    schools: dict[uuid.UUID, uuid.UUID] = dict(db.session.execute(chosen).all())
    keys = ((tie["account_id"], schools[tie["child_id"]], tie["child_id"]) for tie in ties)
    return [key for key in keys if all_disputed.get(key[:2], False)]


def _dispute(ties: Sequence[tuple[uuid.UUID, uuid.UUID, uuid.UUID]]) -> None:
    if not ties:
        return
    closing.dispute_ties([(account_id, child_id, school_id) for account_id, school_id, child_id in ties])
    _write_notices(Kind.NOT_GUARDIAN, ties)


def _write_notices(kind: Kind, ties: Iterable[tuple[uuid.UUID, uuid.UUID, uuid.UUID]]) -> None:
    """Write one notice for each account and school, about its pupils; ties are (account, school, child)."""
    concerned: dict[uuid.UUID, dict[uuid.UUID, list[uuid.UUID]]] = {}
    for account_id, school_id, child_id in ties:
        concerned.setdefault(account_id, {}).setdefault(school_id, []).append(child_id)
    for account_id, schools in concerned.items():
        school_notices.add(kind, account_id, schools)


def tell_heads(ties: Sequence[tuple[uuid.UUID, uuid.UUID, Wait]], moment: datetime) -> None:
    """Store that ties, as (account, pupil, cause), are closed since `moment`, and tell the heads.

    The caller has written the ties, and has locked the accounts.
    """
    if not ties:
        return
    schools = _schools({child_id for _, child_id, _ in ties})
    for account_id, child_id, wait in ties:
        school_id, uai = schools[child_id]
        row = next(
            (row for row in closing_acts.waits_of(account_id, school_id, moment) if row.child_id == child_id), None
        )
        if row is None:
            row = Closing(
                id=uuid.uuid4(),
                account_id=account_id,
                child_id=child_id,
                school_id=school_id,
                reason=REASONS[wait],
                kind=wait.value,
                begun_at=moment,
                begun_by=log.current_origin().actor[:80],
            )
            db.session.add(row)
        log.record(
            GuardianWaits(
                account_id=account_id,
                closing=str(row.id),
                child=str(child_id),
                wait=wait.value,
                uai=uai,
            )
        )
    _write_notices(
        Kind.GUARDIAN_WAITS, [(account_id, schools[child_id][0], child_id) for account_id, child_id, _ in ties]
    )


def _schools(children: Collection[uuid.UUID]) -> Mapping[uuid.UUID, tuple[uuid.UUID, str]]:
    of_children = select(Child.id, School.id, School.uai).join(School, School.id == Child.school_id)
    rows = db.session.execute(of_children.where(one_of(Child.id, sorted(children))))
    return {child_id: (school_id, uai) for child_id, school_id, uai in rows}
