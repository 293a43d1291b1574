"""The periodic job that counts the figures. The count is imported when it runs: only the worker needs it."""

from datetime import timedelta

from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome

FIGURES = "desk.figures"
"""The periodic job, and its period."""
FIGURES_PERIOD = timedelta(hours=1)


def count(_message: OutboxMessage) -> Outcome:
    """Count the figures (outbox handler of the periodic job)."""
    from idp.desk.statistics import counting  # noqa: PLC0415 - see above

    counting.count()
    return Outcome.DONE
