"""The clock of the service. All modules use it, so that tests can change the time."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")
"""The time zone of schools and families."""


def now() -> datetime:
    """Return the current instant, as an aware datetime in UTC."""
    return datetime.now(UTC)
