"""Keeps the decisions about pupils who left, because a pupil may return under another number or in another school."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import or_, select

from idp.accounts.models import Account, Child, Guardianship, RosterAlias, School
from idp.accounts.same_person import digests_of, traces_of_pupils
from idp.accounts.suspensions import kept as kept_suspensions
from idp.accounts.suspensions.models import KeptSuspension, Suspension
from idp.accounts.suspensions.traces import Names, Traces
from idp.clock import now
from idp.db import db


def keep_decisions(secrets: Sequence[bytes], children: Sequence[uuid.UUID]) -> None:
    """Keep the suspensions that hold about pupils, in the transaction that removes the pupils.

    A guardian who only waits for the head is not suspended: the next file brings a new guardian, who waits again.
    """
    moment = now()
    held = select(KeptSuspension).where(KeptSuspension.child_id.in_(children), KeptSuspension.where_holding(moment))
    rows = [*db.session.scalars(held.with_for_update()), *_of_ties(secrets, children, moment)]
    if not rows:
        return
    of_rows = select(Child, School.uai).join(School).where(Child.id.in_({row.child_id for row in rows}))
    pupils = {child.id: (child, uai) for child, uai in db.session.execute(of_rows)}
    names = traces_of_pupils(child for child, _ in pupils.values())
    for row in rows:
        child, uai = pupils[row.child_id]
        kept_suspensions.leave_pupil(secrets, row, uai, names[child.id], moment)
    db.session.flush()


def _of_ties(secrets: Sequence[bytes], children: Sequence[uuid.UUID], moment: datetime) -> Iterable[KeptSuspension]:
    """Yield a new row for each suspended tie: by a decision about the tie or about the whole account."""
    decided = db.session.execute(
        select(Account, Guardianship.child_id, Suspension)
        .select_from(Guardianship)
        .join(Account, Account.id == Guardianship.account_id)
        .join(Suspension, Suspension.account_id == Guardianship.account_id)
        .where(
            Guardianship.child_id.in_(children),
            or_(Suspension.child_id.is_(None), Suspension.child_id == Guardianship.child_id),
            Suspension.where_decided(moment),
        )
    ).all()
    by_tie: dict[tuple[Account, uuid.UUID], list[Suspension]] = {}
    for account, child_id, decision in decided:
        by_tie.setdefault((account, child_id), []).append(decision)
    for (account, child_id), decisions in by_tie.items():
        until = kept_suspensions.last_end([decision.until for decision in decisions])
        yield kept_suspensions.keep(secrets, child_id, until, _traces(account, decisions))


def _traces(account: Account, decisions: Sequence[Suspension]) -> Traces:
    aliases = db.session.scalars(select(RosterAlias.roster_key).where(RosterAlias.account_id == account.id))
    keys = [key for key in (account.roster_key, *aliases) if key]
    return Traces.of([*digests_of(account, decisions), *map(Names.of, keys)])
