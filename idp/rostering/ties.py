"""Writes who is whose guardian, in the transaction of the pupils that it is about."""

import uuid
from collections.abc import Collection, Sequence
from typing import Any, cast

from sqlalchemy import Table, bindparam, func, select, update

from idp.accounts import disputes, school_notices
from idp.accounts.models import Child, Guardianship
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import AccountImported
from idp.clock import now
from idp.db import db
from idp.rostering import bulk
from idp.rostering.staging import Staging
from idp.sessions import manager

_links = cast("Table", Guardianship.__table__)

ONE = update(_links).where(
    _links.c.account_id == bindparam("this_account"), _links.c.child_id == bindparam("this_child")
)


def this(account: str, child: str) -> dict[str, Any]:
    """Return the parameters of `ONE` that name a tie."""
    return {"this_account": uuid.UUID(account), "this_child": uuid.UUID(child)}


def write(staging: Staging, batch: str, children: Sequence[str]) -> None:
    """Write the ties of a page of pupils that are new, changed or hold again."""
    marks = ", ".join("?" * len(children))
    rows = staging.rows(
        "SELECT l.child, l.account, l.kinship, l.authority, k.child IS NOT NULL, coalesce(k.is_ended, 1), "
        "a.id IS NOT NULL FROM live l JOIN student s ON s.child_id = l.child "
        "LEFT JOIN known_link k ON k.child = l.child AND k.account = l.account "
        "LEFT JOIN known_account a ON a.id = l.account "
        f"WHERE l.child IN ({marks}) AND (k.child IS NULL OR k.is_ended OR k.kinship IS NOT l.kinship "
        "OR k.authority IS NOT l.authority) ORDER BY l.account, s.rowid",
        *children,
    )
    new, changed, known, reopened = [], [], set(), set()
    for child, account, kinship, authority, is_there, is_opened, is_known in rows:
        pair = {"account_id": uuid.UUID(account), "child_id": uuid.UUID(child)}
        if is_there:
            changed.append(this(account, child) | {"kinship": kinship, "authority": authority, "ended_at": None})
            if is_opened:
                reopened.add(pair["account_id"])
        else:
            new.append(pair | {"kinship": kinship, "authority": authority})
        if is_known:
            known.add(pair["account_id"])
            change = "child_added" if is_opened else "tie_changed"
            log.record(AccountImported(account_id=pair["account_id"], batch=batch, change=change, child=child))
    bulk.insert_rows(_links, _ranked(new))
    if changed:
        db.session.execute(ONE, changed)
    _keep_disputes(sorted(known), [link for link in new if link["account_id"] in known])
    _close_again(reopened)


def _close_again(accounts: Collection[uuid.UUID]) -> None:
    """Close the accounts whose tie holds again, but was disputed and never settled before it ended."""
    closed = disputes.disputed_among(accounts) if accounts else set()
    if closed:
        disputes.shut(closed)
        for account_id in sorted(closed):
            manager.end_all(account_id, by="disputed")


def _ranked(links: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put new children after those that their guardians have, in the file's order."""
    guardians = sorted({link["account_id"] for link in links})
    query = select(_links.c.account_id, func.max(_links.c.rank)).where(bulk.one_of(_links.c.account_id, guardians))
    last = dict(db.session.execute(query.group_by(_links.c.account_id)).all()) if guardians else {}
    ranked = []
    for link in links:
        last[link["account_id"]] = rank = last.get(link["account_id"], -1) + 1
        ranked.append(link | {"rank": rank})
    return ranked


def _keep_disputes(accounts: Sequence[uuid.UUID], new: Sequence[dict[str, Any]]) -> None:
    """Dispute the new ties of whoever said not to be these children's guardian, and have the school look again."""
    if not new:
        return
    disputing = select(_links.c.account_id).where(
        bulk.one_of(_links.c.account_id, accounts), disputes.tie_is_disputed()
    )
    doubtful = set(db.session.scalars(disputing))
    for link in new:
        if link["account_id"] not in doubtful:
            continue
        names = {"this_account": link["account_id"], "this_child": link["child_id"], "disputed_at": now()}
        db.session.execute(ONE, [names])
        school_id = db.session.scalars(select(Child.school_id).where(Child.id == link["child_id"])).one()
        school_notices.add(Kind.NOT_GUARDIAN, link["account_id"], {school_id: [link["child_id"]]})
