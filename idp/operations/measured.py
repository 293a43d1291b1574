"""What the database tells the metrics: the outbox, imports, keys, letters, notices, the purge."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import Connection, func, select

from idp.accounts.models import Account, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit.data_events import PurgeCompleted
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.metrics import catalogue as metrics
from idp.metrics.instruments import Sample, Subject
from idp.oidc.keys.material import ALGORITHMS
from idp.oidc.keys.rotation import signing_since
from idp.outbox import queue
from idp.outbox.worker import DEAD
from idp.rostering.models import ImportBatch

_WEEK = timedelta(days=7)
# How long the numbers of letters are kept: to count them, the database reads the index of all open letters.
_ACCOUNTS_SECONDS = 600.0
metrics.NOTICE.allow(Kind)
metrics.ALGORITHM.allow(ALGORITHMS)
LAST_PURGE = select(func.max(AuditEntry.at)).where(AuditEntry.where_kind(PurgeCompleted.kind))
"""Selects when `idp purge` was last completed; one that failed, or was killed, does not count."""


def read_outbox(connection: Connection, _settings: Settings) -> Iterator[Sample]:
    """Yield the numbers of waiting and of dead messages, and how long the oldest has been ready."""
    moment, kind = now(), queue.OutboxMessage.kind
    ready = func.min(queue.ready_since(moment))
    waiting = select(kind, func.count(), ready).where(queue.OutboxMessage.finished_at.is_(None)).group_by(kind)
    for name, count, since in connection.execute(waiting):
        yield metrics.OUTBOX_WAITING, (name,), count
        yield metrics.OUTBOX_AGE, (name,), (moment - since).total_seconds() if since else 0.0
    dead = select(kind, func.count()).where(queue.OutboxMessage.outcome == DEAD).group_by(kind)
    for name, count in connection.execute(dead):
        yield metrics.OUTBOX_DEAD, (name,), count


def read_imports(connection: Connection, _settings: Settings) -> Iterator[Sample]:
    """Yield the numbers of imports in a week by their states, those to redo, and the time of the last completed one."""
    from idp.rostering.records import Format  # noqa: PLC0415 - of school files, which `idp serve` never reads

    metrics.FORMAT.allow(form.value for form in Format)
    since = ImportBatch.started_at >= now() - _WEEK
    recent = select(ImportBatch.format, ImportBatch.state, func.count()).where(since)
    for form, state, count in connection.execute(recent.group_by(ImportBatch.format, ImportBatch.state)):
        yield metrics.IMPORTS, (form, state), count
    for form, count in _to_redo(connection).items():
        yield metrics.IMPORTS_TO_REDO, (form,), count
    last = connection.scalar(select(func.max(ImportBatch.finished_at)).where(ImportBatch.state == "done"))
    if last:
        yield metrics.IMPORT_AT, (), last.timestamp()


def _to_redo(connection: Connection) -> Counter[str]:
    """Count the imports of a week that brought nothing, by format, and that no later import made good.

    An import makes former ones good if it speaks for their schools, whatever the format: a school may change it. Files
    that were too wrong to name their schools are made good by the next import of their format.
    """
    columns = ImportBatch.format, ImportBatch.state, ImportBatch.schools
    since = ImportBatch.started_at >= now() - _WEEK
    newest_first = select(*columns).where(since).order_by(ImportBatch.started_at.desc())
    formats: set[str] = set()
    schools: set[str] = set()
    wrong: Counter[str] = Counter()
    for form, state, named in connection.execute(newest_first):
        if state == "done":
            formats.add(form)
            schools.update(named)
        elif state in {"stopped", "failed"}:
            is_good = schools.issuperset(named) if named else form in formats or (not form and bool(formats))
            wrong[form] += not is_good
    return +wrong


def read_keys(connection: Connection, settings: Settings) -> Iterator[Sample]:
    """Yield the age of each key that signs, and the age at which it is replaced."""
    moment = now()
    for algorithm, since in signing_since(connection, moment).items():
        yield metrics.KEY_AGE, (algorithm,), max(0.0, (moment - since).total_seconds())
    yield metrics.KEY_PERIOD, (), timedelta(days=settings.key_rotation_days).total_seconds()


def read_letters(connection: Connection, _settings: Settings) -> Iterator[Sample]:
    """Yield the numbers of letters that are valid, and that expire within a week."""
    moment, expires_at = now(), Account.provisional_expires_at
    soon = func.count().filter(expires_at <= moment + _WEEK)
    unused = Account.provisional_hash.is_not(None), Account.activated_at.is_(None), Account.disabled_at.is_(None)
    valid, expiring = connection.execute(select(func.count(), soon).where(*unused, expires_at > moment)).one()
    yield metrics.LETTERS_VALID, (), valid
    yield metrics.LETTERS_EXPIRING, (), expiring


def read_notices(connection: Connection, _settings: Settings) -> Iterator[Sample]:
    """Yield the numbers of notices that schools have not settled, and the age of the oldest."""
    is_open = SchoolNotice.settled_at.is_(None)
    kinds = select(SchoolNotice.kind, func.count(), func.min(SchoolNotice.created_at)).where(is_open)
    rows = connection.execute(kinds.group_by(SchoolNotice.kind)).all()
    for kind, count, _ in rows:
        yield metrics.NOTICES_OPEN, (kind,), count
    oldest = min((since for _, _, since in rows), default=None)
    yield metrics.NOTICES_AGE, (), (now() - oldest).total_seconds() if oldest else 0.0


def read_purge(connection: Connection, _settings: Settings) -> Iterator[Sample]:
    """Yield the time of the last completed purge."""
    last = connection.scalar(LAST_PURGE)
    yield metrics.PURGE_AT, (), last.timestamp() if last else 0.0


READINGS = {
    "outbox": Subject(read_outbox),
    "imports": Subject(read_imports),
    "keys": Subject(read_keys),
    "letters": Subject(read_letters, period=_ACCOUNTS_SECONDS),
    "notices": Subject(read_notices),
    "purge": Subject(read_purge),
}
