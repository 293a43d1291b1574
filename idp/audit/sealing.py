"""Seals the journal in batches, and moves the beginning of the chain when old entries are purged.

No request waits for this: entries are inserted without a seal, each with its own MAC. The worker takes all entries
without a seal, in no order of ids, since a transaction that began earlier may commit later. One transaction writes the
seal and marks its entries. Two concurrent workers take different entries, but write a seal of the same number: the
primary key accepts one, and the other worker retries.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from idp.audit import chain, log
from idp.audit.chain import Sealed, Secrets
from idp.audit.models import AuditBeginning, AuditEntry, AuditSeal
from idp.clock import now
from idp.db import db, retry_unit_of_work

BATCH = 500  # the most entries of a seal, and of the transaction that writes it

_MOST_CONFLICTS = 20
_T = TypeVar("_T")
_logger = structlog.get_logger()


def seal_all(known: Secrets, *, within: timedelta = timedelta(days=1)) -> int:
    """Seal the entries without a seal, batch by batch, until none or no time is left; return their number."""
    total, until = 0, time.monotonic() + within.total_seconds()
    while time.monotonic() < until and (seal := _retried(partial(seal_batch, known))):
        # outside the database, so that a chain whose end was cut off is noticed (`idp audit verify --head`); not before
        # the commit, since a seal that was noted and is missing raises the alarm
        _logger.info("audit.sealed", seal=seal.id, entries=seal.count, mac=seal.mac.hex())
        total += seal.count
    return total


def seal_batch(known: Secrets) -> AuditSeal | None:
    """Seal up to `BATCH` entries in the caller's transaction; return the seal, or None if no entry waits.

    Raises:
        sqlalchemy.exc.IntegrityError: another worker has just written the seal of this number.
    """
    waiting = (
        select(AuditEntry)
        .where(AuditEntry.seal_id.is_(None))
        .order_by(AuditEntry.seal_id, AuditEntry.id)  # both columns, which is the order of the index
        .limit(BATCH)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    entries = db.session.scalars(waiting).all()
    if not entries:
        return None
    last = db.session.scalar(select(AuditSeal).order_by(AuditSeal.id.desc()).limit(1))
    seal = _seal(known, entries, last)
    db.session.add(seal)
    for entry in entries:
        entry.seal_id = seal.id
    db.session.flush()
    for row in (*entries, seal):  # a long run must not keep all sealed rows in memory
        db.session.expunge(row)
    return seal


def _seal(known: Secrets, entries: Sequence[AuditEntry], last: AuditSeal | None) -> AuditSeal:
    for entry in entries:
        chain.complete(known, entry)
    seal = AuditSeal(
        id=last.id + 1 if last else 1,
        sealed_at=now(),
        newest_at=max(entry.at for entry in entries),
        count=len(entries),
        entries=chain.pack([Sealed.of(entry) for entry in entries]),
        previous=last.mac if last else b"",
    )
    chain.sign(known, seal)
    return seal


def record_cut(known: Secrets, entries_before: datetime, failures_before: datetime) -> None:
    """Record that entries, and failures, up to these instants may be missing; commit before the purge removes any."""
    _retried(partial(_record_cut, known, entries_before, failures_before))


def _record_cut(known: Secrets, entries_before: datetime, failures_before: datetime) -> None:
    beginning = db.session.scalar(select(AuditBeginning).with_for_update())
    if beginning is None:
        beginning = AuditBeginning(
            id=1, entries_before=entries_before, failures_before=failures_before, first_seal=1, previous=b""
        )
    beginning.entries_before = max(beginning.entries_before, entries_before)
    beginning.failures_before = max(beginning.failures_before, failures_before)
    # keep the youngest seal, since the next one is chained to it
    needed = select(AuditSeal).where(AuditSeal.newest_at > beginning.entries_before).order_by(AuditSeal.id).limit(1)
    youngest = select(AuditSeal).order_by(AuditSeal.id.desc()).limit(1)
    first = db.session.scalar(needed) or db.session.scalar(youngest)
    if first is not None and first.id > beginning.first_seal:
        beginning.first_seal, beginning.previous = first.id, first.previous
    beginning.recorded_at, beginning.actor = now(), log.current_origin().actor
    chain.sign(known, beginning)
    db.session.add(beginning)
    db.session.flush()


def drop_old_seals() -> int:
    """Remove the seals before the beginning of the chain, in short transactions; return how many there were."""
    total = 0
    while dropped := retry_unit_of_work(_drop_some):
        total += dropped
    return total


def _drop_some() -> int:
    first = select(AuditBeginning.first_seal).scalar_subquery()
    some = select(AuditSeal.id).where(AuditSeal.id < first).order_by(AuditSeal.id).limit(BATCH)
    keys = db.session.scalars(some.with_for_update(skip_locked=True)).all()
    db.session.execute(delete(AuditSeal).where(AuditSeal.id.in_(keys)).execution_options(synchronize_session=False))
    return len(keys)


def _retried(step: Callable[[], _T]) -> _T:
    for _ in range(_MOST_CONFLICTS):
        try:
            return retry_unit_of_work(step)
        except IntegrityError:
            continue
    return retry_unit_of_work(step)
