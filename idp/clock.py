"""The clock of the service, days in Paris, and how long a person may take on our pages. Tests change the time here."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")  # the time zone of schools and families
INTERACTION_LIFETIME = timedelta(minutes=30)
"""An authorization request, and each form, while its person is on our pages."""
ACTIVATION_LIFETIME = timedelta(minutes=30)  # an activation, from the provisional password to the new one


def now() -> datetime:
    """Return the current instant, as an aware datetime in UTC."""
    return datetime.now(UTC)


def day_of(instant: datetime) -> date:
    """Return the day of an instant in Paris."""
    return instant.astimezone(PARIS).date()


def today() -> date:
    """Return the present day in Paris."""
    return day_of(now())


def start_of_day(day: date) -> datetime:
    """Return the midnight at which a day begins in Paris."""
    return datetime.combine(day, time(), PARIS)


def end_of_day(day: date) -> datetime:
    """Return the midnight at which a day ends in Paris: what is valid on that day is valid until then.

    The last day of the calendar, 31 December 9999, has no such midnight: its beginning is returned. A caller that
    stores an end bounds it much earlier.
    """
    return start_of_day(min(day, date.max - timedelta(days=1)) + timedelta(days=1))


def last_day(end: datetime) -> date:
    """Return the last day in Paris of what is valid until `end`; for a midnight, the day before it."""
    return day_of(end - timedelta(microseconds=1))


def is_end_of_day(instant: datetime) -> bool:
    """Return whether an instant is a midnight in Paris."""
    return instant == start_of_day(day_of(instant))
