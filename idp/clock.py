"""The only source of time: everything that expires asks here, so that one place can be moved in a test."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")
"""Where schools and families read a clock."""


def now() -> datetime:
    """Return the current instant, in UTC and aware of it."""
    return datetime.now(UTC)
