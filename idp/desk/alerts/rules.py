"""Counts unusual acts at the desk in the journal, and enqueues the mails about them, once for each subject and day.

- More than 30 accounts and pupils together, opened within an hour by one person.
- Ten letters for accounts that have been active, on one day by one school.
- An account of the opener's own family name.

A periodic job of the worker looks at the last day, so that no alert is lost while the worker is stopped. The id of a
mail is made from alert, subject, day and recipient: a mail that was enqueued once is not enqueued again.
"""

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, func, select

from idp.accounts.models import Account, School
from idp.audit import log
from idp.audit.desk_events import AlertRaised, PupilRead
from idp.audit.events import AccountRead, LetterReissued
from idp.audit.models import OK, AuditEntry
from idp.clock import day_of, now, start_of_day
from idp.db import db, retry_unit_of_work, upsert
from idp.desk.alerts.recipients import of_alert
from idp.desk.staff.models import StaffAccount
from idp.folding import fold
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome

ALERTS = "desk.alerts"
"""The periodic job, and its period."""
ALERTS_PERIOD = timedelta(minutes=10)
ALERT = "desk.alert"
"""The kind of outbox message for one recipient of an alert."""

MOST_OPENED = 30
"""More accounts and pupils than this, opened within an hour by one person, are an alert."""
MANY_LETTERS = 10
"""This many letters for accounts that have been active, on one day by one school are an alert."""
_HOUR = timedelta(hours=1)
_LOOK_BACK = timedelta(days=1)
_NAMES = uuid.UUID("0c7f3b5e-8a41-4d0b-9b52-6f2a1f3c9d77")
"""The namespace of the ids of messages."""


@dataclass(frozen=True)
class Alert:
    """An alert: its name, the day in Paris, the number, and the person or the school that it is about."""

    name: str
    day: str
    count: int
    staff_id: uuid.UUID | None = None
    school_id: uuid.UUID | None = None


def look(_message: OutboxMessage) -> Outcome:
    """Enqueue the mails of new alerts (outbox handler of the periodic job)."""
    moment = now()
    alerts = [*_many_opened(moment), *_many_letters(moment), *_own_names(moment)]
    raised = sum(retry_unit_of_work(_raising(alert)) for alert in alerts)
    return Outcome.DONE if raised else Outcome.DROPPED


def _day(moment: datetime) -> str:
    return day_of(moment).isoformat()


def _since(moment: datetime) -> ColumnElement[bool]:
    return AuditEntry.at > moment - _LOOK_BACK


def _many_opened(moment: datetime) -> Iterator[Alert]:
    """Yield an alert for each person and day with more than `MOST_OPENED` subjects within an hour."""
    account, child = AuditEntry.account_id, AuditEntry.details["child"].as_string()
    opened = (
        AuditEntry.staff_id.is_not(None),
        AuditEntry.kind.in_((AccountRead.kind, PupilRead.kind)),
        AuditEntry.result == OK,
        _since(moment),
    )
    busy = (
        select(AuditEntry.staff_id)
        .where(*opened)
        .group_by(AuditEntry.staff_id)
        .having(func.count(account.distinct()) + func.count(child.distinct()) > MOST_OPENED)
    )
    for staff_id in db.session.scalars(busy).all():
        rows = db.session.execute(
            select(AuditEntry.at, account, child, AuditEntry.school_id)
            .where(*opened, AuditEntry.staff_id == staff_id)
            .order_by(AuditEntry.at)
        ).all()
        subjects = [(at, account_id or child_id, school_id) for at, account_id, child_id, school_id in rows]
        for day, (count, school_id) in _busiest_hours(subjects).items():
            yield Alert("many_accounts", day, count, staff_id, school_id)


def _busiest_hours(rows: Iterable[Any]) -> dict[str, tuple[int, uuid.UUID | None]]:
    """Return the days with an hour of more than `MOST_OPENED` subjects: the first such number, and the school."""
    window: deque[tuple[datetime, Any]] = deque()
    days: dict[str, tuple[int, uuid.UUID | None]] = {}
    for at, subject, school_id in rows:
        window.append((at, subject))
        while at - window[0][0] >= _HOUR:
            window.popleft()
        count = len({known for _, known in window})
        if count > MOST_OPENED:
            days.setdefault(_day(at), (count, school_id))
    return days


def _many_letters(moment: datetime) -> Iterator[Alert]:
    """Yield an alert for each school that reached `MANY_LETTERS` on a day, today or yesterday in Paris."""
    midnight = start_of_day(day_of(moment))
    days = (midnight, moment + timedelta(seconds=1)), (midnight - timedelta(days=1), midnight)
    for start, end in days:
        busy = (
            select(AuditEntry.school_id, func.count())
            .where(
                AuditEntry.staff_id.is_not(None),
                AuditEntry.school_id.is_not(None),
                AuditEntry.kind == LetterReissued.kind,
                AuditEntry.at >= start,
                AuditEntry.at < end,
            )
            .group_by(AuditEntry.school_id)
            .having(func.count() >= MANY_LETTERS)
        )
        for school_id, count in db.session.execute(busy).all():
            yield Alert("many_letters", _day(start), count, school_id=school_id)


def _own_names(moment: datetime) -> Iterator[Alert]:
    """Yield an alert for each person and day with an opened account of the person's own family name."""
    opened = (
        select(
            AuditEntry.staff_id,
            StaffAccount.name,
            AuditEntry.at,
            AuditEntry.school_id,
            AuditEntry.account_id,
            Account.family_name,
            Account.birth_name,
        )
        .join(StaffAccount, StaffAccount.id == AuditEntry.staff_id)
        .join(Account, Account.id == AuditEntry.account_id)
        .where(
            AuditEntry.staff_id.is_not(None),
            AuditEntry.kind == AccountRead.kind,
            AuditEntry.result == OK,
            _since(moment),
        )
        .order_by(AuditEntry.at)
    )
    own: dict[tuple[Any, str], tuple[set[Any], Any]] = {}
    for staff_id, name, at, school_id, account_id, *families in db.session.execute(opened).all():
        if any(is_own_name(name, family) for family in families):
            own.setdefault((staff_id, _day(at)), (set(), school_id))[0].add(account_id)
    for (staff_id, day), (accounts, school_id) in own.items():
        yield Alert("own_name", day, len(accounts), staff_id, school_id)


def is_own_name(name: str, family_name: str) -> bool:
    """Return whether a family name is that of a person of the desk, whose name has the given name first or last.

    « Sylvie Marchand », « MARCHAND Sylvie » and « Anne-Laure Le Goff » have the names `marchand` and `le goff`; a given
    name is no family name.
    """
    return bool(family_name) and " ".join(_words(family_name)) in _family_names(name)


@lru_cache(maxsize=2048)
def _family_names(name: str) -> frozenset[str]:
    parts = name.split()
    capitals = [part for part in parts if len(part) > 1 and part.isupper()]
    if capitals and len(capitals) < len(parts):  # the civil status writes family names in capitals
        return frozenset({" ".join(_words(" ".join(capitals)))})
    return frozenset(" ".join(_words(" ".join(parts[start:]))) for start in range(1, len(parts)))


@lru_cache(maxsize=8192)
def _words(text: str) -> tuple[str, ...]:
    return tuple("".join(c if c.isalnum() else " " for c in fold(text)).split())


def _raising(alert: Alert) -> Callable[[], bool]:
    return lambda: _raise(alert)


def _raise(alert: Alert) -> bool:
    """Enqueue the mails of an alert and journal it, in the caller's transaction; return False if that was done."""
    payload: dict[str, Any] = {
        "alert": alert.name,
        "day": alert.day,
        "count": alert.count,
        "staff": str(alert.staff_id) if alert.staff_id else "",
        "school": str(alert.school_id) if alert.school_id else "",
    }
    subject = f"{alert.name} {alert.staff_id or alert.school_id} {alert.day}"
    new = [
        recipient
        for recipient in of_alert(alert.staff_id, alert.school_id)
        if _enqueue(f"{subject} {recipient}", {**payload, "recipient": str(recipient)})
    ]
    if not new:
        return False
    school = db.session.get(School, alert.school_id) if alert.school_id else None
    log.record(
        AlertRaised(
            alert=alert.name,
            day=alert.day,
            count=alert.count,
            staff=payload["staff"],
            uai=school.uai if school else "",
        )
    )
    return True


def _enqueue(name: str, payload: dict[str, Any]) -> bool:
    """Enqueue a mail once; return False if it was enqueued before."""
    moment = now()
    statement = (
        upsert(OutboxMessage)
        .values(
            id=uuid.uuid5(_NAMES, name), kind=ALERT, payload=payload, created_at=moment, available_at=moment,
            attempts=0, outcome="waiting", last_error="",
        )
        .on_conflict_do_nothing()
        .returning(OutboxMessage.id)
    )  # fmt: skip
    return db.session.scalar(statement) is not None
