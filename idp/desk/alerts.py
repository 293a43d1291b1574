"""Counts unusual acts at the desk in the journal, and enqueues the mails about them, once for each subject and day.

- More than 30 accounts and pupils together, opened within an hour by one person.
- Ten letters for accounts that have been active, on one day by one school.
- Accesses that one person closed on one day (`Closings.alert`).
- An account of the opener's own family name.

A periodic job of the worker looks at the entries since its last run, and at those of a day if it did not run, so that
no alert is lost while the worker is stopped. The id of a mail is made from alert, subject, day and recipient: a mail
that was enqueued once is not enqueued again.

The link of the mail leads to what the recipient may read in the journal: to the acts for a head of the school, to the
entry of the alert for an engineer, who reads no act on a family.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import CTE, Float, Row, and_, case, cast, extract, func, literal, null, or_, select, union_all

from idp.accounts.models import Account, School
from idp.audit import log
from idp.audit.data_events import AccessClosed
from idp.audit.desk_events import AlertRaised, PupilRead
from idp.audit.events import AccountChanged, AccountRead, GuardianshipDisputed, LetterReissued
from idp.audit.models import OK, AuditEntry
from idp.audit.registry_events import AccountImported
from idp.clock import day_of, now, start_of_day
from idp.config import Settings
from idp.db import db, retry_unit_of_work, upsert
from idp.desk import access
from idp.desk.journal.filters import Filters
from idp.desk.staff import posts
from idp.desk.staff.models import StaffAccount, StaffRole
from idp.desk.team import mails
from idp.folding import fold
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome

ALERTS = "desk.alerts"
ALERTS_PERIOD = timedelta(minutes=10)
ALERT = "desk.alert"

MOST_OPENED = 30
"""More accounts and pupils than this, opened within an hour by one person, are an alert."""
MANY_LETTERS = 10
"""This many letters for accounts that have been active, on one day by one school are an alert."""
HOUR = timedelta(hours=1)
_SECONDS = int(HOUR.total_seconds())
_MINUTE = timedelta(minutes=1)
_LOOK_BACK = timedelta(days=1)
_NAMES = uuid.UUID("0c7f3b5e-8a41-4d0b-9b52-6f2a1f3c9d77")

_Crossing = Row[uuid.UUID, datetime, int, uuid.UUID | None]
_Busy = tuple[uuid.UUID, int, Sequence[uuid.UUID | None]]


@dataclass(frozen=True)
class Alert:
    """An alert about a number of acts of a person, or of a school, on a day in Paris."""

    name: str
    day: str
    count: int
    staff_id: uuid.UUID | None = None
    school_id: uuid.UUID | None = None


def look(_message: OutboxMessage) -> Outcome:
    """Enqueue the mails of new alerts (outbox handler of the periodic job)."""
    moment = now()
    since = _last_look(moment)
    many = [*_many_opened(moment, since - HOUR), *_many_letters(moment), *_many_closed(moment)]
    alerts = [*many, *_own_names(since)]
    raised = sum(retry_unit_of_work(partial(_raise, alert)) for alert in alerts)
    return Outcome.DONE if raised else Outcome.DROPPED


def _day(moment: datetime) -> str:
    return day_of(moment).isoformat()


def _last_look(moment: datetime) -> datetime:
    """Return when the last run began, less a minute for entries that were committed late; a day ago at the earliest."""
    earliest = moment - _LOOK_BACK
    last = db.session.scalar(
        select(OutboxMessage.created_at)
        .where(
            OutboxMessage.kind == ALERTS,
            OutboxMessage.outcome.in_((Outcome.DONE.value, Outcome.DROPPED.value)),
            OutboxMessage.finished_at > earliest,
        )
        .order_by(OutboxMessage.finished_at.desc())
        .limit(1)
    )
    return max(earliest, last - _MINUTE) if last else earliest


def _many_opened(moment: datetime, since: datetime) -> Iterator[Alert]:
    for staff_id, at, count, school_id in openings_beyond(MOST_OPENED, since, moment, start_of_day(day_of(moment))):
        yield Alert("many_accounts", _day(at), count, staff_id, school_id)


def openings_beyond(most: int, since: datetime, until: datetime, midnight: datetime) -> Iterator[_Crossing]:
    """Yield the first crossing of each person in each hour, before and after midnight.

    A statement reads two hours: each hour with the one before it, so that its length does not grow with the time.
    """
    while since < until:
        yield from _crossings(most, since, since + 2 * HOUR, midnight)
        since += HOUR


def _crossings(most: int, since: datetime, until: datetime, midnight: datetime) -> Iterator[_Crossing]:
    """Yield the first crossing of each person before and after midnight, by one statement.

    A subject counts from its first opening until an hour after the last one that follows within an hour of another.
    The running sum of these beginnings and ends is the number of different subjects of the hour that ends.
    """
    ticks = _ticks(_opened_subjects(since, until))
    running = func.sum(ticks.c.step).over(
        partition_by=ticks.c.staff_id, order_by=(ticks.c.second, ticks.c.step, ticks.c.id), rows=(None, 0)
    )
    counted = select(ticks, running.label("count")).subquery()
    day = case((counted.c.at < midnight, 0), else_=1)
    nth = func.row_number().over(partition_by=(counted.c.staff_id, day), order_by=(counted.c.second, counted.c.id))
    columns = [counted.c.staff_id, counted.c.at, counted.c.count, counted.c.school_id]
    crossed = select(*columns, nth.label("nth")).where(counted.c.step == 1, counted.c.count > most).subquery()
    first = select(*(crossed.c[column.name] for column in columns)).where(crossed.c.nth == 1)
    yield from db.session.execute(first).all()


def _opened_subjects(since: datetime, until: datetime) -> CTE:
    """Return the openings, each with the times of the same person's opening of the same subject before and after."""
    at, child = AuditEntry.at, AuditEntry.details["child"].as_string()
    subject = AuditEntry.staff_id, AuditEntry.account_id, case((AuditEntry.account_id.is_(None), child))
    same: dict[str, Any] = {"partition_by": subject, "order_by": (at, AuditEntry.id)}
    times = {"second": at, "before": func.lag(at).over(**same), "after": func.lead(at).over(**same)}
    return (
        select(
            AuditEntry.id,
            AuditEntry.staff_id,
            at,
            AuditEntry.school_id,
            *(cast(extract("epoch", time), Float).label(name) for name, time in times.items()),
        )
        .where(
            AuditEntry.where_kind(AccountRead.kind, PupilRead.kind),
            AuditEntry.staff_id.is_not(None),
            AuditEntry.result == OK,
            at > since,
            at <= until,
        )
        .cte("openings")
    )


def _ticks(openings: CTE) -> CTE:
    """Return the beginnings (+1) and the ends (-1) of subjects."""
    row = openings.c
    begins = or_(row.before.is_(None), row.before <= row.second - _SECONDS)
    ends = or_(row.after.is_(None), row.after >= row.second + _SECONDS)
    return union_all(
        select(row.id, row.staff_id, row.at, row.school_id, row.second, literal(1).label("step")).where(begins),
        select(row.id, row.staff_id, row.at, null(), row.second + _SECONDS, literal(-1)).where(ends),
    ).cte("ticks")


def _many_letters(moment: datetime) -> Iterator[Alert]:
    letters = AuditEntry.where_kind(LetterReissued.kind), AuditEntry.school_id.is_not(None)
    for start, end in _days(moment):
        busy = (
            select(AuditEntry.school_id, func.count())
            .where(AuditEntry.staff_id.is_not(None), AuditEntry.at >= start, AuditEntry.at < end, *letters)
            .group_by(AuditEntry.school_id)
            .having(func.count() >= MANY_LETTERS)
        )
        for school_id, count in db.session.execute(busy).all():
            yield Alert("many_letters", _day(start), count, school_id=school_id)


def _many_closed(moment: datetime) -> Iterator[Alert]:
    for start, end in _days(moment):
        for staff_id, count, schools in busy_people(start, end):
            for school_id in schools:
                yield Alert("many_closed", _day(start), count, staff_id, school_id)


def busy_people(start: datetime, end: datetime) -> Iterator[_Busy]:
    """Yield the people who closed many accesses from `start` until `end`, in all schools; see `Closings.alert`."""
    alerts = {role.value: row.closings.alert for role, row in access.ROLES.items() if row.closings}
    calls = and_(
        AuditEntry.where_kind(GuardianshipDisputed.kind), AuditEntry.details["by_telephone"].as_boolean().is_(True)
    )
    replaced = and_(AuditEntry.where_kind(AccountChanged.kind), AuditEntry.details["change"].as_string() == "replaced")
    ended = and_(AuditEntry.where_kind(AccountImported.kind), AuditEntry.details["change"].as_string() == "tie_ended")
    role_name = AuditEntry.details["desk"]["role"].as_string()
    # a subquery: PostgreSQL must see the role as one expression, whose parameters would differ in GROUP BY
    rows = (
        select(AuditEntry.staff_id, role_name.label("role"), AuditEntry.school_id)
        .where(
            AuditEntry.staff_id.is_not(None),
            AuditEntry.at >= start,
            AuditEntry.at < end,
            role_name.in_(list(alerts)),
            or_(AuditEntry.where_kind(AccessClosed.kind), calls, replaced, ended),
        )
        .subquery()
    )
    counts: dict[tuple[uuid.UUID, str], dict[uuid.UUID | None, int]] = {}
    group = rows.c.staff_id, rows.c.role, rows.c.school_id
    for staff_id, role, school_id, count in db.session.execute(select(*group, func.count()).group_by(*group)):
        counts.setdefault((staff_id, role), {})[school_id] = count
    for (staff_id, role), of_person in counts.items():
        if (total := sum(of_person.values())) >= alerts[role]:
            yield staff_id, total, list(of_person)


def _days(moment: datetime) -> Sequence[tuple[datetime, datetime]]:
    midnight = start_of_day(day_of(moment))
    return (midnight, moment + timedelta(seconds=1)), (midnight - timedelta(days=1), midnight)


def _own_names(since: datetime) -> Iterator[Alert]:
    """Yield an alert for each person and day with an opened account of the person's own family name.

    The database cannot compare names without accents, so that each opened account is read.
    """
    names = StaffAccount.name, Account.family_name, Account.birth_name
    opened_accounts = (
        select(AuditEntry.at, AuditEntry.staff_id, AuditEntry.school_id, AuditEntry.account_id, *names)
        .join(StaffAccount, StaffAccount.id == AuditEntry.staff_id)
        .join(Account, Account.id == AuditEntry.account_id)
        .where(AuditEntry.where_kind(AccountRead.kind), AuditEntry.result == OK, AuditEntry.at >= since)
        .order_by(AuditEntry.at, AuditEntry.id)
    )
    own: dict[tuple[Any, str], tuple[set[Any], Any]] = {}
    for row in db.session.execute(opened_accounts):
        if any(is_own_name(row.name, family) for family in (row.family_name, row.birth_name)):
            own.setdefault((row.staff_id, _day(row.at)), (set(), row.school_id))[0].add(row.account_id)
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


def of_alert(staff_id: uuid.UUID | None, school_id: uuid.UUID | None) -> Sequence[uuid.UUID]:
    """Return the people to tell of an act of a person, or of a school, without the person who acted."""
    return posts.holders(access.is_told(access.Scope.SCHOOL, school_id), StaffRole.staff_id != staff_id)


def _enqueue(name: str, payload: dict[str, Any]) -> bool:
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


# The kind of the acts that an alert is about, if it is one kind.
_ACTS = {
    "many_letters": LetterReissued.kind,
    "own_name": AccountRead.kind,
}


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail about an alert (outbox handler)."""
    payload = message.payload
    recipient = mails.find_recipient(payload["recipient"])
    if recipient is None:
        return Outcome.DROPPED
    school = db.session.get(School, uuid.UUID(payload["school"])) if payload["school"] else None
    colleague, day, posts_held = mails.find_name(payload["staff"]), payload["day"], posts.of_staff(recipient.id)
    is_head = any(school is not None and post.school == school and access.spec(post.role).leads for post in posts_held)
    entries = Filters(act=AlertRaised.kind, first=day)  # the entry of the alert may be of the next day
    if is_head:
        entries = Filters(who=colleague, act=_ACTS.get(payload["alert"], ""), first=day, last=day)
    path = "/signalements" if payload["alert"] == "account_closed" else f"/journal?{urlencode(entries.parameters)}"
    return mails.send(
        message,
        settings,
        "bureau_alerte",
        recipient,
        link=mails.page_url(settings, path),
        alert=payload["alert"],
        count=payload["count"],
        day=f"{date.fromisoformat(day):%d/%m/%Y}",
        colleague=colleague,
        school=school.name if school else settings.academy,
        is_head=is_head,
    )
