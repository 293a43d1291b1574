"""Writes the ties between guardians and pupils, in the transaction of the pupils."""

import json
import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any, cast

from sqlalchemy import Table, bindparam, func, or_, select, update

from idp.accounts import disputes, school_notices
from idp.accounts.closings import Wait
from idp.accounts.models import Account, Child, Guardianship
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.registry_events import AccountImported
from idp.clock import now
from idp.db import db, one_of
from idp.rostering import bulk
from idp.rostering.reconcile.staging import Staging
from idp.rostering.write import statements, waits
from idp.rostering.write.statements import ChangedLink, ChildAccount
from idp.rostering.write.waits import WaitingTie
from idp.sessions import closing

_links = cast("Table", Guardianship.__table__)
_children = cast("Table", Child.__table__)
_OPEN = {"ended_at": None}
_UNDISPUTED = {"excluded_at": None, "disputed_at": None}

UPDATE_ONE = update(_links).where(
    _links.c.account_id == bindparam("changed_account"), _links.c.child_id == bindparam("changed_child")
)


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
    rows = list(staging.rows(ChangedLink, statements.CHANGED_LINKS, children=json.dumps(children)))
    lock_accounts(row.account for row in rows)
    new, known, readmitted, opened, reopened = [], [], [], [], set()
    for row in rows:
        ends = {"account_id": uuid.UUID(row.account), "child_id": uuid.UUID(row.child)}
        named, values = parameters(row.account, row.child), {"kinship": row.kinship, "authority": row.authority}
        if row.wait == Wait.EXCLUDED:
            readmitted.append(named | values | _OPEN | _UNDISPUTED | {"was_excluded": False})
        elif row.is_known:
            known.append(named | values | _OPEN)
            if row.is_ended:
                reopened.add(ends["account_id"])
        else:
            new.append(ends | values)
        if row.has_account:
            if row.is_ended and not (row.wait == Wait.EXCLUDED or row.is_disputed):
                opened.append(ends)
            change = "child_added" if row.is_ended else "tie_changed"
            log.record(AccountImported(account_id=ends["account_id"], batch=batch, change=change, child=row.child))
    disputed = _in_dispute(opened)
    bulk.insert_rows(_links, _ranked(new))
    if known:  # the school may have excluded one since the plan was made
        db.session.execute(UPDATE_ONE.where(~Guardianship.is_excluded), known)
    if readmitted:
        db.session.execute(UPDATE_ONE, readmitted)
    _dispute(disputed)
    _close_again(reopened)
    _close([row for row in rows if row.wait])
    _tell_of_added(staging, children)


def _close(rows: Sequence[ChangedLink]) -> None:
    """Close the ties that wait for the head, from the transaction that writes them, and tell the heads."""
    ties = [WaitingTie(uuid.UUID(row.account), uuid.UUID(row.child), Wait(row.wait)) for row in rows]
    waits.tell_heads(ties, now())


def _tell_of_added(staging: Staging, children: Sequence[str]) -> None:
    """Tell the heads and the active guardians of a page of pupils of the guardians whom the files add beside them."""
    if added := list(staging.rows(ChildAccount, statements.ADDED_LINKS, keys=json.dumps(children))):
        keys = json.dumps([row.child for row in added])
        waits.tell_of_added(_ends(added), _ends(list(staging.rows(ChildAccount, statements.ACTIVE_LINKS, keys=keys))))


def _ends(rows: Sequence[ChildAccount]) -> list[tuple[uuid.UUID, uuid.UUID]]:
    return [(uuid.UUID(row.account), uuid.UUID(row.child)) for row in rows]


def lift_exclusions(page: Sequence[ChildAccount]) -> None:
    """Turn excluded ties into ended ones, because the files no longer name them; the next file asks the head."""
    lifted = _UNDISPUTED | {"was_excluded": True}
    db.session.execute(UPDATE_ONE, [parameters(link.account, link.child) | lifted for link in page])


def _close_again(accounts: Collection[uuid.UUID]) -> None:
    """Close the accounts whose reopened tie was disputed when it ended, and not settled since."""
    closing.close(disputes.disputed_among(accounts) if accounts else ())


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
    holding = (
        select(Guardianship.account_id, Child.school_id, Guardianship.has_open_dispute)
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            one_of(Guardianship.account_id, accounts),
            or_(Guardianship.is_unended, Guardianship.has_open_dispute),  # a dispute stays open when the pupil leaves
            ~Guardianship.is_excluded,
        )
    )
    is_disputed: dict[tuple[uuid.UUID, uuid.UUID], bool] = {}
    for account_id, school_id, has_open_dispute in db.session.execute(holding):
        is_disputed[account_id, school_id] = is_disputed.get((account_id, school_id), True) and has_open_dispute
    if not any(is_disputed.values()):
        return []
    ids = sorted({tie["child_id"] for tie in ties})
    chosen = select(_children.c.id, _children.c.school_id).where(one_of(_children.c.id, ids))
    schools: dict[uuid.UUID, uuid.UUID] = dict(db.session.execute(chosen).all())
    keys = ((tie["account_id"], schools[tie["child_id"]], tie["child_id"]) for tie in ties)
    return [key for key in keys if is_disputed.get(key[:2], False)]


def _dispute(ties: Sequence[tuple[uuid.UUID, uuid.UUID, uuid.UUID]]) -> None:
    """Dispute new ties, close their accounts, and write a notice for the school."""
    if not ties:
        return
    closing.dispute_ties([(account_id, child_id) for account_id, _, child_id in ties])
    concerned: dict[uuid.UUID, dict[uuid.UUID, list[uuid.UUID]]] = {}
    for account_id, school_id, child_id in ties:
        concerned.setdefault(account_id, {}).setdefault(school_id, []).append(child_id)
    for account_id, schools in concerned.items():
        school_notices.add(Kind.NOT_GUARDIAN, account_id, schools)
